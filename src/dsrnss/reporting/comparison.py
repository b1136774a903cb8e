"""Runs in groups that differ in more than their seed, and their numbers as means with their spread."""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from dsrnss.errors import RunError
from dsrnss.labels import LabelSpace
from dsrnss.metrics import Scores
from dsrnss.reporting.content import Curve
from dsrnss.reporting.logs import smoothed
from dsrnss.reporting.page import Spread
from dsrnss.reporting.runs import Result, Run


@dataclass(frozen=True)
class Group:
    """Runs that differ only in their seed.

    Attributes:
        name: What they are called.
        runs: One or more.
    """

    name: str
    runs: Sequence[Run]

    @property
    def first(self) -> Run:
        """That whose settings and pictures are shown."""
        return self.runs[0]

    def results(self, place: str) -> list[tuple[int | None, Result]]:
        """Seed and result on a set, of the runs that were tested on it."""
        return [(run.seed, run.results[place]) for run in self.runs if place in run.results]


def group(runs: Sequence[Run]) -> list[Group]:
    """Put runs together that differ only in their seed, in order of first appearance."""
    groups: dict[str, list[Run]] = {}
    for run in runs:
        known = json.dumps(sorted(run.settings.items()), default=str) if run.settings else str(run.folder)
        groups.setdefault(known, []).append(run)
    members = list(groups.values())
    short = [_experiment(some) for some in members]
    names = [name if short.count(name) == 1 else some[0].name for name, some in zip(short, members, strict=True)]
    return [Group(name, some) for name, some in zip(_distinct(names, members), members, strict=True)]


def _experiment(runs: Sequence[Run]) -> str:
    """The name of a run without its number."""
    head, _, tail = runs[0].name.rpartition("/")
    return head if head and tail.startswith("version_") else runs[0].name


def _distinct(names: Sequence[str], members: Sequence[Sequence[Run]]) -> list[str]:
    """Names of which no two are the same: folders of the same name are told by those above them."""
    return [
        name if names.count(name) == 1 else f"{some[0].folder.resolve().parent.name}/{name}"
        for name, some in zip(names, members, strict=True)
    ]


def places(groups: Sequence[Group]) -> list[str]:
    """The sets that any run was tested on."""
    return list(dict.fromkeys(place for one in groups for run in one.runs for place in run.results))


def classes(groups: Sequence[Group], place: str) -> LabelSpace:
    """The classes that a set was tested with.

    Raises:
        RunError: If they are not the same in all runs.
    """
    spaces = {run.name: run.results[place].space for one in groups for run in one.runs if place in run.results}
    (first, space), *others = spaces.items()
    for name, other in others:
        if other.names != space.names:
            raise RunError(
                f"'{first}' and '{name}' were tested on '{place}' with other classes ({len(space.names)} and "
                f"{len(other.names)}): report them one by one."
            )
    return space


def measured(groups: Sequence[Group], place: str) -> dict[str, list[tuple[int | None, Scores]]]:
    """Group -> seed and scores on a set; before them, what the first adaptation began from, where that was scored."""
    found: dict[str, list[tuple[int | None, Scores]]] = {}
    before = [run.before[place].scores for one in groups for run in one.runs if place in run.before]
    if before:
        found["source-only"] = [(None, before[0])]
    for one in groups:
        if results := one.results(place):
            found[one.name] = [(seed, result.scores) for seed, result in results]
    return found


def spread(runs: Sequence[tuple[int | None, Scores]], value: Callable[[Scores], float]) -> Spread:
    """A number over the seeds of a group."""
    return Spread.of(*(value(scores) for _, scores in runs))


def change(
    runs: Sequence[tuple[int | None, Scores]],
    base: Sequence[tuple[int | None, Scores]],
    value: Callable[[Scores], float],
) -> Spread:
    """How much a number differs from that of another group: seed by seed where both have the same, else their means."""
    here, there = ({seed: value(scores) for seed, scores in some} for some in (runs, base))
    if len(here) == len(runs) == len(base) and here.keys() == there.keys() and None not in here:
        return Spread.of(*(here[seed] - there[seed] for seed in here))
    one, other = spread(runs, value), spread(base, value)
    deviations = [each.deviation for each in (one, other) if each.count > 1]
    count = max(one.count, other.count) if deviations else min(one.count, other.count)
    deviation = math.hypot(*deviations) if deviations else math.nan
    return Spread(one.mean - other.mean, deviation, math.nan, math.nan, count)


def overlaid(groups: Sequence[Group], name: str, label: str, chart: str, *, percent: bool) -> list[Curve]:
    """A logged number of each group as one curve: the mean over its seeds, between the lowest and the highest.

    Args:
        groups: The groups.
        name: In the log.
        label: Of the curve where there is a single group; several are called by their names.
        chart: Which chart it belongs to.
        percent: Whether it is a share, shown in percent.
    """
    curves, factor = [], 100.0 if percent else 1.0
    for hue, one in enumerate(groups):
        logged = [np.array(smoothed(run.curves[name])) for run in one.runs if run.curves.get(name)]
        if not logged:
            continue
        steps = logged[0][:, 0]
        if len(logged) > 1:
            low, high = max(some[0, 0] for some in logged), min(some[-1, 0] for some in logged)
            steps = steps[(steps >= low) & (steps <= high)]
        values = factor * np.array([np.interp(steps, some[:, 0], some[:, 1]) for some in logged])
        band = [] if len(logged) == 1 else list(zip(steps, values.min(0), values.max(0), strict=True))
        points = list(zip(steps, values.mean(0), strict=True))
        unit, several = "%" if percent else "", len(groups) > 1
        curves.append(Curve(one.name if several else label, unit, points, chart, band, hue if several else None))
    return curves


def differing(groups: Sequence[Group]) -> list[tuple[str, list[str]]]:
    """The settings that are not the same in all groups: key and the value of each group."""
    keys = dict.fromkeys(key for one in groups for key in one.first.settings)
    rows = [(key, [_told(one.first.settings, key) for one in groups]) for key in keys]
    return [(key, values) for key, values in rows if len(set(values)) > 1]


def _told(settings: Mapping[str, object], key: str) -> str:
    return str(settings[key]) if key in settings else "-"
