"""Which pixels belong to which cell of a coarser grid, as nearest-neighbour resizing sees it."""

import torch
import torch.nn.functional as F
from torch import Tensor


def nearest_index(size_in: int, size_out: int, device: torch.device | None = None) -> Tensor:
    """The input position that `F.interpolate(mode="nearest")` takes for each output position: (size_out,) int64."""
    positions = torch.arange(size_in, dtype=torch.float32, device=device).view(1, 1, size_in)
    return F.interpolate(positions, size=size_out, mode="nearest").view(size_out).long()


def nearest_labels(labels: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize label maps by nearest neighbour: (B, H, W) -> (B, h, w), without a detour through floats."""
    rows = nearest_index(labels.shape[1], size[0], labels.device)
    columns = nearest_index(labels.shape[2], size[1], labels.device)
    return labels[:, rows][:, :, columns]


def count_in_cells(labels: Tensor, size: tuple[int, int], num_classes: int) -> Tensor:
    """Count the pixels of each class in each cell of an h x w grid laid over the label maps.

    A pixel belongs to the cell from which nearest-neighbour upsampling of the grid would fill it; every pixel belongs
    to one cell, whatever the sizes. Where h divides H, a cell is a block of H/h rows.

    Args:
        labels: (B, H, W) int64 train ids; `num_classes` and above is ignored.
        size: (h, w) of the grid.
        num_classes: C.

    Returns:
        (B, C + 1, h, w) int64; the last channel counts ignored pixels.
    """
    (height, width), bins = size, num_classes + 1
    rows = nearest_index(height, labels.shape[1], labels.device)
    columns = nearest_index(width, labels.shape[2], labels.device)
    images = torch.arange(len(labels), device=labels.device)
    cells = (images[:, None, None] * height + rows[:, None]) * width + columns
    index = cells * bins + labels.clamp(max=num_classes)
    counts = count(index, len(labels) * height * width * bins)
    return counts.view(len(labels), height, width, bins).permute(0, 3, 1, 2)


def count(values: Tensor, number: int) -> Tensor:
    """How often each of 0..number-1 occurs: (number,) int64. Unlike `bincount` it makes the host wait for no GPU."""
    counts = torch.zeros(number, dtype=torch.int64, device=values.device)
    return counts.scatter_add_(0, values.flatten(), counts.new_ones(()).expand(values.numel()))
