"""Which classes stand in a label map, as numbers of the host."""

from collections.abc import Sequence

import torch
from torch import Tensor

Present = Sequence[Sequence[int]]
"""The train ids of each label map of a batch, rising, 255 among them where pixels are ignored."""


def classes_present(labels: Tensor) -> Present:
    """Find the classes of each label map; labels of a GPU are waited for, once.

    Args:
        labels: (B, H, W) int64 train ids, 255 ignored.
    """
    found = torch.zeros(len(labels), 256, dtype=torch.bool, device=labels.device)
    found.scatter_(1, labels.flatten(1).long(), True)
    return [[label for label, there in enumerate(row) if there] for row in found.cpu().tolist()]
