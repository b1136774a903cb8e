"""torch.compile as an option: the same answers at every size, and a sentence where nothing can be compiled."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from dsrnss.errors import ConfigError
from dsrnss.inference.segmenter import Segmenter


@pytest.mark.slow
def test_a_compiled_network_answers_the_same_at_every_size(model: Path) -> None:
    plain, compiled = (Segmenter.from_pretrained(model, device="cpu", compile=value) for value in (False, True))
    for size in ((64, 96), (101, 70)):
        images = torch.randn(2, 3, *size)
        expected, logits = plain.logits(images), compiled.logits(images)
        assert (logits - expected).abs().max() < 1e-4
        assert (logits.argmax(1) == expected.argmax(1)).float().mean() >= 0.9999
    assert compiled.engine.fingerprint == plain.engine.fingerprint


@pytest.mark.slow
def test_a_machine_without_compiler_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", str(tmp_path / "none"))
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    code = "from dsrnss import Segmenter\nSegmenter.from_pretrained(device='cpu', compile=True)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "HardwareError: Nothing can be compiled for cpu here" in done.stderr
    assert "C++ compiler" in done.stderr


def test_a_file_that_is_compiled_already_is_told(segmenter: Segmenter) -> None:
    with pytest.raises(ConfigError, match="compiled already"):
        Segmenter(segmenter.engine, segmenter.label_space, compile=True)
