"""The page of one or several runs, from what they have left behind."""

import shlex
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from dsrnss.errors import RunError
from dsrnss.labels import LabelSpace
from dsrnss.metrics import Scores
from dsrnss.paths import expanded
from dsrnss.reporting.before_after import MEANS, groups_of
from dsrnss.reporting.comparison import (
    Group,
    change,
    classes,
    differing,
    group,
    measured,
    places,
    spread,
)
from dsrnss.reporting.figures import photo_uri
from dsrnss.reporting.html import colour, legend, strip
from dsrnss.reporting.measured import confusions, details
from dsrnss.reporting.missing import missing
from dsrnss.reporting.page import (
    Block,
    Cell,
    Columns,
    Command,
    Facts,
    Headlines,
    Page,
    Picture,
    Prose,
    Row,
    Scenes,
    ScoreTable,
    facts,
    times,
)
from dsrnss.reporting.report import write_page
from dsrnss.reporting.runs import Run
from dsrnss.reporting.runs_curves import pseudo_classes, training_curves
from dsrnss.reporting.wording import clock, percent

Seeds = Sequence[tuple[int | None, Scores]]
_SPREAD = (
    " ± is the standard deviation over the runs of a group, which differ only in their seed; in the bars a line goes "
)
_SPREAD += "from the lowest of them to the highest."


def write_runs_page(runs: Sequence[Run], path: str | Path) -> Path:
    """Write the page of some runs.

    Args:
        runs: As `find_runs` reads them; at least one.
        path: The page.

    Raises:
        RunError: If they cannot be compared, or a picture of theirs cannot be read.
        OutputError: If the page cannot be written.
    """
    page = expanded(path)
    write_page(partial(page_of_runs, runs), page)
    return page


def page_of_runs(runs: Sequence[Run], picture_width: int = 512) -> Page:
    """Lay out the page of some runs.

    Args:
        runs: At least one.
        picture_width: Wider pictures are scaled down to this many pixels.
    """
    groups = group(runs)
    sets = places(groups)
    blocks: list[Block] = [
        *_headlines(groups, sets),
        *_overview(groups, sets),
        *(block for number, place in enumerate(sets) for block in _of_set(groups, place, number, len(sets))),
        *training_curves(groups),
        *pseudo_classes(groups),
        *_scenes(groups, sets, picture_width),
        *_steps(groups, picture_width),
        *_settings(groups),
    ]
    if hints := missing(groups, sets):
        blocks.append(Prose("missing", "Not in this report", "", hints))
    words = ["dsrnss", "report", *(str(run.folder) for run in runs)]
    blocks.append(Command("repeat", "Repeat it", "", shlex.join(words)))
    title = runs[0].name if len(runs) == 1 else ", ".join(one.name for one in groups[:3])
    more = f" and {len(groups) - 3} more" if len(groups) > 3 else ""
    return Page(title + more, _verdict(groups, sets), blocks)


def _verdict(groups: Sequence[Group], sets: Sequence[str]) -> str:
    runs = [run for one in groups for run in one.runs]
    count = "One run" if len(runs) == 1 else f"{len(runs)} runs"
    told = count + (f" in {len(groups)} groups" if len(groups) > 1 else "") + "."
    if not sets:
        return f"{told} Nothing was tested yet: these are the numbers of the training."
    scored = measured(groups, sets[0])
    means = {name: spread(some, _mean_iou) for name, some in scored.items()}
    listed = ", ".join(
        f"{name} {percent(mean.mean)}" + (f" ±{percent(mean.deviation)}" if mean.count > 1 else "")
        for name, mean in means.items()
    )
    if len(means) == 1:
        (mean,) = means.values()
        seeds = f" ±{percent(mean.deviation)} over {mean.count} runs" if mean.count > 1 else ""
        return f"{told} Mean IoU on {sets[0]}: {percent(mean.mean)} %{seeds}."
    return f"{told} Mean IoU on {sets[0]}, in percent: {listed}."


