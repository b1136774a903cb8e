"""`dsrnss doctor`: quick, without torch, and without telling who asks."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import dsrnss
from dsrnss import cli
from dsrnss.diagnosis import examination
from dsrnss.machine import Gpu

SOURCES = Path(dsrnss.__file__).resolve().parents[1]
WITHOUT = """
import sys
sys.path.insert(0, {sources!r})
class Gone:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {gone!r}:
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Gone())
import importlib.util
found = importlib.util.find_spec
importlib.util.find_spec = lambda name, package=None: None if name in {gone!r} else found(name, package)
from dsrnss.cli import main
code = main(["doctor"])
assert "torch" not in sys.modules
sys.exit(code)
"""


def test_it_tells_everything(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["doctor"]) == 0
    said = capsys.readouterr().out
    for word in ("Machine", "torch is built for", "libx264", "DATA_DIR", "segment of videos", dsrnss.__version__):
        assert word in said


@pytest.mark.parametrize("gone", [{"torch"}, {"torch", "rich", "numpy", "av", "packaging"}])
def test_it_works_without_libraries(gone: set[str], tmp_path: Path) -> None:
    script = WITHOUT.format(sources=str(SOURCES), gone=gone)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=tmp_path)
    assert "Traceback" not in done.stderr, done.stderr
    assert "lacks torch" in done.stdout
    assert "pip install torch torchvision" in done.stdout


def test_json_tells_no_name(finished: Callable[..., subprocess.CompletedProcess], tmp_path: Path) -> None:
    home = tmp_path / "people" / "alice"
    (home / "data").mkdir(parents=True)
    told = finished("doctor", "--json", HOME=str(home), LOGNAME="alice", DATA_DIR=str(home / "data"))
    assert "alice" not in told.stdout
    content = json.loads(told.stdout)
    assert content["Data sets"][0]["value"].startswith("~/data;")
    assert {"Machine", "GPU", "Libraries", "Commands"} <= content.keys()


def test_a_torch_that_does_not_see_the_gpu_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(examination.machine, "gpus", lambda: [Gpu("H100", 80 * 10**9, "580.82")])
    monkeypatch.setattr(examination.machine, "torch_build", lambda: "the CPU alone")
    gpu, torch = examination.examine()["GPU"]
    assert (gpu.name, gpu.state) == ("H100", "fine")
    assert torch.state == "missing"
    assert "pytorch.org" in torch.advice
