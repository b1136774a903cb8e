import math

import numpy as np
import pytest

from dsrnss.labels import CITYSCAPES
from dsrnss.metrics import Scores
from dsrnss.reporting.content import Curve, Panel, RunReport


@pytest.fixture
def make_panel():
    def make(name="test/00001", size=(48, 96), reference=False, seed=0):
        rng = np.random.default_rng(seed)
        blocks = rng.integers(0, 19, (size[0] // 12, size[1] // 12), dtype=np.uint8)
        truth = np.kron(blocks, np.ones((12, 12), np.uint8))
        night = rng.integers(0, 60, (*truth.shape, 3), dtype=np.uint8)
        wrong = truth.copy()
        wrong[:12] = 0
        return Panel(name, night, truth, {"Source-only": wrong, "Adapted": truth}, night + 100 if reference else None)

    return make


@pytest.fixture
def make_scores():
    """Scores of given IoUs, with the means that `metrics.scores` takes of them."""

    def make(iou, accuracy=0.5):
        counted = np.nan_to_num(iou)
        dynamic, small = list(CITYSCAPES.dynamic), list(CITYSCAPES.small)
        return Scores(
            iou=iou,
            mean_iou=counted.mean(),
            mean_iou_present=np.mean(iou[~np.isnan(iou)]) if counted.any() else math.nan,
            mean_iou_dynamic=counted[dynamic].mean(),
            mean_iou_small=counted[small].mean(),
            mean_iou_dynamic_small=counted[sorted({*dynamic, *small})].mean(),
            pixel_accuracy=accuracy,
            confusion=np.zeros((len(iou), len(iou)), np.int64),
        )

    return make


@pytest.fixture
def make_report(make_panel, make_scores):
    def make(**changes):
        before = np.linspace(0.1, 0.82, 19)
        after = before + 0.061
        before[9] = after[9] = math.nan
        after[3] = before[3] - 0.123
        values = {
            "title": "Day to night",
            "settings": {"Seed": "0", "Night": "city"},
            "machine": {"Processor": "2 cores"},
            "seconds": {"adapt to night": 245.0, "evaluate": 8.04},
            "label_space": CITYSCAPES,
            "scores": {
                "source-only": make_scores(before, 0.7),
                "adapted": make_scores(after, 0.75),
            },
            "curves": [
                Curve("mixed", "", [(step, 2 / (step + 1)) for step in range(200)], "loss"),
                Curve("teacher", "%", [(0, 30.0), (100, 33.5), (200, 36.25)], "miou"),
            ],
            "panels": [make_panel(f"test/{i:05d}", seed=i) for i in range(2)],
            "command": "dsrnss demo --seed 0",
            "test_set": "night scenes that no training step has seen",
            "next_steps": ["Segment a photograph: `dsrnss segment photo.jpg --out out`"],
        }
        return RunReport(**(values | changes))

    return make
