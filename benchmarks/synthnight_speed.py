"""Time SynthNight on one core and count its classes.

`python benchmarks/synthnight_speed.py` prints milliseconds of processor time an image; `--frequencies` adds the
share of each class in percent and the share of the images that show it.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from functools import partial

import cv2
import numpy as np

from dsrnss.data.synthnight import NIGHT_PRESETS, SPLITS, STYLES, Style, generate
from dsrnss.labels import CITYSCAPES

SIZES = ((256, 512), (512, 1024))
VISIBLE_SHARE = 1e-4
"""Share of the pixels from which on a class counts as shown in an image."""


def milliseconds(make: Callable[[int], object], images: int) -> tuple[float, float]:
    """Return median and minimum of the processor time of `make(index)`."""
    for index in range(3):  # fills the caches of textures
        make(index)
    times = []
    for index in range(images):
        begin = time.process_time()
        make(index)
        times.append(1e3 * (time.process_time() - begin))
    return statistics.median(times), min(times)


def print_speed(images: int, style: Style) -> None:
    """Print the table of times of a style."""
    print(f"{style}\n{'size':>10} {'day':>16} {'night':>16} {'night + reference':>18}   ms: median (min)")
    for size in SIZES:
        makers = [
            partial(generate, "source", size=size, style=style),
            partial(generate, "val", size=size, reference=False, style=style),
            partial(generate, "val", size=size, style=style),
        ]
        cells = ["{:.0f} ({:.0f})".format(*milliseconds(make, images)) for make in makers]
        print(f"{size[0]:>5}x{size[1]:<4} {cells[0]:>16} {cells[1]:>16} {cells[2]:>18}")


def print_brightness(images: int) -> None:
    """Print the mean grey level of the same scenes by day and in each night."""
    day = np.mean([generate("val", i, light="day", reference=False).image.mean() for i in range(images)])
    print(f"\nmean grey level of val: day {day:.0f}", end="")
    for name in NIGHT_PRESETS:
        night = np.mean([generate("val", i, night=name, reference=False).image.mean() for i in range(images)])
        print(f", {name} {night:.0f}", end="")
    print()


def print_frequencies(images: int) -> None:
    """Print how often each class occurs."""
    print(f"\n{'class':>14} " + " ".join(f"{split:>14}" for split in SPLITS) + "   % of pixels (% of images)")
    columns = []
    for split in SPLITS:
        counts = np.zeros((images, 19))
        for index in range(images):
            label = generate(split, index, reference=False, light="day").label
            counts[index] = np.bincount(label.ravel(), minlength=19)[:19]
        share = counts / counts.sum(1, keepdims=True)
        columns.append((100 * share.mean(0), 100 * (share > VISIBLE_SHARE).mean(0)))
    for k, name in enumerate(CITYSCAPES.names):
        print(f"{name:>14} " + " ".join(f"{pixels[k]:8.2f} ({shown[k]:3.0f})" for pixels, shown in columns))


def main() -> None:
    """Print what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=20, help="images a cell of the table of times")
    parser.add_argument("--frequencies", action="store_true", help="also print brightness and class frequencies")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    for style in STYLES:
        print_speed(arguments.images, style)
    if arguments.frequencies:
        print_brightness(arguments.images)
        print_frequencies(5 * arguments.images)


if __name__ == "__main__":
    main()
