import functools
import http.server
import json
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch

from dsrnss.cli import main
from dsrnss.downloading import Source
from dsrnss.models.backbones.mit import MixTransformer
from dsrnss.models.config import NetworkConfig
from dsrnss.models.factory import build_segmentor
from dsrnss.models.weights import load_backbone, load_pretrained
from dsrnss.models.weights.registry import REGISTRY, Entry

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """A checkpoint in the authors' layout."""
    torch.manual_seed(0)
    state = build_segmentor(NetworkConfig("mit_b0", "daformer", 8)).state_dict()
    state |= {f"m_{key}": value for key, value in state.items()} | {"imnet_backbone.norm1.weight": torch.zeros(32)}
    torch.save({"state_dict": state, "epoch": 1}, tmp_path / "authors.ckpt")
    return tmp_path / "authors.ckpt"


@pytest.fixture
def named(tmp_path: Path, checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The same behind a registered name."""
    monkeypatch.setenv("DSRNSS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setitem(
        REGISTRY, "thing", Entry("thing", "a thing", "x", (Source(checkpoint.as_uri()),), "CC0", "none")
    )
    return "thing"


def test_list(named: str, capsys: Capture) -> None:
    assert main(["weights", "list"]) == 0
    shown = capsys.readouterr().out
    assert all(
        name in shown for name in ("mit_b5", "uawarpc_megadepth", "non-commercial", "Next: dsrnss weights fetch")
    )
    assert main(["weights", "list", "--json"]) == 0
    entries = {entry["name"]: entry for entry in json.loads(capsys.readouterr().out)}
    assert entries.keys() == REGISTRY.keys()
    assert entries["mit_b5"]["sources"][0]["sha256"] == "658746d9"
    assert entries["thing"]["cached"] is None


def test_models_that_are_fetched_by_hand(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setenv("DSRNSS_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    assert main(["weights", "list"]) == 0
    shown = capsys.readouterr().out
    assert all(words in shown for words in ("dsrnss_hrda_darkzurich", "dsrnss_deeplabv2_acdc", "2310.04747"))
    assert main(["weights", "fetch", "dsrnss_daformer_acdc"]) == 1
    said = capsys.readouterr().err
    assert all(words in said for words in ("2310.04747", "pretrained_models/dsrnss_daformer_acdc.ckpt", "cache"))
    Path("pretrained_models").mkdir()
    checkpoint.rename("pretrained_models/dsrnss_daformer_acdc.ckpt")
    assert main(["weights", "fetch", "dsrnss_daformer_acdc"]) == 0
    assert main(["weights", "inspect", "dsrnss_daformer_acdc"]) == 0
    assert "234/234 fit" in capsys.readouterr().out
    assert main(["weights", "list", "--json"]) == 0
    entries = {entry["name"]: entry for entry in json.loads(capsys.readouterr().out)}
    assert entries["dsrnss_daformer_acdc"]["cached"] == "pretrained_models/dsrnss_daformer_acdc.ckpt"


def test_list_needs_no_torch() -> None:
    code = "import sys; from dsrnss.cli import main; main(['weights', 'list']); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0


def test_fetch_inspect_convert(named: str, tmp_path: Path, capsys: Capture, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "dsrnss")
    assert main(["weights", "fetch", named]) == 0
    assert "Licence: CC0" in capsys.readouterr().out
    assert main(["weights", "inspect", named]) == 0
    shown = capsys.readouterr().out
    for words in ("authors' checkpoint", "mit_b0", "daformer", "234/234 fit", "imnet_backbone", "Next: dsrnss segment"):
        assert words in shown
    out = tmp_path / "out"
    assert main(["weights", "convert", named, str(out), "--which", "teacher"]) == 0
    assert "234/234 tensors loaded" in caplog.text
    capsys.readouterr()
    assert load_pretrained(out).card["licence"] == "CC0"
    assert main(["weights", "inspect", str(out), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["fits"], found["kind"], found["architecture"]["backbone"]) == (True, "network", "mit_b0")
    assert found["account"]["loaded"] == found["account"]["total"] == 234


def test_an_address_is_as_good_as_a_file(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setenv("DSRNSS_CACHE", str(tmp_path / "cache"))
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_address[1]}/authors.ckpt"
        assert main(["weights", "inspect", address]) == 0
        assert "234/234 fit" in capsys.readouterr().out
        server.shutdown()
    out = tmp_path / "out.safetensors"
    assert main(["weights", "convert", address, str(out), "--which", "teacher"]) == 0  # from the cache
    assert load_pretrained(out).account.complete


def test_convert_keeps_what_is_there(checkpoint: Path, tmp_path: Path, capsys: Capture) -> None:
    out = tmp_path / "out.safetensors"
    out.write_text("precious")
    assert main(["weights", "convert", str(checkpoint), str(out)]) == 1
    assert "--overwrite" in capsys.readouterr().err
    assert out.read_text() == "precious"
    assert main(["weights", "convert", str(checkpoint), str(out), "--overwrite", "--half"]) == 0
    assert load_pretrained(out).account.complete


def test_convert_a_backbone(tmp_path: Path, capsys: Capture) -> None:
    torch.save(MixTransformer("mit_b0").state_dict(), tmp_path / "mit.pth")
    assert main(["weights", "inspect", str(tmp_path / "mit.pth")]) == 0
    assert "176/176 fit" in capsys.readouterr().out
    assert main(["weights", "convert", str(tmp_path / "mit.pth"), str(tmp_path / "folder")]) == 1
    assert "ends in .safetensors" in capsys.readouterr().err
    assert main(["weights", "convert", str(tmp_path / "mit.pth"), str(tmp_path / "mit.safetensors")]) == 0
    assert load_backbone(MixTransformer("mit_b0"), tmp_path / "mit.safetensors").complete


def test_inspect_says_what_does_not_fit(checkpoint: Path, capsys: Capture) -> None:
    content = torch.load(checkpoint)
    content["state_dict"]["backbone.norm1.weight"][0] = torch.nan
    torch.save(content, checkpoint)
    assert main(["weights", "inspect", str(checkpoint)]) == 1
    assert "NaN or infinite values: backbone.norm1.weight" in capsys.readouterr().err
    assert main(["weights", "inspect", str(checkpoint), "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["fits"] is False


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["fetch", "mit_b6"], 2, "Did you mean 'mit_b5'"),
        (["inspect", "nothing.ckpt"], 1, "No model at 'nothing.ckpt'"),
        (["inspect", "lite0"], 1, "Did you mean 'lite0_synthnight'?"),
        (["inspect", "x.ckpt", "--wich", "teacher"], 2, "Did you mean '--which'"),
        (["convert", "x.ckpt"], 2, "OUT"),
        (["lst"], 2, "Did you mean 'list'"),
    ],
)
def test_wrong_words_are_answered(words: list[str], code: int, said: str, capsys: Capture) -> None:
    assert main(["weights", *words]) == code
    shown = capsys.readouterr().err
    assert said in shown
    assert "Traceback" not in shown
