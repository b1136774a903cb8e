"""Line charts as plain geometry; the page's template draws them as inline SVG."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dsrnss.reporting.content import Curve

WIDTH, HEIGHT = 460, 280
_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 14, 12, 44
HUES = 6
"""Colours of the style sheet."""
_MAX_POINTS = 300
_SMOOTH_FROM = 40
"""Curves of at least so many points are drawn as a running mean over a faint trace."""

_MARKS_UP_TO = 16
"""Curves of at most so many points show each as a dot."""


@dataclass(frozen=True)
class Kind:
    """What a chart shows.

    Attributes:
        title: Its heading.
        x: What the horizontal axis counts.
        square: Whether both axes go from 0 to 100, with the diagonal.
        from_zero: Whether the values begin at 0.
    """

    title: str
    x: str = "training step"
    square: bool = False
    from_zero: bool = False


KINDS = {
    "loss": Kind("Training loss", from_zero=True),
    "miou": Kind("Mean IoU while training"),
    "pseudo-labels": Kind("Pseudo-labels"),
    "night": Kind("At night, without labels"),
    "calibration": Kind("How often it is right, by confidence", "confidence, %", square=True),
    "brightness": Kind("Mean IoU by brightness of the picture", "mean brightness, 0 to 255", from_zero=True),
}
"""Group of curves -> what its chart shows; of `GROUP/OF WHAT` the rest is added to the title."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Line:
    """One curve in the coordinates of the drawing."""

    name: str
    points: str
    trace: str
    marks: tuple[tuple[float, float], ...]
    last: str
    band: str = ""
    hue: int = 0


@dataclass(frozen=True)
class Chart:
    """A chart of curves that share both axes; positions are (x, y) in a WIDTH x HEIGHT drawing."""

    title: str
    description: str
    unit: str
    x_ticks: tuple[tuple[float, str], ...]
    y_ticks: tuple[tuple[float, str], ...]
    lines: tuple[Line, ...]
    x_title: str = "training step"
    diagonal: tuple[float, float, float, float] | None = None
    width: int = WIDTH
    height: int = HEIGHT
    left: int = _LEFT
    right: int = WIDTH - _RIGHT
    bottom: int = HEIGHT - _BOTTOM


def build_charts(curves: Iterable[Curve]) -> list[Chart]:
    """Sort curves into one chart a group, in order of first appearance; curves without a finite value are left out."""
    groups: dict[str, list[tuple[Curve, Floats]]] = {}
    for curve in curves:
        points = _finite(curve.points)
        if len(points):
            groups.setdefault(curve.group, []).append((curve, points))
    return [_chart(group, members) for group, members in groups.items()]


def nice_ticks(low: float, high: float, count: int = 5) -> list[float]:
    """About `count` round numbers that enclose [low, high], evenly spaced by 1, 2, 2.5 or 5 times a power of ten."""
    if not high > low:
        low, high = low - (abs(low) or 1.0) * 0.5, high + (abs(high) or 1.0) * 0.5
    rough = (high - low) / max(1, count - 1)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(f * power for f in (1, 2, 2.5, 5, 10) if f * power >= rough * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(index * step, 12) for index in range(first, last + 1)]


def running_mean(values: Floats, reach: int) -> Floats:
    """Mean over up to `reach` neighbours on either side, fewer at the ends."""
    sums = np.concatenate([[0.0], np.cumsum(values)])
    index = np.arange(len(values))
    low, high = np.maximum(index - reach, 0), np.minimum(index + reach + 1, len(values))
    means: Floats = (sums[high] - sums[low]) / (high - low)
    return means


def _finite(points: Sequence[tuple[float, float]]) -> Floats:
    table = np.asarray(list(points), dtype=np.float64).reshape(-1, 2)
    return table[np.isfinite(table).all(1)]


def _thin(points: Floats) -> Floats:
    """Means of neighbouring points, so that no curve has more than `_MAX_POINTS`."""
    if len(points) <= _MAX_POINTS:
        return points
    return np.stack([part.mean(0) for part in np.array_split(points, _MAX_POINTS)])


