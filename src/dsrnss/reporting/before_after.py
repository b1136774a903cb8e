"""The page of one adaptation: a network before and after it."""

import math
from collections.abc import Iterable, Sequence

import numpy as np

from dsrnss.labels import LabelSpace
from dsrnss.metrics import Scores
from dsrnss.reporting.charts import build_charts
from dsrnss.reporting.content import ADAPTED, DAY, ORACLE, SOURCE_ONLY, Panel, RunReport
from dsrnss.reporting.html import colour, legend, strip
from dsrnss.reporting.measured import confusions, details
from dsrnss.reporting.page import (
    Block,
    Cell,
    Charts,
    Columns,
    Command,
    Headlines,
    Page,
    Prose,
    Row,
    Scenes,
    ScoreTable,
    Spread,
    facts,
    times,
)
from dsrnss.reporting.wording import percent, trend

_NAMES = ("Source-only", "Adapted")
_ABSENT = "“-” stands for a class that is neither in these scenes nor in the prediction; it counts as 0 in the means."
_SHARES = (
    "Share of the pixels that each class gets, in percent; by day, of the labels. A class that vanishes, or swallows "
    "others, has gone wrong."
)


def page_of(report: RunReport, picture_width: int = 512) -> Page:
    """Lay out a report.

    Args:
        report: What to say.
        picture_width: Wider pictures are scaled down to this many pixels.
    """
    charts = build_charts(report.curves)
    notes = "What these numbers do not say"
    blocks: list[Block] = [
        _headlines(report),
        *_scenes(report.panels, report, picture_width, "scenes", "Night scenes"),
        *_tables(report),
        *_scenes(report.extremes, report, picture_width, "extremes", "Worst and best"),
        *_trust(report),
        *([Charts("curves", "Training", "", charts)] if charts else []),
        _about(report),
        Command("repeat", "Repeat it", "", report.command, report.next_steps),
        *([Prose("notes", notes, "", report.notes)] if report.notes else []),
    ]
    link = ("notes", notes) if report.notes else None
    return Page(report.title, _verdict(report), blocks, link, report.created)


def _about(report: RunReport) -> Columns:
    given = {"machine": ("Machine", report.machine), "settings": ("Settings", report.settings)}
    side = [facts(id, title, values) for id, (title, values) in given.items() if values]
    return Columns("about", "", "", [*([times(report.seconds)] if report.seconds else []), *side])


def _verdict(report: RunReport) -> str:
    if not report.scores:
        return (
            "Adapted to night without night labels. Nothing at night has labels, so how right it is was not measured: "
            "look at the scenes below."
        )
    before, after = report.scores[SOURCE_ONLY].mean_iou, report.scores[ADAPTED].mean_iou
    change = after - before
    if math.isnan(change):
        return "No labelled class occurs in the test scenes, so there is nothing to compare."
    verb = {"up": "raised", "down": "lowered", "even": "left"}[trend(change)]
    moved = f"from {percent(before)} to {percent(after)} %" if verb != "left" else f"at {percent(after)} %"
    text = f"Adapting to night without night labels {verb} the mean IoU {moved}, measured on {report.test_set}."
    if not math.isnan(report.gap_closed):
        share = 100 * report.gap_closed
        text += f" That is {share:.0f} % of the way to the same network trained on labelled night scenes."
    return text


def _headlines(report: RunReport) -> Headlines:
    if not report.scores:
        consistent = "agreement with itself on mirrored, darker and smaller pictures, mean IoU of all classes"
        told = (
            ("Consistency", "consistency", consistent),
            ("Information", "information", "sure of each pixel, and yet many classes"),
            ("Confidence", "confidence", "mean probability of the class that is chosen"),
        )
        found = report.unlabelled
        rows = [
            _row(name, (float(getattr(found[key], attribute)) for key in (SOURCE_ONLY, ADAPTED)), detail=detail)
            for name, attribute, detail in told
        ]
        return Headlines("numbers", "Headline numbers", "", rows, _NAMES)
    space = report.label_space
    names = [", ".join(space.names[i] for i in group) for group in (space.dynamic, space.small)]
    rows = [
        _mean(report, "Mean IoU", "mean_iou", f"mean of all {space.num_classes} classes"),
        _mean(report, "Dynamic classes", "mean_iou_dynamic", names[0] or "none in this label space"),
        _mean(report, "Small classes", "mean_iou_small", names[1] or "none in this label space"),
    ]
    return Headlines("numbers", "Headline numbers", "", rows, _NAMES, _ladder(report))


