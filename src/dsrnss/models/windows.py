"""Prediction of large images by overlapping windows."""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from dsrnss.errors import ConfigError
from dsrnss.models.grid import divided_up, sliding_windows


def pad_image(images: Tensor, smallest: int, multiple: int = 1) -> Tensor:
    """Repeat the right and lower edge of pictures whose sides are too small or no multiple of a number.

    Args:
        images: (B, 3, H, W).
        smallest: Least side in pixels.
        multiple: Of what the sides must be a multiple.
    """
    right, bottom = (_to_pad(side, smallest, multiple) for side in images.shape[:-3:-1])
    # a graph that is to take every size must not decide by the first one
    if torch.compiler.is_compiling() or right or bottom:
        return F.pad(images, (0, right, 0, bottom), mode="replicate")
    return images


def _to_pad(side: int, smallest: int, multiple: int) -> Any:
    """Pixels that a side lacks; while a graph is made that is a symbol."""
    least: Any = torch.sym_max(side, smallest)
    return divided_up(least, multiple) * multiple - side


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
    if window_batch < 1:
        raise ConfigError(f"window_batch is positive, not {window_batch}.")
    batch, _, height, width = images.shape
    size, boxes = sliding_windows((height, width), window, stride)
    total = images.new_zeros((batch, num_classes, height, width), dtype=torch.float32)
    count = images.new_zeros((1, 1, height, width), dtype=torch.float32)
    for start in range(0, len(boxes), window_batch):
        chosen = boxes[start : start + window_batch]
        crops = torch.cat([images[..., y : y + size[0], x : x + size[1]] for y, x in chosen])
        for (y, x), logits in zip(chosen, predict(crops).split(batch), strict=True):
            total[..., y : y + size[0], x : x + size[1]] += logits
            count[..., y : y + size[0], x : x + size[1]] += 1
    return total.div_(count)
