"""Blocks of what was measured on a set, the same for the networks of one run and for runs beside each other."""

from collections.abc import Mapping, Sequence

import numpy as np

from dsrnss.detail import calibration_error
from dsrnss.labels import LabelSpace
from dsrnss.metrics import Scores
from dsrnss.reporting.charts import build_charts
from dsrnss.reporting.content import Curve
from dsrnss.reporting.html import colour
from dsrnss.reporting.page import Charts, Matrices, Matrix
from dsrnss.reporting.wording import percent

Measured = Mapping[str, Sequence[Scores]]
"""Network or group of runs -> its scores, one for each seed."""
WRITTEN_UP_TO = 40
"""Classes of a confusion matrix that is shown."""


def confusions(measured: Measured, space: LabelSpace, id: str, where: str) -> list[Matrices]:
    """The confusion matrices, summed over seeds; none where the label space is too large to read one.

    Args:
        measured: What was measured.
        space: The classes.
        id: Tells the blocks of several sets apart.
        where: On which set, to be put behind the heading.
    """
    if space.num_classes > WRITTEN_UP_TO:
        return []
    hint = "Rows: the truth; columns: what was predicted, in percent of the pixels of the row."
    matrices = []
    for name, runs in measured.items():
        counts = np.sum([scores.confusion for scores in runs], axis=0)
        truth = counts.sum(1, keepdims=True)
        shares = np.where(truth > 0, counts / np.maximum(truth, 1), np.nan)
        rows = [(name, colour(space, i), shares[i].tolist()) for i, name in enumerate(space.names)]
        if truth.any():
            matrices.append(Matrix(name, space.names, rows))
    return [Matrices(f"confusion{id}", f"Which class is taken for which{where}", hint, matrices)] if matrices else []


def details(measured: Measured, id: str, where: str) -> list[Charts]:
    """The charts of calibration and of brightness, as far as they were counted.

    Args:
        measured: What was measured.
        id: Tells the blocks of several sets apart.
        where: On which set, to be put behind the heading.
    """
    curves = [
        curve for name, runs in measured.items() for curve in (*_reliability(name, runs), *_by_brightness(name, runs))
    ]
    charts = build_charts(curves)
    hint = (
        "Below the dashed line a network is surer than it is right; ECE is the expected calibration error. Pictures "
        "of a similar brightness are counted together; means over the classes that occur in them."
    )
    return [Charts(f"trust{id}", f"Confidence and brightness{where}", hint, charts)] if charts else []


def _reliability(name: str, runs: Sequence[Scores]) -> list[Curve]:
    counted = [scores.detail.calibration for scores in runs if scores.detail is not None]
    if not counted:
        return []
    total = np.sum(counted, axis=0)
    pixels, right, confidence = total.T
    there = pixels > 0.0001 * pixels.sum()  # single pixels say nothing
    points = list(zip(100 * confidence[there] / pixels[there], 100 * right[there] / pixels[there], strict=True))
    return [Curve(f"{name}, ECE {percent(calibration_error(total))} %", "%", points, "calibration")]


def _by_brightness(name: str, runs: Sequence[Scores]) -> list[Curve]:
    groups = [scores.detail.brightness for scores in runs if scores.detail is not None and scores.detail.brightness]
    if not groups or len({len(one) for one in groups}) > 1:
        return []
    means = 100 * np.array([[group.mean_iou for group in one] for one in groups])
    where = [group.brightness for group in groups[0]]
    band = [] if len(groups) == 1 else list(zip(where, means.min(0), means.max(0), strict=True))
    return [Curve(name, "%", list(zip(where, means.mean(0), strict=True)), "brightness", band)]
