"""`test|predict|fit --ckpt_path MODEL`, as the paper's README has it, with every layout that weights come in."""

import functools
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from dsrnss import NetworkConfig, build_segmentor, cli, save_pretrained
from dsrnss.experiment.cli import build
from dsrnss.models.segmentor import Segmentor

EXPERIMENT = """
trainer: {max_steps: 1, accelerator: cpu, enable_progress_bar: false, num_sanity_val_steps: 0, limit_val_batches: 0}
model:
  network: {backbone: mit_b0, head: segformer, head_channels: 16}
  feature_distance: {weight: 0}
data:
  source: {class_path: dsrnss.data.SynthNight, init_args: {split: source, length: 2, size: [64, 128]}}
  test:
    night: {class_path: dsrnss.data.SynthNight, init_args: {split: val, length: 1, size: [64, 128]}}
  predict:
    night: {class_path: dsrnss.data.SynthNight, init_args: {split: val, length: 1, size: [64, 128]}}
  crop_size: [64, 64]
  rare_class_sampling: null
  workers: 0
"""


@pytest.fixture(scope="module")
def network() -> Segmentor:
    torch.manual_seed(3)
    return build_segmentor(NetworkConfig("mit_b0", "segformer", 16))


def _authors(network: Segmentor) -> dict[str, Any]:
    state = network.state_dict()
    return {"state_dict": {**state, **{f"m_{key}": value + 1 for key, value in state.items()}}, "epoch": 3}


LAYOUTS = {
    "authors.ckpt": lambda network, path: torch.save(_authors(network), path),
    "plain.pth": lambda network, path: torch.save(network.state_dict(), path),
    "old.pth": lambda network, path: torch.save(network.state_dict(), path, _use_new_zipfile_serialization=False),
    "plain.safetensors": lambda network, path: save_file(network.state_dict(), path),
    "misnamed.pth": lambda network, path: save_file(network.state_dict(), path),
    "nested.pt": lambda network, path: torch.save(
        {"checkpoint": {"model": {f"module.{k}": v for k, v in network.state_dict().items()}}}, path
    ),
    "own.safetensors": lambda network, path: save_pretrained(network, path),
    "own": lambda network, path: save_pretrained(network, path),
}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DSRNSS_CACHE", str(tmp_path / "cache"))
    (tmp_path / "e.yaml").write_text(EXPERIMENT)
    return tmp_path


@pytest.mark.parametrize("name", list(LAYOUTS))
def test_every_layout_is_read(here: Path, network: Segmentor, name: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "dsrnss")
    LAYOUTS[name](network, here / name)
    built = build("test", ["e.yaml"], ["--ckpt_path", name])
    assert built.ckpt_path is None and "weights alone, without optimiser and step" in caplog.text
    for key, value in built.model.student.state_dict().items():
        assert torch.equal(value, network.state_dict()[key]), key


def test_the_commands_run_with_the_authors_file(here: Path, network: Segmentor) -> None:
    LAYOUTS["authors.ckpt"](network, here / "authors.ckpt")
    for command in ("test", "predict", "fit"):
        assert cli.main([command, "--config", "e.yaml", "--ckpt_path", "authors.ckpt"]) == 0
    assert list(here.rglob("results/e/night.json")) and list(here.rglob("predictions/e/night/labelTrainIds/*.png"))
    assert cli.main(["fit", "--config", "e.yaml", "--ckpt_path", "last", "--trainer.max_steps", "2"]) == 0


def test_the_teacher_is_read_where_it_is_measured(here: Path, network: Segmentor) -> None:
    LAYOUTS["authors.ckpt"](network, here / "authors.ckpt")
    built = build("test", ["e.yaml"], ["--ckpt_path", "authors.ckpt", "--model.evaluate", "teacher"])
    name, value = next(iter(network.named_parameters()))
    assert torch.equal(built.model.evaluated.state_dict()[name], value + 1)


@pytest.fixture
def address(here: Path) -> Iterator[str]:
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(here))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_an_address(here: Path, network: Segmentor, address: str) -> None:
    LAYOUTS["plain.pth"](network, here / "plain.pth")
    assert cli.main(["test", "--config", "e.yaml", "--ckpt_path", f"{address}/plain.pth"]) == 0
    assert cli.main(["test", "--config", "e.yaml", "--ckpt_path", f"{address}/none.pth"]) == 1


def test_another_network_is_refused_in_a_few_words(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save(build_segmentor(NetworkConfig("mit_b1", "segformer", 16)).state_dict(), here / "b1.pth")
    assert cli.main(["test", "--config", "e.yaml", "--ckpt_path", "b1.pth"]) == 1
    err = capsys.readouterr().err
    assert "'b1.pth' does not fit the network mit_b0 + segformer" in err and len(err) < 2000
