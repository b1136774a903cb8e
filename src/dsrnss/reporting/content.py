"""What a demo report says, free of how it looks."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np
import numpy.typing as npt

from dsrnss.errors import ConfigError
from dsrnss.labels import LabelSpace

SOURCE_ONLY = "source-only"
ADAPTED = "adapted"
ORACLE = "oracle"
DAY = "day"

STANDARD_NOTES = (
    "The scenes are drawn by a program. They show that the method works on this machine; they do not say how well a "
    "network does on photographs.",
    "This is one run with one seed. Another seed moves the mean IoU by a point or two and single rare classes by much "
    "more.",
    "The network is small and trained for minutes. The paper's networks are trained for hours on real pictures.",
)
"""What every demo must admit, whatever its numbers."""


def _mean(values: npt.NDArray[np.float64]) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else math.nan


@dataclass(frozen=True)
class ModelScores:
    """How well one network did on one set of pictures; every number is a fraction in [0, 1].

    Args:
        name: What the terminal table and the JSON file call the network; the page goes by the key in
            `DemoReport.scores`.
        iou: (C,) IoU of each class; nan where the class occurs neither in the truth nor in the prediction.
        mean_iou: Mean over the classes that occur.
        mean_iou_dynamic: The same over the dynamic classes; nan if none occurs.
        mean_iou_small: The same over the small classes; nan if none occurs.
        pixel_accuracy: Share of the labelled pixels that are right.
    """

    name: str
    iou: npt.NDArray[np.float64]
    mean_iou: float
    mean_iou_dynamic: float
    mean_iou_small: float
    pixel_accuracy: float

    @classmethod
    def from_iou(cls, name: str, iou: npt.ArrayLike, pixel_accuracy: float, label_space: LabelSpace) -> "ModelScores":
        """Take the means of a list of IoUs.

        Args:
            name: How the report calls the network.
            iou: (C,) IoU in [0, 1], nan where a class does not occur.
            pixel_accuracy: Share of the labelled pixels that are right.
            label_space: Says which classes are dynamic and small.

        Raises:
            ConfigError: If there is not one IoU a class.
        """
        values = np.asarray(iou, dtype=np.float64)
        if values.shape != (label_space.num_classes,):
            raise ConfigError(f"'{name}' has IoUs of shape {values.shape}; expected ({label_space.num_classes},).")
        dynamic, small = values[list(label_space.dynamic)], values[list(label_space.small)]
        return cls(name, values, _mean(values), _mean(dynamic), _mean(small), float(pixel_accuracy))

    @classmethod
    def from_confusion(cls, name: str, confusion: npt.ArrayLike, label_space: LabelSpace) -> "ModelScores":
        """Compute the scores from a confusion matrix.

        Args:
            name: How the report calls the network.
            confusion: (C, C) pixel counts, rows truth, columns prediction, ignored pixels left out.
            label_space: Says which classes are dynamic and small.

        Raises:
            ConfigError: If the matrix does not fit the label space.
        """
        counts = np.asarray(confusion, dtype=np.float64)
        if counts.shape != (label_space.num_classes,) * 2:
            raise ConfigError(f"'{name}' has a confusion matrix {counts.shape} for {label_space.num_classes} classes.")
        hits = counts.diagonal()
        union = counts.sum(0) + counts.sum(1) - hits
        iou = np.divide(hits, union, out=np.full(len(hits), np.nan), where=union > 0)
        accuracy = float(hits.sum() / counts.sum()) if counts.sum() > 0 else math.nan
        return cls.from_iou(name, iou, accuracy, label_space)


@dataclass(frozen=True)
class Curve:
    """A number followed through training.

    Args:
        name: What the line is called in the legend.
        unit: Unit of the values as given ("%", or "" for none).
        points: (step, value) pairs in order of the step; values that are not finite are left out of the drawing.
        group: Curves of one group share a chart; "loss" and "miou" have titles of their own.
    """

    name: str
    unit: str
    points: Sequence[tuple[float, float]]
    group: str = "loss"


@dataclass(frozen=True)
class Panel:
    """One night scene and what the two networks see in it.

    Args:
        name: Name of the scene.
        night: (H, W, 3) uint8 RGB.
        truth: (H, W) train ids, 255 ignored.
        source_only: (H, W) train ids predicted before adaptation.
        adapted: (H, W) train ids predicted after it.
        reference: (H, W, 3) uint8 RGB day picture of the same place, if it shall be shown.
    """

    name: str
    night: npt.NDArray[np.uint8]
    truth: npt.NDArray[np.integer]
    source_only: npt.NDArray[np.integer]
    adapted: npt.NDArray[np.integer]
    reference: npt.NDArray[np.uint8] | None = None


@dataclass(frozen=True)
class DemoReport:
    """Everything a demo report shows.

    Args:
        title: Heading of the page.
        settings: Option -> value as shown.
        machine: Property of the machine -> value as shown.
        seconds: Phase -> wall-clock seconds, in order.
        label_space: The classes.
        scores: "source-only" and "adapted"; optionally "oracle" (trained on labelled night) and "day" (source-only, on
            day pictures).
        curves: Training curves.
        panels: Scenes to show.
        command: The exact command that repeats the run.
        next_steps: What to try next; text between backticks is set as code.
        notes: What the numbers do not say; backticks as above.
        test_set: What the scores were measured on, to be put behind "on".
        created: When the report was made.
    """

    title: str
    settings: Mapping[str, str]
    machine: Mapping[str, str]
    seconds: Mapping[str, float]
    label_space: LabelSpace
    scores: Mapping[str, ModelScores]
    curves: Sequence[Curve] = ()
    panels: Sequence[Panel] = ()
    command: str = "dsrnss demo"
    next_steps: Sequence[str] = ()
    notes: Sequence[str] = STANDARD_NOTES
    test_set: str = "night scenes that no training step has seen"
    created: datetime = field(default_factory=lambda: datetime.now().astimezone())

    def __post_init__(self) -> None:
        """Check that both networks were scored and that the scores fit the classes.

        Raises:
            ConfigError: If not.
        """
        missing = [key for key in (SOURCE_ONLY, ADAPTED) if key not in self.scores]
        if missing:
            raise ConfigError(f"A demo report compares '{SOURCE_ONLY}' with '{ADAPTED}'; without scores: {missing}.")
        for key, scores in self.scores.items():
            if scores.iou.shape != (self.label_space.num_classes,):
                raise ConfigError(f"'{key}' has IoUs {scores.iou.shape} for {self.label_space.num_classes} classes.")

    @property
    def gap_closed(self) -> float:
        """Share of the way from source-only to the oracle that adaptation went; nan without an oracle above it."""
        if ORACLE not in self.scores:
            return math.nan
        start, end = self.scores[SOURCE_ONLY].mean_iou, self.scores[ORACLE].mean_iou
        return (self.scores[ADAPTED].mean_iou - start) / (end - start) if end > start else math.nan