def _mean_iou(scores: Scores) -> float:
    return float(scores.mean_iou)


# --- numbers ----------------------------------------------------------------------------------------------------------


def _headlines(groups: Sequence[Group], sets: Sequence[str]) -> list[Headlines]:
    rows = []
    for place in sets[:6]:
        scored = measured(groups, place)
        if len(scored) > 2:
            continue
        space = classes(groups, place)
        wanted = {"Mean IoU": ("mean_iou", f"mean of all {space.num_classes} classes")}
        if len(sets) == 1:
            for title, key in (("Dynamic classes", "dynamic"), ("Small classes", "small")):
                members = ", ".join(space.names[index] for index in getattr(space, key))
                wanted[title] = (f"mean_iou_{key}", members or "none in this label space")
        where = f", {place}" if len(sets) > 1 else ""
        for title, (attribute, detail) in wanted.items():
            rows.append(_row(f"{title}{where}", list(scored.values()), _attribute(attribute), detail=detail))
    names = list(measured(groups, sets[0])) if sets else []
    return [Headlines("numbers", "Headline numbers", "", rows, names)] if rows else []


def _attribute(name: str) -> Callable[[Scores], float]:
    return lambda scores: float(getattr(scores, name))


def _row(
    name: str,
    columns: Sequence[Seeds],
    value: Callable[[Scores], float],
    colour: str = "",
    tags: Sequence[str] = (),
    detail: str = "",
) -> Row:
    spreads = [spread(some, value) for some in columns]
    cells = [Cell(spreads[0], css="" if len(columns) > 1 else "strong")]
    for some, found in zip(columns[1:], spreads[1:], strict=True):
        cells += [Cell(found, css="strong"), Cell(change(some, columns[0], value), True)]
    return Row(name, cells, spreads, colour, tags, detail)


def _of_set(groups: Sequence[Group], place: str, number: int, sets: int) -> list[Block]:
    """The blocks of one set: every class, confidence and brightness, the confusion."""
    space, scored = classes(groups, place), measured(groups, place)
    where = f" on {place}" if sets > 1 else ""
    alone = {name: [scores for _, scores in some] for name, some in scored.items()}
    table = _class_table(scored, space, f"classes{number}", f"Every class{where}")
    return [table, *details(alone, str(number), where), *confusions(alone, space, str(number), where)]


def _class_table(scored: dict[str, list[tuple[int | None, Scores]]], space: LabelSpace, id: str, title: str) -> Block:
    columns = list(scored.values())
    rows = [
        _row(name, columns, lambda s, i=index: float(s.iou[i]), colour(space, index), groups_of(space, index))  # type: ignore[misc]
        for index, name in enumerate(space.names)
    ]
    means = [_row(name, columns, _attribute(attribute)) for name, attribute in MEANS.items()]
    absent = any(np.isnan(scores.iou).any() for some in columns for _, scores in some)
    hint = "IoU in percent." + (
        " A class that occurs nowhere has none, and counts as 0 in the means." if absent else ""
    )
    hint += _SPREAD if any(len(some) > 1 for some in columns) else ""
    heads = [(next(iter(scored)), "")]
    for name in list(scored)[1:]:
        heads += [(name, ""), ("Change", "")]
    return ScoreTable(id, title, hint, heads, list(scored), rows, means, "bars")


def _overview(groups: Sequence[Group], sets: Sequence[str]) -> list[Facts]:
    """A line for each run."""
    runs = [(one, run) for one in groups for run in one.runs]
    if len(runs) == 1:
        return []
    heads = ["Group", "Seed", "Steps", "Time", *(f"mIoU, {place}" for place in sets)]
    rows = []
    for one, run in runs:
        values = [one.name, "-" if run.seed is None else str(run.seed), "-" if run.steps is None else f"{run.steps:,}"]
        values.append(clock(sum(run.seconds.values())) if run.seconds else "-")
        values += [percent(run.results[place].scores.mean_iou) if place in run.results else "-" for place in sets]
        rows.append((run.name + (" (not finished)" if run.finished is False else ""), values))
    return [Facts("runs", "Runs", "", heads, rows)]


