"""Where the windows of a large image lie; without torch, so that every runtime slides alike."""

import math
import sys
from collections.abc import Iterator
from numbers import Integral

from dsrnss.errors import ConfigError
from dsrnss.models.config import is_whole


def divided_up(number: int, by: int) -> int:
    """A quotient, rounded up; not by negative numbers, whose quotients ONNX rounds another way than Python."""
    return (number + by - 1) // by


def pixel_pair(name: str, value: object) -> tuple[int, int]:
    """A height and a width.

    Args:
        name: What it is, for messages.
        value: What a user gave.

    Raises:
        ConfigError: If that is no pair of positive whole numbers.
    """
    if isinstance(value, (list, tuple)) and len(value) == 2:
        height, width = (
            int(side) if isinstance(side, Integral) and not isinstance(side, bool) else side for side in value
        )
        if is_whole(height, 1, sys.maxsize) and is_whole(width, 1, sys.maxsize):
            return height, width
    raise ConfigError(f"{name} is a height and a width in pixels, for example (1080, 1080), not {value!r}.")


def window_boxes(size: tuple[int, int], window: tuple[int, int], stride: tuple[int, int]) -> Iterator[tuple[int, int]]:
    """Upper left corners (row, column) of sliding windows, row first; the last ones are moved inside the image."""
    rows, columns = (
        [min(i * s, full - part) for i in range(max(math.ceil((full - part) / s), 0) + 1)]
        for full, part, s in zip(size, window, stride, strict=True)
    )
    for row in rows:
        for column in columns:
            yield row, column


def sliding_windows(
    size: tuple[int, int], window: tuple[int, int], stride: tuple[int, int] | None = None
) -> tuple[tuple[int, int], list[tuple[int, int]]]:
    """The windows that cover an image.

    Args:
        size: Height and width of the image, in pixels.
        window: Height and width of a window in pixels; no larger than the image is taken.
        stride: Distance of two windows in pixels, no more than the window; by default half a window.

    Returns:
        Height and width of a window, and the upper left corners (row, column) of all.

    Raises:
        ConfigError: If a number is not positive, or pixels would lie between the windows.
    """
    window = pixel_pair("window", window)
    stride = pixel_pair("stride", stride or (max(window[0] // 2, 1), max(window[1] // 2, 1)))
    part = (min(window[0], size[0]), min(window[1], size[1]))
    if any(side < full and step > side for side, full, step in zip(part, size, stride, strict=True)):
        raise ConfigError(f"stride {stride} leaves gaps between windows of {part}: give a stride up to the window.")
    return part, list(window_boxes(size, part, stride))
