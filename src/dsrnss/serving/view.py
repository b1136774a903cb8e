"""Results as HTML that holds all its pictures and files, so that nothing has to be kept for a later request."""

import base64
import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import PurePath
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined

from dsrnss.console import counted
from dsrnss.inference.results import Segmentation
from dsrnss.inference.sources import OUTPUTS
from dsrnss.labels import LabelSpace
from dsrnss.reporting.figures import heat_map, label_uri, paint_flow, photo_uri
from dsrnss.reporting.wording import clock
from dsrnss.serving.pair import Refined
from dsrnss.serving.work import PictureAnswer, VideoAnswer

SHOWN_WIDTH = 1280
"""Pixels; wider pictures are shown smaller, the files to download have their own size."""
_LEAST_SHARE = 0.0005
"""Classes below are named, not listed: they would round to nothing."""


@dataclass(frozen=True)
class Layer:
    """Something that can be laid over the night picture."""

    key: str
    title: str
    uri: str
    hint: str


@dataclass(frozen=True)
class Share:
    """A class in the legend; `before` is what the picture alone gave, where there is a day reference."""

    name: str
    colour: str
    share: float
    before: float | None = None


@dataclass(frozen=True)
class Download:
    """A file inside the page."""

    title: str
    name: str
    uri: str


def picture_html(answer: PictureAnswer) -> str:
    """A segmented picture as a fragment of a page."""
    plain, refined = answer.plain, answer.refined
    shown = plain if refined is None else refined.result
    facts = f"{plain.image.width} \N{MULTIPLICATION SIGN} {plain.image.height} pixels, "
    facts += f"mean confidence {shown.mean_confidence():.2f}, {clock(answer.seconds)}"
    return _render(
        name=plain.name,
        facts=facts,
        night=photo_uri(np.asarray(plain.image), SHOWN_WIDTH),
        size=plain.image.size,
        layers=_layers(plain, refined),
        legend=_legend(plain.label_space, shown.shares(), None if refined is None else plain.shares()),
        downloads=_downloads(plain, refined),
    )


def video_html(answer: VideoAnswer, space: LabelSpace) -> str:
    """A segmented video as a fragment of a page."""
    record = answer.record
    name, content = answer.files["overlay"]
    facts = f"{record.width} \N{MULTIPLICATION SIGN} {record.height} pixels, {counted(record.frames, 'frame')}, "
    facts += f"mean confidence {record.mean_confidence:.2f}, {clock(record.seconds)}"
    labels, labels_content = answer.files["labels"]
    downloads = [
        Download("Overlay (MP4)", name, _uri("video/mp4", content)),
        Download("Labels (FFV1)", labels, _uri("video/x-matroska", labels_content)),
    ]
    legend = _legend(space, record.class_shares, None)
    return _render(
        name=name.removesuffix("_overlay.mp4"),
        facts=facts,
        video=downloads[0].uri,
        notes=record.damaged,
        legend=legend,
        downloads=downloads,
    )


def refusal_html(message: str) -> str:
    """Why there is no result."""
    return _environment().get_template("refusal.html.j2").render(message=message)


@cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("dsrnss.serving"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )


def _render(
    *, legend: Sequence[Share], layers: Sequence[Layer] = (), video: str = "", notes: Sequence[str] = (), **said: Any
) -> str:
    listed = [one for one in legend if max(one.share, one.before or 0) >= _LEAST_SHARE]
    return (
        _environment()
        .get_template("result.html.j2")
        .render(
            **{"night": "", "size": (0, 0), **said},
            group=secrets.token_hex(4),
            layers=layers,
            video=video,
            notes=notes,
            legend=listed,
            compared=any(one.before is not None for one in legend),
            absent=[one.name for one in legend if one not in listed],
            largest=max((one.share for one in listed), default=1.0),
        )
    )


def _layers(plain: Segmentation, refined: Refined | None) -> list[Layer]:
    space = plain.label_space

    def labels(key: str, title: str, result: Segmentation, hint: str) -> Layer:
        return Layer(key, title, label_uri(result.labels, space, SHOWN_WIDTH), hint)

    def photo(key: str, title: str, pixels: Any, hint: str) -> Layer:
        return Layer(key, title, photo_uri(pixels, SHOWN_WIDTH), hint)

    best = plain if refined is None else refined.result
    confidence = photo(
        "confidence", "Confidence", heat_map(best.confidence), "Probability of the label: 0 is dark, 1 is bright."
    )
    if refined is None:
        return [labels("classes", "Classes", plain, "The likeliest class of each pixel."), confidence]
    changed = heat_map((plain.labels != refined.result.labels).astype(np.float32))
    share = float((plain.labels != refined.result.labels).mean())
    longest = float(np.hypot(refined.flow[..., 0], refined.flow[..., 1]).max())
    return [
        labels("refined", "Refined", refined.result, "Classes, corrected by what the day picture shows."),
        labels("alone", "Night alone", plain, "Classes by the night picture alone."),
        photo("changed", "Changed", changed, f"Bright where the day picture changed the class: {share:.1%}."),
        photo("warped", "Day, warped", refined.warped, "The day picture as seen from the night picture's place."),
        photo(
            "flow",
            "Flow",
            paint_flow(refined.flow),
            f"Where each pixel lies in the day picture: hue is the direction, colour the length, up to {longest:.1f} "
            f"pixels at {refined.night.shape[1]} \N{MULTIPLICATION SIGN} {refined.night.shape[0]}.",
        ),
        confidence,
    ]


def _legend(space: LabelSpace, shares: Mapping[str, float], before: Mapping[str, float] | None) -> list[Share]:
    found = [
        Share(name, "#{:02x}{:02x}{:02x}".format(*colour), shares[name], None if before is None else before[name])
        for name, colour in zip(space.names, space.palette, strict=True)
    ]
    return sorted(found, key=lambda one: -one.share)


def _downloads(plain: Segmentation, refined: Refined | None) -> list[Download]:
    best, stem = plain if refined is None else refined.result, plain.name
    classes = {
        name: {"id": number, "share": round(share, 6)} for number, (name, share) in enumerate(best.shares().items())
    }
    summary = json.dumps({"picture": stem, "mean_confidence": round(best.mean_confidence(), 4), "classes": classes})
    files = [
        Download("Labels (PNG)", f"{stem}{OUTPUTS['labels']}", _uri("image/png", best.encoded("labels"))),
        Download("Colours (PNG)", f"{stem}{OUTPUTS['colour']}", label_uri(best.labels, best.label_space, 2**31)),
        Download("Shares (JSON)", f"{stem}.json", _uri("application/json", summary.encode())),
    ]
    if refined is not None:
        alone = _uri("image/png", plain.encoded("labels"))
        files.insert(1, Download("Labels of the night alone (PNG)", f"{stem}_alone{OUTPUTS['labels']}", alone))
    return [Download(one.title, PurePath(one.name).name, one.uri) for one in files]


def _uri(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"
