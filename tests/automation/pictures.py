"""Tiny folders of one's own: streets by day with labels, and by night without."""

from pathlib import Path

import numpy as np
from PIL import Image

CLASSES = "classes: [ground, thing, sky]"


def street(rng: np.random.Generator, width: int, dark: float) -> tuple[np.ndarray, np.ndarray]:
    pixels, labels = rng.integers(0, 80, (96, width, 3)).astype(float), np.zeros((96, width), np.uint8)
    left = int(rng.integers(0, width - 40))
    pixels[40:70, left : left + 30] += 150
    labels[40:70, left : left + 30] = 1
    pixels[:30] += 60
    labels[:30] = 2
    return (pixels * dark).clip(0, 255).astype(np.uint8), labels


def write_day(root: Path, number: int = 8) -> Path:
    rng = np.random.default_rng(0)
    for folder in ("images", "labels"):
        (root / folder).mkdir(parents=True)
    for index in range(number):
        pixels, labels = street(rng, 128, 1.0)
        Image.fromarray(pixels).save(root / "images" / f"{index}.png")
        Image.fromarray(labels).save(root / "labels" / f"{index}.png")
    (root / "labels.yaml").write_text(CLASSES)
    return root


def write_night(root: Path, number: int = 8) -> Path:
    """Pictures of several widths in one flat folder, as a camera leaves them."""
    rng = np.random.default_rng(1)
    root.mkdir(parents=True)
    for index in range(number):
        Image.fromarray(street(rng, 128 + 16 * (index % 3), 0.4)[0]).save(root / f"{index}.jpg")
    return root
