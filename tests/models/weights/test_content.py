"""What is no file of weights is told by its content and named, with the cure; names of files are not believed."""

import io
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from dsrnss.errors import CheckpointError
from dsrnss.models.backbones.mit import MixTransformer
from dsrnss.models.config import NetworkConfig
from dsrnss.models.factory import build_segmentor
from dsrnss.models.segmentor import Segmentor
from dsrnss.models.weights import damage, load_backbone, load_pretrained
from dsrnss.models.weights.content import tell


@pytest.fixture(scope="module")
def network() -> Segmentor:
    torch.manual_seed(0)
    return build_segmentor(NetworkConfig("compact", "fpn", 8)).eval()


def same(path: Path, network: Segmentor) -> bool:
    read = load_pretrained(path).segmentor.state_dict()
    return all(torch.equal(value, read[key]) for key, value in network.state_dict().items())


def zipped(path: Path, names: list[str]) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, b"x")


def tarred(path: Path, names: list[str]) -> None:
    with tarfile.open(path, "w") as archive:
        for name in names:
            archive.addfile(tarfile.TarInfo(name), io.BytesIO())


FOREIGN: dict[str, tuple[Callable[[Path], object], str]] = {
    "pointer": (
        lambda path: path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n"),
        "Git LFS pointer.*git lfs pull",
    ),
    "page": (lambda path: path.write_text("\n<!DOCTYPE html><html>404"), "web page.*/resolve/"),
    "page without type": (lambda path: path.write_text("<html><body>Not found"), "web page"),
    "keras": (lambda path: path.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100)), "Keras.*PyTorch"),
    "keras zip": (lambda path: zipped(path, ["config.json", "model.weights.h5"]), "model of Keras"),
    "onnx": (lambda path: path.write_bytes(b"\x08\x07\x12\x07pytorch\x1a\x031.0"), "ONNX.*exported"),
    "gzip": (lambda path: path.write_bytes(b"\x1f\x8b\x08" + bytes(50)), "gzip.*Unpack"),
    "zip of weights": (
        lambda path: zipped(path, ["a/student.pth", "a/teacher.pth"]),
        r"zip archive of files of weights \('a/student.pth', 'a/teacher.pth'\).*Unpack",
    ),
    "tar of weights": (lambda path: tarred(path, ["one.ckpt", "two.ckpt"]), "tar archive.*'one.ckpt'.*Unpack"),
    "torch 0.1": (lambda path: tarred(path, ["sys_info", "pickle", "storages", "tensors"]), "torch before 0.2"),
    "other zip": (lambda path: zipped(path, ["word/document.xml"]), "without tensors of torch"),
    "arrays": (lambda path: _arrays(path), r"numpy \(\.npz\)"),
    "json": (lambda path: path.write_text('{"model_type": "segformer"}'), "JSON.*beside it"),
    "empty": (lambda path: path.write_bytes(b""), r"empty \(0 bytes\).*again"),
    "noise": (lambda path: path.write_bytes(b"\x01\x02noise" * 99), "begins with b'"),
}


def _arrays(path: Path) -> None:
    with path.open("wb") as file:
        np.savez(file, a=np.zeros(3))


@pytest.mark.parametrize("ending", ["pth", "ckpt", "safetensors", "bin"])
@pytest.mark.parametrize("kind", FOREIGN)
def test_what_is_no_file_of_weights_is_named(tmp_path: Path, kind: str, ending: str) -> None:
    write, said = FOREIGN[kind]
    path = tmp_path / f"odd.{ending}"
    write(path)
    for read in (load_pretrained, lambda path: load_backbone(MixTransformer("mit_b0"), path)):
        with pytest.raises(CheckpointError, match=rf"(?s)odd\.{ending}.*{said}"):
            read(path)
    assert damage(path)


def test_a_folder_called_like_a_file(tmp_path: Path) -> None:
    folder = tmp_path / "x.pth"
    folder.mkdir()
    with pytest.raises(CheckpointError, match=r"folder .*x\.pth.* no config\.json: it is not a saved model\.$"):
        load_pretrained(folder)
    (folder / "best.ckpt").write_bytes(b"x")
    with pytest.raises(CheckpointError, match=r"It holds 'best.ckpt': give one of them"):
        load_pretrained(folder)


@pytest.mark.parametrize(
    ("files", "said"),
    [
        (["data.pkl", "data/0", "version"], "unpacked: download the file again"),
        ([".metadata", "__0_0.distcp"], "dcp_to_torch"),
        (["zero_to_fp32.py", "latest"], "DeepSpeed"),
        (["saved_model.pb"], "TensorFlow"),
        (["checkpoints/last.ckpt", "hparams.yaml"], r"'checkpoints/last\.ckpt': give one of them"),
    ],
)
def test_folders_of_others(tmp_path: Path, files: list[str], said: str) -> None:
    for file in files:
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).touch()
    with pytest.raises(CheckpointError, match=said):
        load_pretrained(tmp_path)


def test_an_unreadable_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, network: Segmentor) -> None:
    path = tmp_path / "secret.pth"
    torch.save(network.state_dict(), path)

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)  # whoever may read everything cannot be refused
    with pytest.raises(CheckpointError, match=r"secret\.pth.*cannot be opened \(permission denied\).*readable"):
        load_pretrained(path)
    assert "permission denied" in damage(path)


def test_an_unreadable_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "is_file", refuse)  # as above
    with pytest.raises(CheckpointError, match=r"folder .* cannot be opened \(permission denied\)"):
        load_pretrained(tmp_path)


