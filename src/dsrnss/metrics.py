"""Segmentation metrics from one confusion matrix over the whole set."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torchmetrics import Metric

from dsrnss.detail import Detail
from dsrnss.labels import IGNORE_INDEX, LabelSpace


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
        confusion: (C, C) pixel counts, truth x prediction.
        uiou: (C,) uncertainty-aware IoU; None: the set has no masks of invalid pixels.
        mean_uiou: Its mean over all classes; None likewise.
        detail: Confidence, and each picture by itself; None: not counted.
    """

    iou: npt.NDArray[np.float64]
    mean_iou: float
    mean_iou_present: float
    mean_iou_dynamic: float
    mean_iou_small: float
    mean_iou_dynamic_small: float
    pixel_accuracy: float
    confusion: npt.NDArray[np.int64]
    uiou: npt.NDArray[np.float64] | None = None
    mean_uiou: float | None = None
    detail: Detail | None = None

    def summary(self) -> dict[str, float]:
        """The means by their names in logs; `UIoU` only where it was measured."""
        uncertain = {} if self.mean_uiou is None else {"UIoU": self.mean_uiou}
        return {
            "mIoU": self.mean_iou,
            "mIoU_present": self.mean_iou_present,
            "mIoU_dynamic": self.mean_iou_dynamic,
            "mIoU_small": self.mean_iou_small,
            "mIoU_dynamic_small": self.mean_iou_dynamic_small,
            "pixel_accuracy": self.pixel_accuracy,
            **uncertain,
        }


def scores(counts: npt.NDArray[np.int64], label_space: LabelSpace, detail: Detail | None = None) -> Scores:
    """Compute the metrics.

    Args:
        counts: (C, C) pixel counts, truth x prediction; or what `ConfusionMatrix` computes, (C, 2C + 2).
        label_space: Names the groups.
        detail: What else was counted.
    """
    classes = len(counts)
    confusion, certain, invalid = counts[:, :classes], counts[:, classes : 2 * classes], counts[:, 2 * classes :]
    iou = _overlap(confusion, np.zeros((classes, 2), np.int64))
    # pixels are counted there only where a mask says which are invalid
    uiou = _overlap(certain, invalid) if certain.any() or invalid.any() else None
    counted, truth = np.nan_to_num(iou), confusion.sum(1)

    def mean_over(classes: list[int]) -> float:
        return float(counted[classes].mean()) if classes else float("nan")

    return Scores(
        iou=iou,
        mean_iou=float(counted.mean()),
        mean_iou_present=mean_over(np.flatnonzero(truth).tolist()),
        mean_iou_dynamic=mean_over(list(label_space.dynamic)),
        mean_iou_small=mean_over(list(label_space.small)),
        mean_iou_dynamic_small=mean_over(sorted({*label_space.dynamic, *label_space.small})),
        pixel_accuracy=float(np.trace(confusion) / max(truth.sum(), 1)),
        confusion=confusion,
        uiou=uiou,
        mean_uiou=None if uiou is None else float(np.nan_to_num(uiou).mean()),
        detail=detail,
    )


def mean_iou(confusion: npt.NDArray[np.int64]) -> float:
    """Mean IoU over all classes of (C, C) pixel counts; one that occurs nowhere counts 0."""
    return float(np.nan_to_num(_overlap(confusion, np.zeros((len(confusion), 2), np.int64))).mean())


def _overlap(pairs: npt.NDArray[np.int64], invalid: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """(TP + TI) / (TP + TI + FP + FN + FI) of each class; without invalid pixels the IoU.

    Args:
        pairs: (C, C) pixels that are not declared invalid, truth x prediction.
        invalid: (C, 2) pixels declared invalid, TI and FI, by their true class.
    """
    hits = (np.diag(pairs) + invalid[:, 0]).astype(np.float64)
    union = pairs.sum(0) + pairs.sum(1) - np.diag(pairs) + invalid.sum(1)
    return np.where(union > 0, hits / np.maximum(union, 1), np.nan)


@dataclass(frozen=True)
class LabelFree:
    """What can be said of a network without labels.

    Attributes:
        consistency: Mean IoU of the predictions on pictures and on changed views of them, 0 to 1.
        information: Entropy of the mean prediction less the mean entropy, over the logarithm of C, 0 to 1.
        confidence: Mean of the highest probability.
        shares: (C,) share of the pixels that is called each class.
    """

    consistency: float
    information: float
    confidence: float
    shares: npt.NDArray[np.float64]

    @property
    def score(self) -> float:
        """By which networks of one training are compared."""
        return self.consistency * self.information


class ConfusionMatrix(Metric):
    """Counts truth x prediction over a set; exact over processes, for they are summed.

    For the uncertainty-aware IoU (Sakaridis et al., arXiv 1901.05946, section 4) it also counts the pairs among pixels
    whose confidence reaches the threshold, and of the others, which are declared invalid, those that are so in truth
    (TI) and those that are not (FI), by their true class.

    Args:
        num_classes: Number of classes, C.
        threshold: Pixels of lower confidence are declared invalid.
    """

    full_state_update = False
    counts: Tensor

    def __init__(self, num_classes: int, threshold: float = 0.5) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.threshold = threshold
        empty = torch.zeros((num_classes, 2 * num_classes + 2), dtype=torch.int64)
        self.add_state("counts", empty, dist_reduce_fx="sum")

    def update(
        self, predictions: Tensor, labels: Tensor, confidence: Tensor | None = None, invalid: Tensor | None = None
    ) -> None:
        """Count a batch.

        Args:
            predictions: (B, H, W) train ids.
            labels: (B, H, W) train ids, 255 ignored.
            confidence: (B, H, W) probability of the predicted class; needed with `invalid`.
            invalid: (B, H, W) bool, pixels that are invalid in truth; None: not known, UIoU is not counted.
        """
        classes, known = self.num_classes, labels != IGNORE_INDEX
        truth, predicted = labels[known].long(), predictions[known].long()
        width = 2 * classes + 2
        cells = [truth * width + predicted]
        if invalid is not None and confidence is not None:
            doubtful = confidence[known] < self.threshold
            place = torch.where(invalid[known].bool(), 2 * classes, 2 * classes + 1)
            cells.append(truth * width + torch.where(doubtful, place, classes + predicted))
        for cell in cells:
            self.counts += torch.bincount(cell, minlength=classes * width).view_as(self.counts)

    def compute(self) -> Tensor:
        """The (C, 2C + 2) counts: all pairs, the pairs not declared invalid, TI, FI. `scores` takes them."""
        return self.counts


def pixel_accuracy(predictions: Tensor, labels: Tensor) -> Tensor:
    """Share of labelled pixels that are right: (B, H, W) each -> scalar; 0 where nothing is labelled."""
    known = labels != IGNORE_INDEX
    return ((predictions == labels) & known).sum() / known.sum().clamp(min=1)
