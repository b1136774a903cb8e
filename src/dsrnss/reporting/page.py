"""The blocks that a page is made of, laid out but not yet written; templates/parts.html.j2 has a macro of each name."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import ClassVar, Literal

import numpy as np

from dsrnss.reporting.charts import Chart


@dataclass(frozen=True)
class Spread:
    """A number that was measured once or several times, with as many seeds.

    Attributes:
        mean: Of all; nan where there is none.
        deviation: Standard deviation of the sample; nan of a single value.
        low: The lowest.
        high: The highest.
        count: How many.
    """

    mean: float
    deviation: float
    low: float
    high: float
    count: int

    @classmethod
    def of(cls, *values: float) -> "Spread":
        """Of what was measured; nan is left out."""
        known = [float(value) for value in values if not math.isnan(value)]
        if not known:
            return cls(math.nan, math.nan, math.nan, math.nan, 0)
        deviation = float(np.std(known, ddof=1)) if len(known) > 1 else math.nan
        return cls(float(np.mean(known)), deviation, min(known), max(known), len(known))


@dataclass(frozen=True)
class Cell:
    """A number of a table of scores.

    Attributes:
        value: The number, a fraction.
        change: Whether it is a difference.
        css: Further classes.
    """

    value: Spread
    change: bool = False
    css: str = ""


@dataclass(frozen=True)
class Row:
    """A class, or a mean, in a table of scores or a headline.

    Attributes:
        name: Of it.
        cells: What is written.
        drawn: What is drawn: the networks or runs, in order.
        colour: Of the class.
        tags: Groups of the class.
        detail: What is said below a headline.
    """

    name: str
    cells: Sequence[Cell]
    drawn: Sequence[Spread]
    colour: str = ""
    tags: Sequence[str] = ()
    detail: str = ""


@dataclass(frozen=True)
class Picture:
    """One picture of a panel; `uri` holds it."""

    title: str
    detail: str
    alt: str
    uri: str
    size: tuple[int, int]


@dataclass(frozen=True)
class Matrix:
    """A confusion matrix: name of a class -> its colour and the shares of its pixels; nan where it does not occur."""

    title: str
    names: Sequence[str]
    rows: Sequence[tuple[str, str, Sequence[float]]]


@dataclass(frozen=True)
class Block:
    """A part of the page under a heading.

    Attributes:
        id: Of the heading.
        title: The heading.
        hint: A line below it.
    """

    kind: ClassVar[str]
    id: str
    title: str
    hint: str = ""


@dataclass(frozen=True)
class Headlines(Block):
    """The numbers in large, and optionally a ladder of networks: key, name, what it has seen, mean IoU."""

    kind = "headlines"
    rows: Sequence[Row] = ()
    names: Sequence[str] = ()
    ladder: Sequence[tuple[str, float, str]] = ()


@dataclass(frozen=True)
class Scenes(Block):
    """Pictures in strips: a caption and the pictures; with the colours of the classes."""

    kind = "scenes"
    legend: Sequence[tuple[str, str]] = ()
    strips: Sequence[tuple[str, Sequence[Picture]]] = ()


@dataclass(frozen=True)
class ScoreTable(Block):
    """A number for each class, of one or several networks or runs."""

    kind = "score_table"
    heads: Sequence[tuple[str, str]] = ()
    names: Sequence[str] = ()
    rows: Sequence[Row] = ()
    means: Sequence[Row] = ()
    plot: Literal["dumbbell", "bars"] = "bars"


@dataclass(frozen=True)
class Charts(Block):
    """Charts of lines."""

    kind = "charts"
    charts: Sequence[Chart] = ()


@dataclass(frozen=True)
class Matrices(Block):
    """Confusion matrices."""

    kind = "matrices"
    matrices: Sequence[Matrix] = ()


@dataclass(frozen=True)
class Facts(Block):
    """Names with their values, in one column or in several that have heads; folded: only its heading is shown."""

    kind = "facts"
    heads: Sequence[str] = ()
    rows: Sequence[tuple[str, Sequence[str]]] = ()
    folded: bool = False


@dataclass(frozen=True)
class Times(Block):
    """Phases, their seconds and their share of all."""

    kind = "times"
    phases: Sequence[tuple[str, float, float]] = ()
    total: float = 0.0


@dataclass(frozen=True)
class Columns(Block):
    """Blocks side by side."""

    kind = "columns"
    blocks: Sequence[Block] = ()


@dataclass(frozen=True)
class Command(Block):
    """How to repeat it, and what to try next."""

    kind = "command"
    command: str = ""
    next_steps: Sequence[str] = ()


@dataclass(frozen=True)
class Prose(Block):
    """Sentences; backticks set code."""

    kind = "prose"
    items: Sequence[str] = ()


@dataclass(frozen=True)
class Page:
    """A page.

    Attributes:
        title: Its heading.
        verdict: What it says in a sentence or two.
        blocks: Its parts, in order.
        link: id of a block that the header points at, and the words for it.
        created: When.
    """

    title: str
    verdict: str
    blocks: Sequence[Block]
    link: tuple[str, str] | None = None
    created: datetime = field(default_factory=lambda: datetime.now().astimezone())


def times(seconds: Mapping[str, float]) -> Times:
    """The block of the phases of a run."""
    total = sum(seconds.values())
    return Times("time", "Time", "", [(n, s, s / total if total > 0 else 0.0) for n, s in seconds.items()], total)


def facts(id: str, title: str, values: Mapping[str, str]) -> Facts:
    """The block of names with one value each."""
    return Facts(id, title, rows=[(name, (value,)) for name, value in values.items()])
