"""Networks in 8 bits: what goes wrong beside the arithmetic."""

import errno
from pathlib import Path

import pytest

from dsrnss.errors import OutputError
from dsrnss.inference.int8 import quantize
from dsrnss.inference.segmenter import Segmenter

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")


def test_a_full_disk_is_no_matter_of_the_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("onnxruntime.quantization.shape_inference.quant_pre_process", lambda *_, **__: None)
    monkeypatch.setattr("onnxruntime.quantization.quantize_static", lambda *_, **__: None)
    monkeypatch.setattr("onnx.load", full)
    out = tmp_path / "night.onnx"
    with pytest.raises(OutputError, match=r"night\.onnx"):
        quantize(tmp_path / "float32.onnx", out, Segmenter.from_pretrained(device="cpu"), [])
    assert not list(tmp_path.iterdir()), "nothing half-written is left"
