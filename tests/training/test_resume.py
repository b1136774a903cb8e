"""A run with every part on, killed in the middle, goes on as if nothing had happened, to the last digit."""

import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

EXPERIMENT = """
trainer: {max_steps: 8, log_every_n_steps: 1, val_check_interval: 3, accelerator: cpu,
          enable_progress_bar: false, gradient_clip_val: 5.0}
checkpoint: {every_n_train_steps: 1}
model:
  network: {backbone: compact, head: fpn, head_channels: 8, dropout: 0.5, hrda: true}
  optimizer: {lr: 1.0e-2}
  schedule: {warmup_steps: 2}
  mixing: {threshold: 0.2}
  memory_bank: {interval: 2}
  self_training: {adapt_to_reference: true}
  prototypes: {start_step: 2, class_weights: tail}
  masking: {weight: 1.0}
  aligner: {class_path: dsrnss.adaptation.alignment.GivenAligner}
data:
  source: {class_path: dsrnss.data.SynthNight, init_args: {split: source, length: 6, size: [64, 128], cache: true}}
  target:
    class_path: dsrnss.data.SynthNight
    init_args: {length: 6, size: [64, 128], flow: 'true', labelled: true, cache: true}
  val:
    night: {class_path: dsrnss.data.SynthNight, init_args: {split: val, length: 2, size: [64, 128]}}
  crop_size: [64, 96]
  workers: 0
"""


def _command(folder: Path, *more: str) -> list[str]:
    (folder / "tiny.yaml").write_text(EXPERIMENT)
    return [sys.executable, "-m", "dsrnss", "fit", "--config", "tiny.yaml", *more]


def _losses(folder: Path) -> dict[int, dict[str, str]]:
    """Every logged number of each step, as text; of a step logged twice the later one counts."""
    losses: dict[int, dict[str, str]] = {}
    files = sorted(folder.rglob("metrics.csv"), key=lambda path: path.stat().st_mtime)
    for file in files:
        with file.open() as lines:
            for row in csv.DictReader(lines):
                if row["train/loss"]:
                    names = [name for name in row if name.startswith(("train/", "pseudo/")) and row[name]]
                    losses[int(row["step"])] = {name: row[name] for name in names}
    return losses


def _run(folder: Path, *more: str) -> None:
    folder.mkdir(exist_ok=True)
    done = subprocess.run(_command(folder, *more), cwd=folder, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]


def _kill_after_checkpoint(folder: Path, step: int) -> None:
    folder.mkdir()
    process = subprocess.Popen(_command(folder), cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline and process.poll() is None:
        if any(folder.rglob("last.ckpt")) and len(_losses_so_far(folder)) >= step:
            break
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, "the run ended before it could be killed"


def _losses_so_far(folder: Path) -> list[str]:
    return [line for file in folder.rglob("metrics.csv") for line in file.read_text().splitlines()[1:]]


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 1])
def test_killed_run_resumes_exactly(tmp_path: Path, workers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "EXPERIMENT", EXPERIMENT.replace("workers: 0", f"workers: {workers}"))
    _run(tmp_path / "whole")
    expected = _losses(tmp_path / "whole")
    assert sorted(expected) == list(range(8))
    assert len({tuple(row.items()) for row in expected.values()}) == 8, (
        "the steps differ, or the comparison says nothing"
    )
    _kill_after_checkpoint(tmp_path / "killed", step=2)
    _run(tmp_path / "killed", "--ckpt_path", "last")
    newest = max((tmp_path / "killed").rglob("metrics.csv"), key=lambda path: path.stat().st_mtime)
    assert min(_losses(newest.parent)) > 0, "it went on and did not start again"
    resumed = _losses(tmp_path / "killed")
    common = sorted(set(resumed) & set(expected))
    assert common[-1] == 7
    assert {step: resumed[step] for step in common} == {step: expected[step] for step in common}
