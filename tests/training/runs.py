"""Real runs of a tiny experiment with every part on, and the numbers they log."""

import csv
import subprocess
import sys
from pathlib import Path

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
  night_aware: {probability: 0.5}
  priors: {strength: 1.0}
  aligner: {class_path: dsrnss.adaptation.alignment.GivenAligner}
data:
  source: {class_path: dsrnss.data.SynthNight, init_args: {split: source, length: 6, size: [64, 128], cache: true}}
  target:
    class_path: dsrnss.data.SynthNight
    init_args: {length: 6, size: [64, 128], flow: 'true', labelled: true, cache: true}
  val:
    night: {class_path: dsrnss.data.SynthNight, init_args: {split: val, length: 2, size: [64, 128]}}
  crop_size: [64, 96]
  scale: [0.8, 1.6]
  workers: 0
"""


def command(folder: Path, *more: str) -> list[str]:
    (folder / "tiny.yaml").write_text(EXPERIMENT)
    return [sys.executable, "-m", "dsrnss", "fit", "--config", "tiny.yaml", *more]


def losses(folder: Path) -> dict[int, dict[str, str]]:
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


def run_whole(folder: Path, *more: str) -> None:
    folder.mkdir(exist_ok=True)
    done = subprocess.run(command(folder, *more), cwd=folder, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