# --- pictures ---------------------------------------------------------------------------------------------------------


def _scenes(groups: Sequence[Group], sets: Sequence[str], width: int) -> list[Scenes]:
    found: list[Scenes] = []
    for one in groups:
        for place in sets:
            result = next((run.results[place] for run in one.runs if place in run.results), None)
            if result is None or not result.scenes:
                continue
            panels = [scene.panel() for scene in result.scenes]
            of = [name for name, many in ((place, len(sets) > 1), (one.name, len(groups) > 1)) if many]
            title = "Worst and best pictures" + "".join(f", {name}" for name in of)
            strips = [strip(panel, result.space, width) for panel in panels]
            hint = "" if len(one.runs) == 1 else f"Of {one.first.name}."
            found.append(Scenes(f"scenes{len(found)}", title, hint, legend(panels, result.space), strips))
    return found


def _steps(groups: Sequence[Group], width: int) -> list[Scenes]:
    """The last panel of each group, and of a single one the first, too."""
    strips = []
    for one in groups:
        files = list(one.first.panels)
        for file in dict.fromkeys([files[0], files[-1]] if len(groups) == 1 and files else files[-1:]):
            step = int(digits) if (digits := file.stem.rpartition("_")[2]).isdigit() else file.stem
            caption = f"Step {step}" + (f" of {one.first.name}" if len(groups) > 1 else "")
            strips.append((caption, [_panel_picture(file, caption, 2 * width)]))
    hint = "What a training step saw, made of it, and predicted."
    return [Scenes("steps", "Training steps", hint, (), strips)] if strips else []


def _panel_picture(file: Path, caption: str, width: int) -> Picture:
    try:
        with Image.open(file) as picture:
            pixels = np.asarray(picture.convert("RGB"))
    except OSError as error:
        raise RunError(f"'{file}', a panel of a run, cannot be read: {error}.") from error
    alt = f"Source, target, pseudo-labels and mixed image of {caption[0].lower()}{caption[1:]}"
    return Picture("", "", alt, photo_uri(pixels, width), (pixels.shape[1], pixels.shape[0]))


# --- how they were made -----------------------------------------------------------------------------------------------


def _settings(groups: Sequence[Group]) -> list[Block]:
    found: list[Block] = []
    names = [one.name for one in groups]
    if len(groups) > 1 and (rows := differing(groups)):
        found.append(Facts("differing", "What differs", "Settings that are not the same in all groups.", names, rows))
    if len(groups) == 1 and len(groups[0].runs) == 1 and groups[0].first.seconds:
        found.append(times(groups[0].first.seconds))
    machine = _machines(groups)
    if len(found) == 1 and machine and len(groups) == 1:
        found = [Columns("about", "", "", [*found, *machine])]
    else:
        found += machine
    first = groups[0].first
    if first.settings:
        rows = [(key, [str(value)]) for key, value in first.settings.items()]
        seed = "" if first.seed is None else f" Its seed is {first.seed}."
        found.append(Facts("settings", "Settings", f"Of {first.name}.{seed}", rows=rows, folded=True))
    return found


def _machines(groups: Sequence[Group]) -> list[Facts]:
    known = [one for one in groups if one.first.machine]
    if not known:
        return []
    title = "Machine and versions"
    if len({tuple(_lasting(one.first.machine).items()) for one in known}) == 1:
        return [
            facts("machine", title, known[0].first.machine if len(groups) == 1 else _lasting(known[0].first.machine))
        ]
    keys = dict.fromkeys(key for one in known for key in one.first.machine)
    rows = [(key, [one.first.machine.get(key, "-") for one in known]) for key in keys]
    return [Facts("machine", title, "", [one.name for one in known], rows)]


def _lasting(machine: Any) -> dict[str, str]:
    return {key: value for key, value in machine.items() if key != "started"}
