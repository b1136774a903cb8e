"""A network survives saving and loading; a file that is not one is refused with words."""

import json
import pickle
from pathlib import Path

import pytest
import torch

from dsrnss.errors import CheckpointError, OutputError
from dsrnss.labels import CITYSCAPES
from dsrnss.models.config import NetworkConfig
from dsrnss.models.factory import build_segmentor
from dsrnss.models.segmentor import Segmentor
from dsrnss.models.weights import DEMO_MODEL, load_pretrained, save_pretrained


@pytest.fixture
def network() -> Segmentor:
    torch.manual_seed(0)
    return build_segmentor(NetworkConfig(backbone="compact", head_channels=8)).eval()


@pytest.mark.parametrize("name", ["model.safetensors", "folder"])
def test_round_trip(network: Segmentor, tmp_path: Path, name: str) -> None:
    path = save_pretrained(network, tmp_path / name, card={"steps": 7})
    read = load_pretrained(path)
    assert read.card == {"steps": 7}
    assert read.label_space == CITYSCAPES
    images = torch.randn(1, 3, 40, 56)
    with torch.no_grad():
        assert torch.equal(read.segmentor.predict(images), network.predict(images))
    assert not [p for p in tmp_path.rglob("*") if p.name.startswith(".")]


def test_half_precision_halves_the_file(network: Segmentor, tmp_path: Path) -> None:
    full = save_pretrained(network, tmp_path / "full.safetensors").stat().st_size
    half = save_pretrained(network, tmp_path / "half.safetensors", half=True)
    assert half.stat().st_size < 0.6 * full
    assert next(load_pretrained(half).segmentor.parameters()).dtype == torch.float32


def test_what_16_bits_do_not_hold_stays_in_32(network: Segmentor, tmp_path: Path) -> None:
    with torch.no_grad():
        network.head.conv_seg.bias[0] = 1e5
    read = load_pretrained(save_pretrained(network, tmp_path / "half.safetensors", half=True))
    assert read.segmentor.head.conv_seg.bias[0] == 1e5


def test_only_a_checkpoint_has_a_teacher(network: Segmentor, tmp_path: Path) -> None:
    path = save_pretrained(network, tmp_path / "model.safetensors")
    with pytest.raises(CheckpointError, match="has a teacher"):
        load_pretrained(path, which="teacher")


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"No model at .*nothing\.ckpt"):
        load_pretrained(tmp_path / "nothing.ckpt")


@pytest.mark.parametrize("name", ["broken.safetensors", "broken.ckpt"])
@pytest.mark.parametrize("content", [b"", b"not a model at all"])
def test_broken_file(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(CheckpointError, match=name):
        load_pretrained(tmp_path / name)


def test_cut_off_file(network: Segmentor, tmp_path: Path) -> None:
    path = save_pretrained(network, tmp_path / "model.safetensors")
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(CheckpointError, match="not a readable safetensors file"):
        load_pretrained(path)


class _Malicious:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return print, ("code ran",)


def test_a_pickle_with_code_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "evil.ckpt"
    torch.save({"state_dict": _Malicious()}, path, pickle_module=pickle)
    with pytest.raises(CheckpointError, match="could run code"):
        load_pretrained(path)
    assert "code ran" not in capsys.readouterr().out


def test_foreign_checkpoint(tmp_path: Path) -> None:
    torch.save({"state_dict": {"a": torch.zeros(1)}}, tmp_path / "other.pth")
    with pytest.raises(CheckpointError, match="layout of no network that is known"):
        load_pretrained(tmp_path / "other.pth")


def test_a_folder_has_a_model_card_that_can_be_made_ones_own(network: Segmentor, tmp_path: Path) -> None:
    folder = save_pretrained(network, tmp_path / "folder", card={"licence": "CC0", "steps": 7})
    card = (folder / "README.md").read_text()
    for words in ("CC0", "| steps | 7 |", "18. bicycle", "Segmenter.from_pretrained"):
        assert words in card
    save_pretrained(network, folder, card={"steps": 8})
    assert "| steps | 8 |" in (folder / "README.md").read_text()
    (folder / "README.md").write_text("mine")
    save_pretrained(network, folder)
    assert (folder / "README.md").read_text() == "mine"


def test_what_does_not_fit_is_listed(network: Segmentor, tmp_path: Path) -> None:
    folder = save_pretrained(network, tmp_path / "folder")
    description = json.loads((folder / "config.json").read_text())
    description["network"]["num_classes"] = 5
    (folder / "config.json").write_text(json.dumps(description))
    with pytest.raises(CheckpointError, match=r"of another shape: head\.conv_seg"):
        load_pretrained(folder)


def test_unwritable_place(network: Segmentor, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="Cannot write"):
        save_pretrained(network, tmp_path / "file" / "model.safetensors")


def test_the_packaged_network_is_small_and_loads() -> None:
    assert DEMO_MODEL.stat().st_size < 8e6
    assert load_pretrained(DEMO_MODEL).card["step"] > 0
