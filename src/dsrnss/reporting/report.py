"""The report of a run: a self-contained page, and its numbers as JSON beside it."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from dsrnss.labels import LabelSpace
from dsrnss.metrics import LabelFree, Scores
from dsrnss.paths import expanded
from dsrnss.reporting.before_after import page_of
from dsrnss.reporting.content import ADAPTED, RunReport
from dsrnss.reporting.findings import extremes
from dsrnss.reporting.html import render
from dsrnss.reporting.numbers import as_json, by_class, number
from dsrnss.reporting.page import Page
from dsrnss.reporting.scenes import write_scene
from dsrnss.writing import write_atomically

MAX_BYTES = 4_000_000
_PICTURE_WIDTHS = (512, 384, 256, 160, 96)


def write_report(report: RunReport, path: str | Path) -> list[Path]:
    """Write the page, its numbers and the worst and best scenes; each file is replaced as a whole or left as it was.

    Args:
        report: What to say.
        path: The page, for example ``demo/report.html``; its folder is made if need be. The scenes lie in
            ``demo/report_scenes``.

    Returns:
        The page and the JSON file, which has the page's name with the suffix ``.json``.

    Raises:
        OutputError: If the files cannot be written.
    """
    page = expanded(path)
    numbers = page.with_suffix(".json")
    content = report_numbers(report)
    if report.extremes:
        content["scores"][ADAPTED]["scenes"] = _write_scenes(report, page)
    text = json.dumps(content, indent=2, allow_nan=False, ensure_ascii=False)
    write_atomically(numbers, f"{text}\n".encode())
    write_page(lambda width: page_of(report, width), page)
    return [page, numbers]


def _write_scenes(report: RunReport, page: Path) -> list[dict[str, Any]]:
    """Store what the adapted network sees in the worst and best scenes, for pages that compare runs."""
    found = []
    for panel, (rank, one) in zip(report.extremes, extremes(report.scores[ADAPTED]), strict=True):
        alone = replace(panel, predictions={"Prediction": panel.predictions["Adapted"]})
        found.append(write_scene(page.parent, f"{page.stem}_scenes", alone, rank, one.mean_iou, report.label_space))
    return found


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
        "seconds": {phase: number(seconds) for phase, seconds in report.seconds.items()},
        "scores": {key: _scores(key, scores, report.label_space) for key, scores in report.scores.items()},
        "unlabelled": {key: _unlabelled(found, names) for key, found in report.unlabelled.items()},
        "gap_closed": number(report.gap_closed),
        "curves": [
            {
                "name": curve.name,
                "unit": curve.unit,
                "group": curve.group,
                "points": [[number(step), number(value)] for step, value in curve.points],
            }
            for curve in report.curves
        ],
        "panels": [panel.name for panel in report.panels],
        "notes": list(report.notes),
    }


def _scores(name: str, scores: Scores, space: LabelSpace) -> dict[str, Any]:
    return {
        "name": name,
        "mean_iou": number(scores.mean_iou),
        "mean_iou_dynamic": number(scores.mean_iou_dynamic),
        "mean_iou_small": number(scores.mean_iou_small),
        "pixel_accuracy": number(scores.pixel_accuracy),
        "iou": by_class(scores.iou, space.names),
        **as_json(scores, space),
    }


def _unlabelled(found: LabelFree, names: tuple[str, ...]) -> dict[str, Any]:
    return {
        "consistency": number(found.consistency),
        "information": number(found.information),
        "confidence": number(found.confidence),
        "shares": by_class(found.shares, names),
    }


def write_page(build: Callable[[int], Page], path: Path) -> None:
    """Write a page, with the widest pictures that keep it below `MAX_BYTES`.

    Args:
        build: Lays it out with pictures of at most that width.
        path: Where to.

    Raises:
        OutputError: If it cannot be written.
    """
    text = ""
    for width in _PICTURE_WIDTHS:
        text = render(build(width))
        if len(text.encode()) < MAX_BYTES:
            break
    write_atomically(path, text.encode())
