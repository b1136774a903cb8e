"""The report of a run: a self-contained page, and its numbers as JSON beside it."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dsrnss.metrics import LabelFree, Scores
from dsrnss.paths import expanded
from dsrnss.reporting.content import RunReport
from dsrnss.reporting.html import render_report
from dsrnss.writing import write_atomically

MAX_BYTES = 4_000_000
_PICTURE_WIDTHS = (512, 384, 256, 160, 96)


def write_report(report: RunReport, path: str | Path) -> list[Path]:
    """Write the page and its numbers; either file is replaced as a whole or left as it was.

    Args:
        report: What to say.
        path: The page, for example ``demo/report.html``; its folder is made if need be.

    Returns:
        The page and the JSON file, which has the page's name with the suffix ``.json``.

    Raises:
        OutputError: If the files cannot be written.
    """
    page = expanded(path)
    numbers = page.with_suffix(".json")
    text = json.dumps(report_numbers(report), indent=2, allow_nan=False, ensure_ascii=False)
    write_atomically(numbers, f"{text}\n".encode())
    write_atomically(page, _small_enough(report).encode())
    return [page, numbers]


def report_numbers(report: RunReport) -> dict[str, Any]:
    """All numbers of a report as plain JSON values; None stands for a number that does not exist."""
    names = report.label_space.names
    return {
        "title": report.title,
        "created": report.created.isoformat(timespec="seconds"),
        "command": report.command,
        "test_set": report.test_set,
        "settings": dict(report.settings),
        "machine": dict(report.machine),
        "seconds": {phase: _number(seconds) for phase, seconds in report.seconds.items()},
        "scores": {key: _scores(key, scores, names) for key, scores in report.scores.items()},
        "unlabelled": {key: _unlabelled(found, names) for key, found in report.unlabelled.items()},
        "gap_closed": _number(report.gap_closed),
        "curves": [
            {
                "name": curve.name,
                "unit": curve.unit,
                "group": curve.group,
                "points": [[_number(step), _number(value)] for step, value in curve.points],
            }
            for curve in report.curves
        ],
        "panels": [panel.name for panel in report.panels],
        "notes": list(report.notes),
    }


def _scores(name: str, scores: Scores, names: tuple[str, ...]) -> dict[str, Any]:
    return {
        "name": name,
        "mean_iou": _number(scores.mean_iou),
        "mean_iou_dynamic": _number(scores.mean_iou_dynamic),
        "mean_iou_small": _number(scores.mean_iou_small),
        "pixel_accuracy": _number(scores.pixel_accuracy),
        "iou": _by_class(scores.iou, names),
    }


def _unlabelled(found: LabelFree, names: tuple[str, ...]) -> dict[str, Any]:
    return {
        "consistency": _number(found.consistency),
        "information": _number(found.information),
        "confidence": _number(found.confidence),
        "shares": _by_class(found.shares, names),
    }


def _by_class(values: npt.NDArray[np.float64], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: _number(float(value)) for name, value in zip(names, values, strict=True)}


def _number(value: float) -> float | int | None:
    if isinstance(value, int):
        return value
    return float(value) if math.isfinite(value) else None


def _small_enough(report: RunReport) -> str:
    """The page with the widest pictures that keep it below `MAX_BYTES`."""
    page = ""
    for width in _PICTURE_WIDTHS:
        page = render_report(report, picture_width=width)
        if len(page.encode()) < MAX_BYTES:
            break
    return page
