"""Prediction of large images by overlapping windows."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from dsrnss.errors import ConfigError
from dsrnss.models.batching import in_batches
from dsrnss.models.grid import averaged_bands, divided_up


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
    window_batch: int | None = None,
) -> Tensor:
    """Average the logits of overlapping windows (method section 2); arguments as of `slide_bands`.

    Returns:
        (B, C, H, W) float32 logits.
    """
    height, total, top = images.shape[-2], None, 0
    for band in slide_bands(predict, num_classes, images, window, stride, window_batch):
        rows = band.shape[-2]
        if rows == height:
            return band
        if total is None:
            total = band.new_empty((*band.shape[:2], height, band.shape[-1]))
        total[..., top : top + rows, :] = band
        top += rows
    assert total is not None
    return total


def slide_bands(
    predict: Callable[[Tensor], Tensor],
    num_classes: int,
    images: Tensor,
    window: tuple[int, int],
    stride: tuple[int, int] | None = None,
    window_batch: int | None = None,
) -> Iterator[Tensor]:
    """The same from top to bottom, as soon as no window adds to it any more: no more than a row of windows is held.

    Args:
        predict: Logits of images at their own size: (B, 3, h, w) -> (B, C, h, w).
        num_classes: C.
        images: (B, 3, H, W), of any type that `predict` takes.
        window: Height and width of a window in pixels.
        stride: Distance of two windows in pixels, no more than the window; by default half a window.
        window_batch: How many windows are predicted at once; None: as many as memory allows.

    Yields:
        (B, C, rows, W) float32 logits, valid until the next ones are asked for.

    Raises:
        ConfigError: If a number is not positive, or pixels would lie between the windows.
    """
    if window_batch is not None and window_batch < 1:
        raise ConfigError(f"window_batch is positive, not {window_batch}.")
    batch, _, height, width = images.shape

    def zeros(channels: int, rows: int) -> Tensor:
        return images.new_zeros((batch, channels, rows, width), dtype=torch.float32)

    def logits_of(boxes: Sequence[tuple[slice, slice]]) -> Iterator[Tensor]:
        return in_batches(predict, [images[..., rows, columns] for rows, columns in boxes], window_batch)

    return averaged_bands((height, width), window, stride, num_classes, zeros, logits_of)
