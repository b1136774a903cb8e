"""What a test says beyond the confusion matrix: how far confidence can be trusted, and each picture by itself.

All is counted in whole numbers while the batches come, so that several processes give the numbers of one.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torchmetrics import Metric

from dsrnss.collectives import everyones
from dsrnss.constants import constant
from dsrnss.labels import IGNORE_INDEX
from dsrnss.normalisation import denormalise

BINS = 15
"""Of the confidence, equally wide."""
_UNIT = 2**20
"""Confidences are added up in whole parts of this."""
_CENT = 100
_LUMA = (0.299, 0.587, 0.114)
_GROUPS, _LEAST_PICTURES = 6, 4
"""Groups of pictures by brightness, at most, and the pictures that one has at least."""

Counts = npt.NDArray[np.int64]


@dataclass(frozen=True)
class ImageScore:
    """How right a network is on one picture.

    Attributes:
        index: Its number in the set.
        name: Its name.
        brightness: Mean luma, 0 to 255.
        mean_iou: Over the classes of its truth.
        accuracy: Share of its labelled pixels that are right.
    """

    index: int
    name: str
    brightness: float
    mean_iou: float
    accuracy: float


@dataclass(frozen=True)
class BrightnessGroup:
    """Pictures of a similar brightness.

    Attributes:
        brightness: Their mean luma, 0 to 255.
        pictures: How many there are.
        mean_iou: Of them together, over the classes of their truth.
    """

    brightness: float
    pictures: int
    mean_iou: float


@dataclass(frozen=True)
class Detail:
    """What a set says beyond its confusion matrix.

    Attributes:
        calibration: (BINS, 3) pixels, pixels that are right, and summed confidence, of each bin of the confidence.
        images: The pictures that have labels, in the order of the set.
        brightness: The pictures in groups of equal size, from dark to bright; empty where there are too few.
    """

    calibration: npt.NDArray[np.float64]
    images: Sequence[ImageScore] = ()
    brightness: Sequence[BrightnessGroup] = ()

    @property
    def calibration_error(self) -> float:
        """Expected calibration error (Naeini et al., AAAI 2015): mean distance of confidence and accuracy, 0 to 1."""
        return calibration_error(self.calibration)

    def extremes(self, count: int) -> tuple[list[ImageScore], list[ImageScore]]:
        """The worst and the best pictures, at most `count` each, none in both."""
        ranked = sorted((one for one in self.images if not math.isnan(one.mean_iou)), key=lambda one: one.mean_iou)
        worst = ranked[: min(count, (len(ranked) + 1) // 2)]
        return worst, ranked[len(worst) :][::-1][:count]


def calibration_error(calibration: npt.NDArray[np.float64]) -> float:
    """The expected calibration error of (BINS, 3) counts; nan where nothing was counted."""
    pixels, right, confidence = calibration.T
    return float(np.abs(right - confidence).sum() / pixels.sum()) if pixels.sum() else math.nan


class DetailCounts(Metric):
    """Counts what `Detail` tells; exact over processes.

    Args:
        num_classes: Number of classes, C.
    """

    full_state_update = False
    calibration: Tensor
    rows: list[Tensor]

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.names: dict[int, str] = {}
        self.add_state("calibration", torch.zeros((BINS, 3), dtype=torch.int64), dist_reduce_fx="sum")
        self.add_state("rows", [], dist_reduce_fx="cat")

    def update(self, batch: Mapping[str, Tensor], predictions: Tensor, confidence: Tensor) -> None:
        """Count a batch.

        Args:
            batch: `image` (B, 3, H, W) normalised RGB, `label` (B, Hl, Wl) train ids, `index` (B,), and `name`.
            predictions: (B, Hl, Wl) train ids.
            confidence: (B, Hl, Wl) probability of the predicted class, 0 to 1.
        """
        labels = batch["label"]
        known = labels != IGNORE_INDEX
        sure, right = confidence[known].float(), (predictions == labels)[known]
        place = (sure * BINS).long().clamp(0, BINS - 1)
        values = torch.stack([torch.ones_like(place), right.long(), (sure * _UNIT).round().long()], dim=1)
        self.calibration.index_add_(0, place, values)
        channels = denormalise(batch["image"]).float().mean((-2, -1)).clamp(0, 1)
        with torch.autocast(channels.device.type, enabled=False):  # half precision knows every 16th cent
            luma = (channels @ constant(_LUMA, channels.device) * 255 * _CENT).round().long()
        # a process without labelled pictures has rows, too: those of all are gathered by their shape
        rows = [self.calibration.new_zeros((0, 2 + 3 * self.num_classes))]
        for number, (index, name) in enumerate(zip(batch["index"].tolist(), batch["name"], strict=True)):
            inside = known[number]
            if inside.any():  # a picture without labels, or padding
                self.names[index] = str(name)
                counts = self._counts(labels[number][inside].long(), predictions[number][inside].long())
                about = torch.stack([batch["index"][number], luma[number]])
                rows.append(torch.cat([about, counts])[None])
        self.rows.append(torch.cat(rows))

    def _counts(self, truth: Tensor, predicted: Tensor) -> Tensor:
        """(3C,) pixels that are right, in the truth, and predicted, of each class."""
        groups = (truth[truth == predicted], truth, predicted)
        return torch.cat([torch.bincount(group, minlength=self.num_classes) for group in groups])

    def compute(self) -> tuple[Tensor, Tensor]:
        """The (BINS, 3) counts of the confidence, and (N, 2 + 3C) of the pictures."""
        rows = torch.cat(list(self.rows)) if isinstance(self.rows, list) and self.rows else self.rows
        empty = self.calibration.new_zeros((0, 2 + 3 * self.num_classes))
        return self.calibration, rows if isinstance(rows, Tensor) else empty

    def detail(self) -> Detail:
        """What was counted, over all processes."""
        calibration, rows = (counts.cpu().numpy() for counts in self.compute())
        told = calibration.astype(np.float64)
        told[:, 2] /= _UNIT
        ordered = rows[np.argsort(rows[:, 0], kind="stable")]
        return Detail(told, _images(ordered, _gathered(self.names)), _brightness(ordered))


def _gathered(names: dict[int, str]) -> dict[int, str]:
    """The names that all processes know."""
    return {index: name for part in everyones(names) for index, name in part.items()}


def _images(rows: Counts, names: Mapping[int, str]) -> list[ImageScore]:
    found = []
    for row in rows:
        right, truth, _ = row[2:].reshape(3, -1)
        accuracy = float(right.sum() / max(truth.sum(), 1))
        index = int(row[0])
        found.append(ImageScore(index, names.get(index, str(index)), row[1] / _CENT, _mean_iou(row[2:]), accuracy))
    return found


def _brightness(rows: Counts) -> list[BrightnessGroup]:
    groups = min(_GROUPS, len(rows) // _LEAST_PICTURES)
    if groups < 2:
        return []
    by_brightness = rows[np.argsort(rows[:, 1], kind="stable")]
    return [
        BrightnessGroup(float(part[:, 1].mean()) / _CENT, len(part), _mean_iou(part[:, 2:].sum(0)))
        for part in np.array_split(by_brightness, groups)
    ]


def _mean_iou(counts: Counts) -> float:
    """The mean over the classes of the truth, of (3C,) counts."""
    right, truth, predicted = counts.reshape(3, -1)
    there = truth > 0
    return float((right[there] / (truth + predicted - right)[there]).mean()) if there.any() else math.nan
