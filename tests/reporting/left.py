"""Folders as runs leave them."""

import json
from pathlib import Path

import numpy as np
from PIL import Image

from dsrnss.detail import BINS, BrightnessGroup, Detail, ImageScore
from dsrnss.labels import CITYSCAPES
from dsrnss.metrics import Scores, scores
from dsrnss.reporting.content import Panel
from dsrnss.reporting.numbers import as_json
from dsrnss.reporting.scenes import write_scene
from dsrnss.training.callbacks.result_files import as_csv


def measured(seed: int, right: float, space=CITYSCAPES) -> Scores:
    """Scores of a network that has about so large a share of the pixels right; one class does not occur."""
    rng = np.random.default_rng(seed)
    number = space.num_classes
    truth = np.linspace(200_000, 2_000, number)
    share = np.clip(right + 0.25 * np.cos(np.arange(number)) + 0.03 * rng.standard_normal(number), 0.02, 0.98)
    others = rng.dirichlet(np.full(number, 0.15), number)
    counts = (truth * (1 - share))[:, None] * others + np.diag(truth * share)
    if number > 9:
        counts[9] = counts[:, 9] = 0
    confidence = (np.arange(BINS) + 0.5) / BINS
    pixels = 1000.0 * (1 + np.arange(BINS))
    calibration = np.stack([pixels, pixels * confidence ** (2 - right), pixels * confidence], 1)
    images = [ImageScore(i, f"night/{i:03d}", 20.0 + 3 * i, right - 0.1 + 0.02 * i, right) for i in range(12)]
    groups = [BrightnessGroup(25.0 + 15 * i, 4, right - 0.1 + 0.06 * i + 0.02 * rng.random()) for i in range(3)]
    return scores(counts.astype(np.int64), space, Detail(calibration, images, groups))


def leave_results(folder: Path, seed: int, right: float, sets=("night",), space=CITYSCAPES, step: int = 400) -> Path:
    """What `dsrnss test` leaves, but for its page."""
    rng = np.random.default_rng(seed)
    for number, name in enumerate(sets):
        truth = np.kron(rng.integers(0, space.num_classes, (4, 8), dtype=np.uint8), np.ones((24, 24), np.uint8))
        night = (space.colorize(truth) // 4 + rng.integers(0, 30, (*truth.shape, 3))).astype(np.uint8)
        wrong = truth.copy()
        wrong[:24] = 0
        panel = Panel(f"{name}/007", night, truth, {"Prediction": wrong})
        kept = [
            write_scene(folder, f"{name}_scenes", panel, rank, value, space)
            for rank, value in (("worst 1", 0.11), ("best 1", 0.74))
        ]
        about = {"checkpoint": "last.ckpt", "created": "2026-01-01", "step": step, "number": number, "scenes": kept}
        found = measured(seed + 10 * number, right + 0.15 * number, space)
        # what `write_results` writes, but for its drawings, which take long
        (folder / f"{name}.json").write_text(json.dumps({"set": name, **about, **as_json(found, space)}))
        (folder / f"{name}.csv").write_text(as_csv(found, space))
    return folder


def leave_run(
    folder: Path,
    seed: int = 0,
    right: float = 0.5,
    *,
    settings=None,
    tested: bool = True,
    steps: range = range(9, 400, 10),
    continues: str | None = None,
) -> Path:
    """What `dsrnss fit`, and then `dsrnss test`, leave."""
    rng = np.random.default_rng(seed)
    (folder / "checkpoints").mkdir(parents=True)
    (folder / "panels").mkdir()
    (folder / "checkpoints" / "last.ckpt").touch()
    model = {"network": {"backbone": "compact"}, "optimizer": {"lr": 1e-3}, "weights": "demo", **(settings or {})}
    config = {"seed_everything": seed, "trainer": {"max_steps": 400, "callbacks": []}, "ckpt_path": continues}
    # JSON is YAML
    (folder / "config.yaml").write_text(json.dumps({**config, "model": model}))
    lines = ["epoch,step,train/loss,train/loss_source,pseudo/accuracy_refined,pseudo/refined_class/road,val/night/mIoU"]
    for step in steps:
        loss = 2 / (1 + step / 80) + 0.1 * rng.random()
        checked = f"{right * (1 - 0.5 * np.exp(-step / 100)):.4f}" if step % 100 == 99 else ""
        rising = f"{0.6 + step / 1600:.4f},{0.8 + step / 4000:.4f}"
        lines.append(f"0,{step},{loss:.4f},{0.6 * loss:.4f},{rising},{checked}")
    (folder / "metrics.csv").write_text("\n".join(lines) + "\n")
    machine = {"processor": "AMD EPYC", "torch": "2.14.1", "Python": "3.11.7"}
    record = {"started": "2026-01-01T10:00:00", "finished": True, "machine": machine}
    (folder / "run.json").write_text(json.dumps({**record, "seconds": {"training": 700.0 + seed, "validation": 60.0}}))
    noise = rng.integers(0, 255, (60, 240, 3), dtype=np.uint8)
    Image.fromarray(noise).save(folder / "panels" / f"step_{steps[-1] + 1:06d}.png")
    if tested:
        leave_results(folder / "checkpoints" / "last_test", seed, right)
    return folder
