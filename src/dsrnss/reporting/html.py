"""The report of a run as one HTML page that needs nothing else: styles, curves and pictures are inside it."""

import math
import re
from dataclasses import dataclass
from functools import cache

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from dsrnss.labels import LabelSpace
from dsrnss.metrics import Scores
from dsrnss.reporting.charts import build_charts
from dsrnss.reporting.content import ADAPTED, DAY, ORACLE, SOURCE_ONLY, Panel, RunReport
from dsrnss.reporting.figures import label_uri, photo_uri
from dsrnss.reporting.wording import clock, percent, signed, trend


@dataclass(frozen=True)
class Row:
    """A number before and after adaptation, of a class or a mean; fractions, nan where there is none."""

    name: str
    before: float
    after: float
    oracle: float = math.nan
    colour: str = ""
    tags: tuple[str, ...] = ()
    detail: str = ""

    @property
    def change(self) -> float:
        """Adapted minus source-only; nan if either is missing."""
        return self.after - self.before


@dataclass(frozen=True)
class Picture:
    """One picture of a panel."""

    title: str
    detail: str
    alt: str
    uri: str
    size: tuple[int, int]


def render_report(report: RunReport, *, picture_width: int = 512) -> str:
    """Lay out a report.

    Args:
        report: What to say.
        picture_width: Wider pictures are scaled down to this many pixels.

    Returns:
        A complete HTML document without a reference to anything outside it.
    """
    template = _environment().get_template("report.html.j2")
    total = sum(report.seconds.values())
    return template.render(
        report=report,
        verdict=_verdict(report),
        headlines=_headlines(report),
        ladder=_ladder(report),
        rows=_class_rows(report),
        means=_mean_rows(report),
        shares=_share_rows(report),
        has_oracle=ORACLE in report.scores,
        charts=build_charts(report.curves),
        panels=[(panel, _pictures(panel, report.label_space, picture_width)) for panel in report.panels],
        legend=_legend(report),
        total=total,
        absent=any(np.isnan(scores.iou).any() for scores in report.scores.values()),
        phases=[(name, seconds, seconds / total if total > 0 else 0.0) for name, seconds in report.seconds.items()],
    )


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("dsrnss.reporting"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    environment.filters |= {"pct": percent, "signed": signed, "clock": clock, "ticks": _code}
    environment.filters |= {"trend": trend, "share": _share}
    return environment


def _share(value: float) -> str:
    """A fraction as a position in percent along a bar."""
    return "0" if math.isnan(value) else f"{100 * min(1.0, max(0.0, value)):.2f}"


def _code(text: str) -> Markup:
    """Escape a text and set what stands between backticks as code."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))


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


def _headlines(report: RunReport) -> list[Row]:
    if not report.scores:
        consistent = "agreement with itself on mirrored, darker and smaller pictures, mean IoU of all classes"
        return [
            _unlabelled_row(report, "Consistency", "consistency", consistent),
            _unlabelled_row(report, "Information", "information", "sure of each pixel, and yet many classes"),
            _unlabelled_row(report, "Confidence", "confidence", "mean probability of the class that is chosen"),
        ]
    space = report.label_space
    names = [", ".join(space.names[i] for i in group) for group in (space.dynamic, space.small)]
    return [
        _row(report, "Mean IoU", "mean_iou", f"mean of all {space.num_classes} classes"),
        _row(report, "Dynamic classes", "mean_iou_dynamic", names[0] or "none in this label space"),
        _row(report, "Small classes", "mean_iou_small", names[1] or "none in this label space"),
    ]


def _unlabelled_row(report: RunReport, name: str, attribute: str, detail: str) -> Row:
    before, after = (float(getattr(report.unlabelled[key], attribute)) for key in (SOURCE_ONLY, ADAPTED))
    return Row(name, before, after, detail=detail)


def _share_rows(report: RunReport) -> list[Row]:
    """The share of the night that each class gets, and of the labels by day in the place of the oracle."""
    space, found = report.label_space, report.unlabelled
    if not found:
        return []
    day = np.full(space.num_classes, math.nan) if report.day_shares is None else report.day_shares
    shares = zip(space.names, found[SOURCE_ONLY].shares, found[ADAPTED].shares, day, strict=True)
    return [
        Row(name, float(before), float(after), float(by_day), _colour(space, index))
        for index, (name, before, after, by_day) in enumerate(shares)
    ]


def _class_rows(report: RunReport) -> list[Row]:
    space, scores = report.label_space, report.scores
    if not scores:
        return []
    return [
        Row(
            name=name,
            before=float(scores[SOURCE_ONLY].iou[index]),
            after=float(scores[ADAPTED].iou[index]),
            oracle=float(scores[ORACLE].iou[index]) if ORACLE in scores else math.nan,
            colour=_colour(space, index),
            tags=tuple(group for group in ("dynamic", "small") if index in getattr(space, group)),
        )
        for index, name in enumerate(space.names)
    ]


def _mean_rows(report: RunReport) -> list[Row]:
    if not report.scores:
        return []
    return [
        _row(report, "Mean of all classes", "mean_iou"),
        _row(report, "Mean of dynamic classes", "mean_iou_dynamic"),
        _row(report, "Mean of small classes", "mean_iou_small"),
        _row(report, "Pixels right", "pixel_accuracy"),
    ]


def _row(report: RunReport, name: str, attribute: str, detail: str = "") -> Row:
    """A mean of all networks."""
    before, after, oracle = (
        float(getattr(report.scores[key], attribute)) if key in report.scores else math.nan
        for key in (SOURCE_ONLY, ADAPTED, ORACLE)
    )
    return Row(name, before, after, oracle, detail=detail)


def _colour(space: LabelSpace, index: int) -> str:
    return "#{:02x}{:02x}{:02x}".format(*space.palette[index])


def _ladder(report: RunReport) -> list[tuple[str, Scores, str]]:
    """The networks from the night as found to the day, with what each has seen; empty if only two were scored."""
    told = {
        SOURCE_ONLY: "trained by day, tested at night",
        ADAPTED: "trained by day, adapted without labels, tested at night",
        ORACLE: "trained with night labels, tested at night",
        DAY: "trained by day, tested by day",
    }
    steps = [(key, report.scores[key], text) for key, text in told.items() if key in report.scores]
    return steps if len(steps) > 2 else []


def _pictures(panel: Panel, space: LabelSpace, width: int) -> list[Picture]:
    size = (panel.night.shape[1], panel.night.shape[0])
    pictures = [Picture("Night", "", f"Night picture of {panel.name}", photo_uri(panel.night, width), size)]
    if panel.reference is not None:
        alt = f"The place of {panel.name} by day"
        pictures.append(Picture("Day reference", "", alt, photo_uri(panel.reference, width), size))
    truth = [] if panel.truth is None else [("Truth", panel.truth)]
    for title, labels in (*truth, ("Source-only", panel.source_only), ("Adapted", panel.adapted)):
        detail = "" if title == "Truth" or panel.truth is None else _right(labels, panel.truth, space)
        alt = f"{title} classes of {panel.name}: {_contents(labels, space)}"
        pictures.append(Picture(title, detail, alt, label_uri(labels, space, width), size))
    return pictures


def _right(labels: np.ndarray, truth: np.ndarray, space: LabelSpace) -> str:
    """Share of the labelled pixels that a prediction has right, in words; empty if the sizes differ."""
    if labels.shape != truth.shape:
        return ""
    known = (truth >= 0) & (truth < space.num_classes)
    return f"{percent(float((labels == truth)[known].mean()))} % right" if known.any() else ""


def _contents(labels: np.ndarray, space: LabelSpace) -> str:
    """The classes of a label map that cover most of it, largest first."""
    known = labels[(labels >= 0) & (labels < space.num_classes)].astype(np.int64)
    counts = np.bincount(known, minlength=space.num_classes)
    largest = [space.names[index] for index in np.argsort(-counts, kind="stable")[:5] if counts[index]]
    return ", ".join(largest) or "nothing labelled"


def _legend(report: RunReport) -> list[tuple[str, str]]:
    """Name and colour of the classes that occur in a panel, and black if anything is ignored there."""
    space, seen = report.label_space, np.zeros(report.label_space.num_classes, bool)
    ignored = False
    for panel in report.panels:
        truth = [] if panel.truth is None else [panel.truth]
        for labels in (*truth, panel.source_only, panel.adapted):
            ids = np.unique(labels)
            inside = (ids >= 0) & (ids < space.num_classes)
            seen[ids[inside].astype(np.int64)] = True
            ignored |= not inside.all()
    legend = [(space.names[i], _colour(space, i)) for i in np.flatnonzero(seen).tolist()]
    return legend + ([("not labelled", "#000000")] if ignored else [])
