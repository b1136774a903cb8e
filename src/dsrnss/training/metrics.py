"""Segmentation metrics from one confusion matrix over the whole set."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torchmetrics import Metric

from dsrnss.labels import IGNORE_INDEX, LabelSpace
from dsrnss.reporting.content import ModelScores


@dataclass(frozen=True)
class Scores:
    """What a confusion matrix says, as shares in [0, 1].

    Attributes:
        iou: (C,) per class; nan where a class is neither in the truth nor predicted.
        mean_iou: Over all classes, such classes counting 0 (the published definition).
        mean_iou_present: Over the classes of the truth.
        mean_iou_dynamic: Over the moving classes.
        mean_iou_small: Over the small classes.
        mean_iou_dynamic_small: Over the union of both.
        pixel_accuracy: Share of labelled pixels that are right.
    """

    iou: npt.NDArray[np.float64]
    mean_iou: float
    mean_iou_present: float
    mean_iou_dynamic: float
    mean_iou_small: float
    mean_iou_dynamic_small: float
    pixel_accuracy: float

    def summary(self) -> dict[str, float]:
        """The means by their names in logs."""
        return {
            "mIoU": self.mean_iou,
            "mIoU_present": self.mean_iou_present,
            "mIoU_dynamic": self.mean_iou_dynamic,
            "mIoU_small": self.mean_iou_small,
            "mIoU_dynamic_small": self.mean_iou_dynamic_small,
            "pixel_accuracy": self.pixel_accuracy,
        }


def scores(confusion: npt.NDArray[np.int64], label_space: LabelSpace) -> Scores:
    """Compute the metrics.

    Args:
        confusion: (C, C) pixel counts, truth x prediction.
        label_space: Names the groups.
    """
    hits = np.diag(confusion).astype(np.float64)
    truth, predicted = confusion.sum(1), confusion.sum(0)
    union = truth + predicted - hits
    iou = np.where(union > 0, hits / np.maximum(union, 1), np.nan)
    counted = np.nan_to_num(iou)

    def mean_over(classes: list[int]) -> float:
        return float(counted[classes].mean()) if classes else float("nan")

    return Scores(
        iou=iou,
        mean_iou=float(counted.mean()),
        mean_iou_present=mean_over(np.flatnonzero(truth).tolist()),
        mean_iou_dynamic=mean_over(list(label_space.dynamic)),
        mean_iou_small=mean_over(list(label_space.small)),
        mean_iou_dynamic_small=mean_over(sorted({*label_space.dynamic, *label_space.small})),
        pixel_accuracy=float(hits.sum() / max(truth.sum(), 1)),
    )


class ConfusionMatrix(Metric):
    """Counts truth x prediction over a set; exact over processes, for they are summed.

    Args:
        num_classes: Number of classes.
    """

    full_state_update = False
    counts: Tensor

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.add_state("counts", torch.zeros((num_classes, num_classes), dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, predictions: Tensor, labels: Tensor) -> None:
        """Count a batch.

        Args:
            predictions: (B, H, W) train ids.
            labels: (B, H, W) train ids, 255 ignored.
        """
        known = labels != IGNORE_INDEX
        pairs = labels[known].long() * self.num_classes + predictions[known].long()
        self.counts += torch.bincount(pairs, minlength=self.num_classes**2).view_as(self.counts)

    def compute(self) -> Tensor:
        """The (C, C) counts."""
        return self.counts


def pixel_accuracy(predictions: Tensor, labels: Tensor) -> Tensor:
    """Share of labelled pixels that are right: (B, H, W) each -> scalar; 0 where nothing is labelled."""
    known = labels != IGNORE_INDEX
    return ((predictions == labels) & known).sum() / known.sum().clamp(min=1)


def class_balance(
    counts: npt.NDArray[np.int64], exponent: float, limits: tuple[float, float] = (0.5, 3.0)
) -> npt.NDArray[np.float64]:
    """Class weights (median frequency / frequency) ** exponent, within limits.

    Args:
        counts: (C,) pixels per class; a class without any gets the upper limit.
        exponent: 0.5 is the square root.
        limits: Least and greatest weight.
    """
    frequency = counts / max(counts.sum(), 1)
    median = np.median(frequency[frequency > 0]) if counts.any() else 1.0
    weights: npt.NDArray[np.float64] = np.clip((median / np.maximum(frequency, 1e-12)) ** exponent, *limits)
    return weights


def model_scores(name: str, scores: Scores) -> ModelScores:
    """Scores as the report takes them."""
    return ModelScores(
        name, scores.iou, scores.mean_iou, scores.mean_iou_dynamic, scores.mean_iou_small, scores.pixel_accuracy
    )
