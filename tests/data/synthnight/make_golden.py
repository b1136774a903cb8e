"""Rewrite golden.json from the present generator: `python tests/data/synthnight/make_golden.py`.

The pixels are frozen: run this only after a deliberate change of the data set, and say so in the change log,
because every number measured on SynthNight changes with it.
"""

import hashlib
import json
from pathlib import Path

import numpy as np

from dsrnss.data.synthnight import generate

CASES = [("source", 0), ("source", 17), ("target", 1), ("val", 2), ("test", 3)]
SIZE = (128, 256)
BLOCK = 16


def thumbnail(image):
    """Return the means over BLOCK x BLOCK pixels."""
    h, w = SIZE[0] // BLOCK, SIZE[1] // BLOCK
    return image.reshape(h, BLOCK, w, BLOCK, 3).mean((1, 3))


def describe(split, index):
    """Return what golden.json holds of one sample."""
    scene = generate(split, index, size=SIZE)
    entry = {
        "label": hashlib.sha256(scene.label.tobytes()).hexdigest(),
        "image": np.round(thumbnail(scene.image)).astype(int).tolist(),
    }
    if scene.reference is not None:
        entry["reference_label"] = hashlib.sha256(scene.reference_label.tobytes()).hexdigest()
        entry["reference"] = np.round(thumbnail(scene.reference)).astype(int).tolist()
    return entry


if __name__ == "__main__":
    golden = {f"{split}/{index}": describe(split, index) for split, index in CASES}
    Path(__file__).with_name("golden.json").write_text(json.dumps(golden), encoding="utf-8")
