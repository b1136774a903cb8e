"""The scores of a set as pictures: a bar for each class, and which class was taken for which."""

from pathlib import Path

import numpy as np
from matplotlib import colormaps
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from dsrnss.labels import LabelSpace
from dsrnss.metrics import Scores
from dsrnss.writing import atomic

_INK, _GRID = "#282c34", "#d9dce1"
_WRITTEN_UP_TO = 30
"""Cells of larger matrices are too small for a number."""


def draw_bars(path: Path, title: str, scores: Scores, space: LabelSpace) -> None:
    """Draw the IoU of every class, in the order of the label space, and their mean as a line.

    Args:
        path: PNG to write.
        title: Heading.
        scores: What was measured.
        space: Names and colours of the classes.

    Raises:
        OutputError: If the file cannot be written.
    """
    figure = Figure(figsize=(7, 1.3 + 0.27 * space.num_classes), layout="constrained")
    axes = figure.add_subplot()
    places, percent = np.arange(space.num_classes), 100 * np.nan_to_num(scores.iou)
    colours = [tuple(channel / 255 for channel in colour) for colour in space.palette]
    axes.barh(places, percent, color=colours, edgecolor=_INK, linewidth=0.6)
    for place, (value, known) in enumerate(zip(percent, ~np.isnan(scores.iou), strict=True)):
        axes.text(value + 0.8, place, f"{value:.1f}" if known else "not there", va="center", fontsize=8, color=_INK)
    axes.axvline(100 * scores.mean_iou, color=_INK, linestyle="--", linewidth=1)
    axes.set_yticks(places, space.names, fontsize=9)
    axes.set(xlim=(0, 108), ylim=(space.num_classes - 0.4, -0.6), xlabel="IoU, %")
    axes.set_xticks(range(0, 101, 20))
    axes.set_title(f"{title}: mean IoU {100 * scores.mean_iou:.1f} % (dashed)", fontsize=11)
    axes.grid(axis="x", color=_GRID)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    _save(figure, path)


def draw_confusion(path: Path, title: str, scores: Scores, space: LabelSpace) -> None:
    """Draw the confusion matrix, each row as shares of the class's pixels in the truth.

    Args:
        path: PNG to write.
        title: Heading.
        scores: What was measured.
        space: Names of the classes.

    Raises:
        OutputError: If the file cannot be written.
    """
    truth = scores.confusion.sum(1, keepdims=True)
    shares = np.where(truth > 0, 100 * scores.confusion / np.maximum(truth, 1), np.nan)
    side = 2.2 + 0.36 * min(space.num_classes, 60)
    figure = Figure(figsize=(side + 1, side), layout="constrained")
    axes = figure.add_subplot()
    image = axes.imshow(shares, cmap=colormaps["Blues"].with_extremes(bad="#f1f1f1"), vmin=0, vmax=100)
    places = np.arange(space.num_classes)
    if space.num_classes <= _WRITTEN_UP_TO:
        for row, column in zip(*np.nonzero(np.nan_to_num(shares) >= 0.5), strict=True):
            share = shares[row, column]
            colour = "white" if share > 55 else _INK
            axes.text(column, row, f"{share:.0f}", ha="center", va="center", fontsize=7, color=colour)
    axes.set_xticks(places, space.names, rotation=90, fontsize=8)
    axes.set_yticks(places, space.names, fontsize=8)
    axes.set(xlabel="predicted", ylabel="truth")
    axes.set_title(f"{title}: share of each class's pixels, %", fontsize=11)
    figure.colorbar(image, ax=axes, shrink=0.7)
    _save(figure, path)


def _save(figure: Figure, path: Path) -> None:
    FigureCanvasAgg(figure)
    with atomic(path) as draft:
        figure.savefig(draft, dpi=130, format="png")
