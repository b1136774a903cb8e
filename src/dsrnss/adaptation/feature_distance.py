"""Feature distance to the initial encoder (DAFormer, arXiv 2111.14887; method section 1, item 2)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from dsrnss.adaptation.cells import count_in_cells
from dsrnss.constants import constant
from dsrnss.errors import ConfigError, check_range, did_you_mean
from dsrnss.labels import IGNORE_INDEX


def _l2(student: Tensor, reference: Tensor) -> Tensor:
    distance: Tensor = torch.linalg.vector_norm(student - reference, dim=1)
    return distance


def _cosine(student: Tensor, reference: Tensor) -> Tensor:
    return 1 - F.cosine_similarity(student, reference, dim=1)


_DISTANCES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"l2": _l2, "cosine": _cosine}
"""Of two feature maps (B, D, h, w), over the channels: (B, h, w)."""


@dataclass(frozen=True)
class FeatureDistanceConfig:
    """How strongly features of objects are held near those of the initial encoder.

    Args:
        weight: Weight of the loss; 0 switches it, and the reference encoder, off.
        distance: `l2`, as in the paper, or `cosine`: 1 minus the cosine, which does not depend on how large the
            features of an encoder are.
        share: Share of a feature's label pixels that one class must cover for the feature to count.
    """

    weight: float = 0.005
    distance: Literal["l2", "cosine"] = "l2"
    share: float = 0.75

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises:
            ConfigError: If a value is outside its range.
        """
        check_range("feature_distance.weight", self.weight, 0)
        if self.distance not in _DISTANCES:
            raise ConfigError(
                f"feature_distance.distance: unknown distance '{self.distance}'."
                f"{did_you_mean(self.distance, _DISTANCES)}"
            )
        check_range("feature_distance.share", self.share, 0, 1)


def reduce_labels(labels: Tensor, size: tuple[int, int], num_classes: int, share: float) -> Tensor:
    """Reduce label maps to a feature map's size: the majority class of each cell, where the majority is clear.

    Where the label map is a whole multiple of the feature map this is the average pooled one-hot map of DAFormer; at
    any other size a cell holds the label pixels that nearest-neighbour upsampling would fill from it, and a cell
    without one (a feature map larger than the label map) is ignored.

    Args:
        labels: (B, H, W) int64 train ids, 255 ignored.
        size: (h, w) of the feature map.
        num_classes: C; the ignored label competes as a class of its own.
        share: Least share of the majority; below it the cell is ignored.

    Returns:
        (B, h, w) int64 train ids, 255 ignored.
    """
    counts = count_in_cells(labels, size, num_classes)
    most, majority = counts.max(1)
    shares = most / counts.sum(1).clamp(min=1)
    clear = (shares >= share) & (majority < num_classes) & (most > 0)
    return torch.where(clear, majority, IGNORE_INDEX)


def feature_distance(
    student: Tensor,
    reference: Tensor,
    labels: Tensor,
    classes: Sequence[int] | None,
    num_classes: int,
    config: FeatureDistanceConfig | None = None,
) -> Tensor:
    """Weighted mean distance of two feature maps over the positions of some classes.

    Args:
        student: (B, D, h, w) features of the student.
        reference: (B, D, h, w) features of the initial encoder.
        labels: (B, H, W) int64 train ids, 255 ignored.
        classes: Train ids whose positions count; None: all positions, whatever their label.
        num_classes: C.
        config: Weight and share.

    Returns:
        A scalar; 0, still connected to the graph, where no position is selected (officially NaN).
    """
    config = config or FeatureDistanceConfig()
    distance = _DISTANCES[config.distance](student.float(), reference.float())
    if classes is None:
        return config.weight * distance.mean()
    size = (student.shape[2], student.shape[3])
    reduced = reduce_labels(labels, size, num_classes, config.share)
    selected = torch.isin(reduced, constant(tuple(classes), reduced.device, reduced.dtype))
    return config.weight * (distance * selected).sum() / selected.sum().clamp(min=1)
