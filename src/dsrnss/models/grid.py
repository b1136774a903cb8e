"""Where the windows of a large image lie; without torch, so that every runtime slides alike."""

import math
import sys
from collections.abc import Callable, Iterator, Sequence
from numbers import Integral
from typing import Any

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


def averaged_bands(
    size: tuple[int, int],
    window: tuple[int, int],
    stride: tuple[int, int] | None,
    num_classes: int,
    zeros: Callable[[int, int], Any],
    logits_of: Callable[[Sequence[tuple[slice, slice]]], Iterator[Any]],
) -> Iterator[Any]:
    """Average the logits of overlapping windows, from top to bottom, in arrays of any library.

    Args:
        size: Height and width of the image, in pixels.
        window: As of `sliding_windows`.
        stride: As of `sliding_windows`.
        num_classes: Channels of the logits.
        zeros: Channels and rows to a fresh array (B, channels, rows, width).
        logits_of: Rows and columns of all windows to the logits (B, C, h, w) of each, one after the other.

    Yields:
        (B, C, rows, width) logits that no further window adds to; their memory is used again for the next ones.
    """
    (rows, columns), corners = sliding_windows(size, window, stride)
    parts = logits_of([(slice(y, y + rows), slice(x, x + columns)) for y, x in corners])
    sums, counts = zeros(num_classes, rows), zeros(1, rows)
    tops = sorted({top for top, _ in corners})
    for top, following in zip(tops, [*tops[1:], size[0]], strict=True):
        for left in (x for y, x in corners if y == top):
            sums[..., left : left + columns] += next(parts)
            counts[..., left : left + columns] += 1
        done = following - top
        band = sums[..., :done, :]
        band /= counts[..., :done, :]
        yield band
        for array in (sums, counts):
            _move_up(array, done)


def _move_up(array: Any, by: int) -> None:
    """Move rows up and clear what comes below; in pieces that do not overlap what they are moved to."""
    kept = array.shape[-2] - by
    for start in range(0, kept, by):
        stop = min(start + by, kept)
        array[..., start:stop, :] = array[..., start + by : stop + by, :]
    array[..., kept:, :] = 0
