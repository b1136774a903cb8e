"""Prediction of large images by overlapping windows."""

import math
import sys
from collections.abc import Callable, Iterator
from numbers import Integral

import torch
import torch.nn.functional as F
from torch import Tensor

from dsrnss.errors import ConfigError
from dsrnss.models.config import is_whole


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


def pad_image(images: Tensor, smallest: int, multiple: int = 1) -> Tensor:
    """Repeat the right and lower edge of pictures whose sides are too small or no multiple of a number.

    Args:
        images: (B, 3, H, W).
        smallest: Least side in pixels.
        multiple: Of what the sides must be a multiple.
    """
    right, bottom = (-(-max(side, smallest) // multiple) * multiple - side for side in images.shape[:-3:-1])
    return F.pad(images, (0, right, 0, bottom), mode="replicate") if right or bottom else images


def window_boxes(size: tuple[int, int], window: tuple[int, int], stride: tuple[int, int]) -> Iterator[tuple[int, int]]:
    """Upper left corners (row, column) of sliding windows, row first; the last ones are moved inside the image."""
    rows, columns = (
        [min(i * s, full - part) for i in range(max(math.ceil((full - part) / s), 0) + 1)]
        for full, part, s in zip(size, window, stride, strict=True)
    )
    for row in rows:
        for column in columns:
            yield row, column


def slide(
    predict: Callable[[Tensor], Tensor],
    num_classes: int,
    images: Tensor,
    window: tuple[int, int],
    stride: tuple[int, int] | None = None,
    window_batch: int = 1,
) -> Tensor:
    """Average the logits of overlapping windows (method section 2).

    Args:
        predict: Logits of images at their own size: (B, 3, h, w) -> (B, C, h, w).
        num_classes: C.
        images: (B, 3, H, W).
        window: Height and width of a window in pixels.
        stride: Distance of two windows in pixels, no more than the window; by default half a window.
        window_batch: How many windows are predicted at once.

    Returns:
        (B, C, H, W) float32 logits.

    Raises:
        ConfigError: If a number is not positive, or pixels would lie between the windows.
    """
    window = pixel_pair("window", window)
    stride = pixel_pair("stride", stride or (max(window[0] // 2, 1), max(window[1] // 2, 1)))
    if window_batch < 1:
        raise ConfigError(f"window_batch is positive, not {window_batch}.")
    batch, _, height, width = images.shape
    size = (min(window[0], height), min(window[1], width))
    if any(part < full and step > part for part, full, step in zip(size, (height, width), stride, strict=True)):
        raise ConfigError(f"stride {stride} leaves gaps between windows of {size}: give a stride up to the window.")
    total = images.new_zeros((batch, num_classes, height, width), dtype=torch.float32)
    count = images.new_zeros((1, 1, height, width), dtype=torch.float32)
    boxes = list(window_boxes((height, width), size, stride))
    for start in range(0, len(boxes), window_batch):
        chosen = boxes[start : start + window_batch]
        crops = torch.cat([images[..., y : y + size[0], x : x + size[1]] for y, x in chosen])
        for (y, x), logits in zip(chosen, predict(crops).split(batch), strict=True):
            total[..., y : y + size[0], x : x + size[1]] += logits
            count[..., y : y + size[0], x : x + size[1]] += 1
    return total.div_(count)
