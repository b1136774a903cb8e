"""`dsrnss export`: the file gives what the network gives, at any size."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from dsrnss.cli import main
from dsrnss.inference.segmenter import Segmenter
from dsrnss.models.config import NetworkConfig
from dsrnss.models.factory import build_segmentor
from dsrnss.models.weights import save_pretrained


def saved(folder: Path, **options: Any) -> Path:
    """A small network that has learned nothing."""
    torch.manual_seed(0)
    network = build_segmentor(NetworkConfig(backbone="compact", head="fpn", head_channels=8, **options))
    card = {"image_height": 64, "image_width": 128}
    return save_pretrained(network, folder / "random.safetensors", card=card)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved(tmp_path_factory.mktemp("model"))


@pytest.mark.slow
@pytest.mark.parametrize("hrda", [False, True])
def test_onnx(hrda: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, file = saved(tmp_path, hrda=hrda), tmp_path / "model.onnx"
    assert main(["export", str(model), "--out", str(file)]) == 0
    shares = re.findall(r"(\d+\.\d+)%", capsys.readouterr().out)
    assert len(shares) == 5 and min(map(float, shares)) >= 99.99
    pixels = np.random.default_rng(0).integers(0, 255, (5, 8, 3), np.uint8)
    for size in ((131, 77), (640, 480), (40, 200)):
        photo = Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC)
        for options in ({}, {"window": (33, 47)}):
            torch_, onnx = (Segmenter.from_pretrained(path, device="cpu", **options)(photo) for path in (model, file))
            assert (torch_.labels == onnx.labels).mean() >= 0.999
            assert np.abs(torch_.confidence - onnx.confidence).max() < 1e-3
        assert torch_.label_space.palette == onnx.label_space.palette


@pytest.mark.slow
def test_int8(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("onnxruntime")
    file, plain = tmp_path / "int8.onnx", tmp_path / "float32.onnx"
    assert main(["export", str(model), "--out", str(plain)]) == 0
    assert main(["export", str(model), "--out", str(file), "--int8", "synthnight"]) == 0
    told = capsys.readouterr().out
    kept = re.search(r"calibrated on 32 pictures; on 32 others the class is the same at (\d+\.\d+)%", told)
    assert kept and float(kept[1]) > 80
    assert "Mean IoU there" in told
    assert file.stat().st_size < 0.5 * plain.stat().st_size
    photo = Image.fromarray(np.random.default_rng(1).integers(0, 255, (64, 96, 3), np.uint8))
    segmenters = [Segmenter.from_onnx(path) for path in (plain, file)]
    assert segmenters[1].engine.precision == "int8"
    assert np.mean(segmenters[0](photo).labels == segmenters[1](photo).labels) > 0.5


def test_int8_needs_pictures(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Image.new("RGB", (64, 48)).save(tmp_path / "one.png")
    words = ["export", str(model), "--out", str(tmp_path / "m.onnx"), "--int8", str(tmp_path)]
    assert main(words) == 1
    assert "holds 1 pictures; half are calibrated on" in capsys.readouterr().err
    assert main([*words, "--format", "torch-export"]) == 2
    assert not list(tmp_path.glob("*.onnx"))


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "ending"), [("torch-export", ".pt2"), ("openvino", ".xml")])
def test_other_formats(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str, ending: str) -> None:
    if kind == "openvino":
        pytest.importorskip("openvino", reason="the extra of a format that few need")
    file = tmp_path / f"model{ending}"
    assert main(["export", str(model), "--format", kind, "--out", str(file)]) == 0
    assert min(map(float, re.findall(r"(\d+\.\d+)%", capsys.readouterr().out))) >= 99.99
    assert file.is_file()


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["--out", "model.bin"], 2, "end in .onnx"),
        (["--out", "model.onnx", "--format", "onyx"], 2, "Did you mean 'onnx'?"),
        (["--out", "file/model.onnx"], 1, "file"),
    ],
)
def test_wrong_options(tmp_path, monkeypatch, capsys, words: list[str], code: int, told: str) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").write_bytes(b"")
    assert main(["export", "demo", *words]) == code
    assert told in capsys.readouterr().err


def test_a_missing_library_is_named_with_its_extra(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setitem(__import__("sys").modules, "onnxscript", None)
    assert main(["export", "demo", "--out", str(tmp_path / "m.onnx")]) == 1
    assert "pip install 'dsrnss[onnx]'" in capsys.readouterr().err
