"""What a report says, free of how it looks."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np
import numpy.typing as npt

from dsrnss.errors import ConfigError
from dsrnss.labels import LabelSpace
from dsrnss.metrics import LabelFree, Scores

SOURCE_ONLY = "source-only"
ADAPTED = "adapted"
ORACLE = "oracle"
DAY = "day"


@dataclass(frozen=True)
class Curve:
    """A number followed through training.

    Args:
        name: What the line is called in the legend.
        unit: Unit of the values as given ("%", or "" for none).
        points: (step, value) pairs in order of the step; values that are not finite are left out of the drawing.
        group: Curves of one group share a chart; some have titles and axes of their own, see `charts.KINDS`.
        band: (step, lowest, highest) of several seeds, of which the points are the mean.
        hue: Number of its colour; None: its place in the chart.
    """

    name: str
    unit: str
    points: Sequence[tuple[float, float]]
    group: str = "loss"
    band: Sequence[tuple[float, float, float]] = ()
    hue: int | None = None


@dataclass(frozen=True)
class Panel:
    """One picture and what networks see in it.

    Args:
        name: Name of the picture.
        image: (H, W, 3) uint8 RGB.
        truth: (H, W) train ids, 255 ignored; None where nobody knows.
        predictions: Name of a network -> (H, W) train ids.
        reference: (H, W, 3) uint8 RGB day picture of the same place, if it shall be shown.
        remark: What is said of it.
    """

    name: str
    image: npt.NDArray[np.uint8]
    truth: npt.NDArray[np.integer] | None
    predictions: Mapping[str, npt.NDArray[np.integer]]
    reference: npt.NDArray[np.uint8] | None = None
    remark: str = ""


@dataclass(frozen=True)
class RunReport:
    """Everything that the page of a run shows: a network before and after its adaptation.

    Args:
        title: Heading of the page.
        settings: Option -> value as shown.
        machine: Property of the machine -> value as shown.
        seconds: Phase -> wall-clock seconds, in order.
        label_space: The classes.
        scores: "source-only" and "adapted"; optionally "oracle" (trained on labelled night) and "day" (source-only, on
            day pictures). Empty where nothing at night has labels; then `unlabelled` has both.
        command: The exact command that repeats the run.
        test_set: What the scores were measured on, to be put behind "on".
        unlabelled: "source-only" and "adapted" on night pictures without labels.
        day_shares: (C,) share of the labelled pixels by day that belong to each class.
        curves: Training curves.
        panels: Scenes to show.
        extremes: The scenes that the adapted network has most wrong, and most right.
        next_steps: What to try next; text between backticks is set as code.
        notes: What the numbers do not say; backticks as above.
        created: When the report was made.
    """

    title: str
    settings: Mapping[str, str]
    machine: Mapping[str, str]
    seconds: Mapping[str, float]
    label_space: LabelSpace
    scores: Mapping[str, Scores]
    command: str
    test_set: str
    unlabelled: Mapping[str, LabelFree] = field(default_factory=dict)
    day_shares: npt.NDArray[np.float64] | None = None
    curves: Sequence[Curve] = ()
    panels: Sequence[Panel] = ()
    extremes: Sequence[Panel] = ()
    next_steps: Sequence[str] = ()
    notes: Sequence[str] = ()
    created: datetime = field(default_factory=lambda: datetime.now().astimezone())

    def __post_init__(self) -> None:
        """Check that both networks were scored and that the scores fit the classes.

        Raises:
            ConfigError: If not.
        """
        compared = self.scores or self.unlabelled
        missing = [key for key in (SOURCE_ONLY, ADAPTED) if key not in compared]
        if missing:
            raise ConfigError(f"A report compares '{SOURCE_ONLY}' with '{ADAPTED}'; without scores: {missing}.")
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
