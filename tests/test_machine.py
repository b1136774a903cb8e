"""What is told of the machine, without torch."""

import subprocess
import sys
from pathlib import Path

import pytest

from dsrnss import machine


def answering(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    def run(*_: object, **__: object) -> subprocess.CompletedProcess:
        return subprocess.CompletedProcess([], 0, text, "")

    monkeypatch.setattr(machine.subprocess, "run", run)


def test_gpus_as_the_driver_tells_them(monkeypatch: pytest.MonkeyPatch) -> None:
    answering(monkeypatch, "NVIDIA H100 80GB HBM3, 81559, 580.82.07\nNVIDIA Thor, [N/A], 580.1\n")
    first, second = machine.gpus()
    assert first == machine.Gpu("NVIDIA H100 80GB HBM3", 81559 * 2**20, "580.82.07")
    assert second.memory == 0


def test_a_driver_that_fails_is_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    answering(monkeypatch, "NVIDIA-SMI has failed because it couldn't communicate with the driver.\n")
    assert machine.gpus() == []


def test_a_machine_without_a_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert machine.gpus() == []


@pytest.mark.parametrize(
    ("said", "built"),
    [
        ("cuda: Optional[str] = '13.0'\nhip: Optional[str] = None\n", "CUDA 13.0"),
        ("cuda: Optional[str] = None\nhip: Optional[str] = '6.4.43482-0f2d60242'\n", "ROCm 6.4.43482"),
        ("cuda: Optional[str] = None\n", "the CPU alone"),
    ],
)
def test_what_torch_was_built_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str, built: str) -> None:
    package = tmp_path / "torch"
    package.mkdir()
    (package / "__init__.py").write_text("raise ImportError('broken')")
    (package / "version.py").write_text(said)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "torch")
    assert machine.torch_build() == built


def test_the_summary_names_versions() -> None:
    found = machine.summary()
    assert found["Python"] == sys.version.split()[0]
    assert found["torch"].startswith("2.")
    assert all(found.values())