@pytest.mark.parametrize("ending", ["safetensors", "pth", "ckpt", "bin", "tar", ""])
@pytest.mark.parametrize("content", ["safetensors", "zip", "old"])
def test_the_content_tells_how_a_file_is_read(network: Segmentor, tmp_path: Path, content: str, ending: str) -> None:
    path = tmp_path / f"model.{ending}"
    if content == "safetensors":
        save_file(network.state_dict(), path)
    else:
        torch.save(network.state_dict(), path, _use_new_zipfile_serialization=content == "zip")
    assert same(path, network)
    assert damage(path) == ""


def test_torchscript_is_named_and_the_advised_conversion_loads(network: Segmentor, tmp_path: Path) -> None:
    class Whole(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.backbone, self.head = network.backbone, network.head

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return self.head(self.backbone(images))

    file, new = tmp_path / "script.pt", tmp_path / "new.pth"
    torch.jit.trace(Whole().eval(), torch.zeros(1, 3, 64, 64)).save(str(file))
    with pytest.raises(CheckpointError, match="TorchScript") as error:
        load_pretrained(file)
    _run_advice(str(error.value), FILE=file, NEW=new)
    assert same(new, network)


def test_a_whole_pickled_network_is_named_and_the_advised_conversions_load(network: Segmentor, tmp_path: Path) -> None:
    path = tmp_path / "whole.pth"
    for legacy in (False, True):
        torch.save(network, path, _use_new_zipfile_serialization=not legacy)
        with pytest.raises(
            CheckpointError, match=r"(?s)whole object of the class dsrnss\.models\.segmentor\.Segmentor.*nothing of it"
        ) as error:
            load_pretrained(path)
        for call in ("torch.save", "safetensors.torch.save_file"):
            new = tmp_path / f"{call}.{legacy}"
            _run_advice(str(error.value), call, model=torch.load(path, weights_only=False), FILE=new)
            assert same(new, network)


def test_quantised_tensors_are_named_and_the_advised_conversion_loads(network: Segmentor, tmp_path: Path) -> None:
    state = dict(network.state_dict())
    state["head.conv_seg.weight"] = torch.quantize_per_tensor(state["head.conv_seg.weight"], 0.01, 0, torch.qint8)
    torch.save(state, tmp_path / "q.pth")
    with pytest.raises(CheckpointError, match=r"'head\.conv_seg\.weight' is sparse, nested or quantised") as error:
        load_pretrained(tmp_path / "q.pth")
    _run_advice(str(error.value), state=state, FILE=tmp_path / "new.pth")
    assert load_pretrained(tmp_path / "new.pth").account.complete


@pytest.mark.parametrize("byte", range(0, 256, 8))
def test_a_header_of_any_length_is_no_pickle(network: Segmentor, tmp_path: Path, byte: int) -> None:
    """The length of its header comes first in a safetensors file: its lowest byte may be that of a pickle."""
    note = ""
    while True:
        save_file(network.state_dict(), tmp_path / "x.ckpt", metadata={"note": note})
        if (tmp_path / "x.ckpt").read_bytes()[0] == byte:
            break
        note += "12345678"
    assert same(tmp_path / "x.ckpt", network)


@pytest.mark.parametrize("kind", ["float16", "bfloat16", "float64", "float8_e4m3fn", "float8_e5m2"])
@pytest.mark.parametrize("ending", ["pth", "safetensors"])
def test_floats_of_every_width_are_converted(network: Segmentor, tmp_path: Path, kind: str, ending: str) -> None:
    dtype = getattr(torch, kind)
    state = {
        key: value.to(dtype) if value.is_floating_point() else value for key, value in network.state_dict().items()
    }
    path = tmp_path / f"narrow.{ending}"
    torch.save(state, path) if ending == "pth" else save_file(state, path)
    read = load_pretrained(path).segmentor.state_dict()
    assert all(value.dtype == network.state_dict()[key].dtype for key, value in read.items())
    assert torch.equal(read["head.conv_seg.weight"], state["head.conv_seg.weight"].float())


def _run_advice(message: str, call: str = "torch.save", **names: object) -> None:
    """Run the code that a message advises, to the letter."""
    begin = message.index(f"{call}(")
    end = begin + len(call) + 1
    while message[begin:end].count("(") > message[begin:end].count(")"):
        end += 1
    import safetensors.torch

    exec(message[begin:end], {"torch": torch, "safetensors": safetensors, **names})


def test_what_the_documentation_advises_loads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every line of docs/weights.md that writes a file is run as it stands."""
    monkeypatch.chdir(tmp_path)
    network = build_segmentor(NetworkConfig("mit_b0", "daformer", 8)).eval()
    torch.save({"state_dict": network.state_dict(), "settings": NetworkConfig()}, "old.ckpt")
    torch.save(network, "whole.pth")
    with pytest.raises(CheckpointError, match=r"asks for dsrnss\.models\.config\.NetworkConfig"):
        load_pretrained("old.ckpt")
    text = (Path(__file__).parents[3] / "docs" / "weights.md").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line.startswith("torch.save(")]
    assert lines
    for line in lines:
        exec(line, {"torch": torch, "network": network})
        assert same(Path("new.pth"), network)
        Path("new.pth").unlink()


def test_a_checkpoint_without_extension_is_told(tmp_path: Path) -> None:
    torch.save({"a": torch.zeros(1)}, tmp_path / "plain")
    assert tell(tmp_path / "plain").kind == "zip"
