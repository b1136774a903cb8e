import math

import numpy as np
import pytest

from dsrnss.labels import CITYSCAPES
from dsrnss.reporting.report import Curve, DemoReport, ModelScores, Panel


@pytest.fixture
def make_panel():
    def make(name="test/00001", size=(48, 96), reference=False, seed=0):
        rng = np.random.default_rng(seed)
        blocks = rng.integers(0, 19, (size[0] // 12, size[1] // 12), dtype=np.uint8)
        truth = np.kron(blocks, np.ones((12, 12), np.uint8))
        night = rng.integers(0, 60, (*truth.shape, 3), dtype=np.uint8)
        wrong = truth.copy()
        wrong[:12] = 0
        return Panel(name, night, truth, wrong, truth, night + 100 if reference else None)

    return make


@pytest.fixture
def make_report(make_panel):
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
                "source-only": ModelScores.from_iou("Source-only", before, 0.7, CITYSCAPES),
                "adapted": ModelScores.from_iou("Adapted", after, 0.75, CITYSCAPES),
            },
            "curves": [
                Curve("mixed", "", [(step, 2 / (step + 1)) for step in range(200)], "loss"),
                Curve("teacher", "%", [(0, 30.0), (100, 33.5), (200, 36.25)], "miou"),
            ],
            "panels": [make_panel(f"test/{i:05d}", seed=i) for i in range(2)],
            "command": "dsrnss demo --seed 0",
            "next_steps": ["Segment a photograph: `dsrnss segment photo.jpg --out out`"],
        }
        return DemoReport(**(values | changes))

    return make