def _ladder(report: RunReport) -> list[tuple[str, float, str]]:
    """The networks from the night as found to the day, with what each has seen; empty if only two were scored."""
    told = {
        SOURCE_ONLY: "trained by day, tested at night",
        ADAPTED: "trained by day, adapted without labels, tested at night",
        ORACLE: "trained with night labels, tested at night",
        DAY: "trained by day, tested by day",
    }
    steps = [(key, report.scores[key].mean_iou, text) for key, text in told.items() if key in report.scores]
    return steps if len(steps) > 2 else []


def _tables(report: RunReport) -> list[ScoreTable]:
    found = []
    if report.scores:
        absent = any(np.isnan(scores.iou).any() for scores in report.scores.values())
        hint = "IoU in percent." + (f" {_ABSENT}" if absent else "")
        third = "Oracle" if ORACLE in report.scores else ""
        found.append(_table("classes", "Every class", hint, _class_rows(report), _mean_rows(report), third))
    if report.unlabelled:
        found.append(_table("shares", "What it sees at night", _SHARES, _share_rows(report), [], "Labels by day"))
    return found


def _table(id: str, title: str, hint: str, rows: list[Row], means: list[Row], third: str = "") -> ScoreTable:
    heads = [*((name, "") for name in _NAMES), ("Change", ""), *([(third, "extra")] if third else [])]
    names = [*_NAMES, *([third] if third else [])]
    return ScoreTable(id, title, hint, heads, names, rows, means, "dumbbell")


def _row(name: str, values: Iterable[float], colour: str = "", tags: tuple[str, ...] = (), detail: str = "") -> Row:
    """A number before and after, perhaps followed by that of the oracle."""
    before, after, *rest = (Spread.of(value) for value in values)
    change = Spread.of(after.mean - before.mean)
    third = [Cell(value, css="extra") for value in rest]
    return Row(
        name,
        [Cell(before), Cell(after, css="strong"), Cell(change, True), *third],
        [before, after, *rest],
        colour,
        tags,
        detail,
    )


def _compared(report: RunReport) -> list[Scores]:
    return [report.scores[key] for key in (SOURCE_ONLY, ADAPTED, ORACLE) if key in report.scores]


def _class_rows(report: RunReport) -> list[Row]:
    space = report.label_space
    return [
        _row(name, [float(one.iou[index]) for one in _compared(report)], colour(space, index), groups_of(space, index))
        for index, name in enumerate(space.names)
    ]


def groups_of(space: LabelSpace, index: int) -> tuple[str, ...]:
    """The groups of a class that are told."""
    return tuple(group for group in ("dynamic", "small") if index in getattr(space, group))


def _share_rows(report: RunReport) -> list[Row]:
    """The share of the night that each class gets, and of the labels by day in the place of the oracle."""
    space, found = report.label_space, report.unlabelled
    day = np.full(space.num_classes, math.nan) if report.day_shares is None else report.day_shares
    shares = zip(found[SOURCE_ONLY].shares, found[ADAPTED].shares, day, strict=True)
    named = zip(space.names, shares, strict=True)
    return [_row(name, [*map(float, three)], colour(space, index)) for index, (name, three) in enumerate(named)]


MEANS = {
    "Mean of all classes": "mean_iou",
    "Mean of dynamic classes": "mean_iou_dynamic",
    "Mean of small classes": "mean_iou_small",
    "Pixels right": "pixel_accuracy",
}
"""Title -> attribute of `Scores`, below the classes."""


def _mean_rows(report: RunReport) -> list[Row]:
    return [_mean(report, name, attribute) for name, attribute in MEANS.items()]


def _mean(report: RunReport, name: str, attribute: str, detail: str = "") -> Row:
    return _row(name, [float(getattr(one, attribute)) for one in _compared(report)], detail=detail)


def _scenes(shown: Sequence[Panel], report: RunReport, width: int, id: str, title: str) -> list[Scenes]:
    if not shown:
        return []
    space = report.label_space
    return [Scenes(id, title, "", legend(shown, space), [strip(panel, space, width) for panel in shown])]


def _trust(report: RunReport) -> list[Block]:
    shown = {SOURCE_ONLY: "Source-only", ADAPTED: "Adapted"}
    measured = {name: [report.scores[key]] for key, name in shown.items() if key in report.scores}
    return [*details(measured, "", ""), *confusions(measured, report.label_space, "", "")]
