"""Pages as HTML that needs nothing else: styles, charts and pictures are inside it."""

import math
import re
from collections.abc import Iterable, Sequence
from functools import cache

import numpy as np
import numpy.typing as npt
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from dsrnss.labels import LabelSpace
from dsrnss.reporting.content import Panel
from dsrnss.reporting.figures import label_uri, photo_uri
from dsrnss.reporting.page import Page, Picture
from dsrnss.reporting.wording import clock, percent, signed, trend


def render(page: Page) -> str:
    """A complete HTML document without a reference to anything outside it."""
    return _environment().get_template("report.html.j2").render(page=page)


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
    environment.filters |= {"trend": trend, "share": _share, "known": lambda value: not math.isnan(value)}
    return environment


def _share(value: float) -> str:
    """A fraction as a position in percent along a bar."""
    return "0" if math.isnan(value) else f"{100 * min(1.0, max(0.0, value)):.2f}"


def _code(text: str) -> Markup:
    """Escape a text and set what stands between backticks as code."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))


# --- pictures ---------------------------------------------------------------------------------------------------------


def strip(panel: Panel, space: LabelSpace, width: int) -> tuple[str, list[Picture]]:
    """A scene as a strip of pictures: itself, its reference, the truth, and what each network sees.

    Args:
        panel: The scene.
        space: The classes.
        width: Wider pictures are scaled down to this many pixels.

    Returns:
        Its caption, and the pictures.
    """
    size = (panel.image.shape[1], panel.image.shape[0])
    pictures = [Picture("Picture", "", f"The picture {panel.name}", photo_uri(panel.image, width), size)]
    if panel.reference is not None:
        alt = f"The place of {panel.name} by day"
        pictures.append(Picture("Day reference", "", alt, photo_uri(panel.reference, width), size))
    truth = {} if panel.truth is None else {"Truth": panel.truth}
    for title, labels in {**truth, **panel.predictions}.items():
        detail = "" if title in truth or panel.truth is None else _right(labels, panel.truth, space)
        alt = f"{title} classes of {panel.name}: {_contents(labels, space)}"
        pictures.append(Picture(title, detail, alt, label_uri(labels, space, width), size))
    return panel.name + (f": {panel.remark}" if panel.remark else ""), pictures


def _right(labels: npt.NDArray[np.integer], truth: npt.NDArray[np.integer], space: LabelSpace) -> str:
    """Share of the labelled pixels that a prediction has right, in words; empty if the sizes differ."""
    if labels.shape != truth.shape:
        return ""
    known = (truth >= 0) & (truth < space.num_classes)
    return f"{percent(float((labels == truth)[known].mean()))} % right" if known.any() else ""


def _contents(labels: npt.NDArray[np.integer], space: LabelSpace) -> str:
    """The classes of a label map that cover most of it, largest first."""
    known = labels[(labels >= 0) & (labels < space.num_classes)].astype(np.int64)
    counts = np.bincount(known, minlength=space.num_classes)
    largest = [space.names[index] for index in np.argsort(-counts, kind="stable")[:5] if counts[index]]
    return ", ".join(largest) or "nothing labelled"


def legend(panels: Iterable[Panel], space: LabelSpace) -> list[tuple[str, str]]:
    """Name and colour of the classes that occur in panels, and black if anything is ignored there."""
    seen = np.zeros(space.num_classes, bool)
    ignored = False
    for panel in panels:
        truth = [] if panel.truth is None else [panel.truth]
        for labels in (*truth, *panel.predictions.values()):
            ids = np.unique(labels)
            inside = (ids >= 0) & (ids < space.num_classes)
            seen[ids[inside].astype(np.int64)] = True
            ignored |= not inside.all()
    colours: Sequence[tuple[str, str]] = [(space.names[i], colour(space, i)) for i in np.flatnonzero(seen).tolist()]
    return [*colours, *([("not labelled", "#000000")] if ignored else [])]


def colour(space: LabelSpace, index: int) -> str:
    """Of a class, as CSS writes it."""
    return "#{:02x}{:02x}{:02x}".format(*space.palette[index])