@dataclass(frozen=True)
class _Axes:
    """Where steps and values lie in the drawing."""

    x_range: tuple[float, float]
    y_range: tuple[float, float]

    def x(self, step: float) -> float:
        low, high = self.x_range
        share = (min(max(step, low), high) - low) / (high - low)
        return round(_LEFT + share * (WIDTH - _LEFT - _RIGHT), 1)

    def y(self, value: float) -> float:
        low, high = self.y_range
        share = (min(max(value, low), high) - low) / (high - low)
        return round(HEIGHT - _BOTTOM - share * (HEIGHT - _TOP - _BOTTOM), 1)

    def path(self, points: Floats) -> str:
        return " ".join(f"{self.x(step):g},{self.y(value):g}" for step, value in _thin(points))


def _chart(group: str, members: list[tuple[Curve, Floats]]) -> Chart:
    name, _, of_what = group.partition("/")
    kind = KINDS.get(name, Kind(name.replace("_", " ").capitalize()))
    title = kind.title + (f", {of_what}" if of_what else "")
    drawn = [(curve, _smooth(points), points) for curve, points in members]
    x_range = (0.0, 100.0) if kind.square else _step_range(np.concatenate([points[:, 0] for _, _, points in drawn]))
    y_ticks = nice_ticks(0, 100) if kind.square else nice_ticks(*_value_range(kind, drawn))
    axes = _Axes(x_range, (y_ticks[0], y_ticks[-1]))
    x_ticks = [t for t in nice_ticks(*x_range) if x_range[0] <= t <= x_range[1] and float(t).is_integer()]
    told = [
        f"{curve.name} from {_value(bold[0, 1], curve.unit)} to {_value(bold[-1, 1], curve.unit)}"
        for curve, bold, _ in drawn
    ]
    return Chart(
        title=title,
        description=f"{title} against the {kind.x}: {'; '.join(told)}.",
        unit=members[0][0].unit,
        x_ticks=tuple((axes.x(tick), f"{tick:,.0f}") for tick in x_ticks),
        y_ticks=tuple((axes.y(tick), f"{tick:g}") for tick in y_ticks),
        lines=tuple(
            _line(curve, bold, points, axes, place if curve.hue is None else curve.hue, ended=kind.x == Kind.x)
            for place, (curve, bold, points) in enumerate(drawn)
        ),
        x_title=kind.x,
        diagonal=(axes.x(0), axes.y(0), axes.x(100), axes.y(100)) if kind.square else None,
    )


def _line(curve: Curve, bold: Floats, points: Floats, axes: _Axes, hue: int, *, ended: bool) -> Line:
    band = [*((x, high) for x, _, high in curve.band), *((x, low) for x, low, _ in reversed(curve.band))]
    return Line(
        name=curve.name,
        points=axes.path(bold),
        trace="" if bold is points else axes.path(points),
        marks=tuple((axes.x(step), axes.y(value)) for step, value in bold) if len(bold) <= _MARKS_UP_TO else (),
        last=_value(bold[-1, 1], curve.unit) if ended else "",
        band=" ".join(f"{axes.x(x):g},{axes.y(y):g}" for x, y in band),
        hue=hue % HUES,
    )


def _smooth(points: Floats) -> Floats:
    """The line to draw boldly: a running mean of long curves, short ones as they are."""
    if len(points) < _SMOOTH_FROM:
        return points
    return np.stack([points[:, 0], running_mean(points[:, 1], max(1, len(points) // 40))], axis=1)


def _step_range(steps: Floats) -> tuple[float, float]:
    """The steps to show, from 0 if the curves begin near it."""
    low, high = float(steps.min()), float(steps.max())
    if high <= low:
        return low - 0.5, high + 0.5
    return (min(0.0, low), high) if low <= 0.1 * high else (low, high)


def _value_range(kind: Kind, drawn: list[tuple[Curve, Floats, Floats]]) -> tuple[float, float]:
    """The values to show: all of the bold lines and bands and most of the traces, not single spikes."""
    bold = np.concatenate([line[:, 1] for _, line, _ in drawn])
    low, high = float(bold.min()), float(bold.max())
    if any(line is not points for _, line, points in drawn):
        high = max(high, float(np.quantile(np.concatenate([points[:, 1] for _, _, points in drawn]), 0.98)))
    for curve, _, _ in drawn:
        low = min([low, *(below for _, below, _ in curve.band)])
        high = max([high, *(above for _, _, above in curve.band)])
    return (min(0.0, low) if kind.from_zero else low), high


def _value(value: float, unit: str) -> str:
    number = f"{value:.1f}" if unit == "%" else f"{value:.3g}"
    return f"{number} {unit}".rstrip()
