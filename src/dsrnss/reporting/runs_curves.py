"""What runs have logged while they trained: curves, and how right their pseudo-labels were."""

from collections.abc import Sequence

import numpy as np

from dsrnss.reporting.charts import build_charts
from dsrnss.reporting.comparison import Group, overlaid
from dsrnss.reporting.content import Curve
from dsrnss.reporting.page import Cell, Charts, Row, ScoreTable, Spread

_FOLLOWED = {
    "pseudo/share": ("trusted", "pseudo-labels"),
    "pseudo/accuracy_teacher": ("right, by the teacher", "pseudo-labels"),
    "pseudo/accuracy_refined": ("right, refined", "pseudo-labels"),
    "night/score": ("consistency and information", "night"),
}
"""Name in the log -> name of the curve, and its chart."""
_TERM = "train/loss_"


def training_curves(groups: Sequence[Group]) -> list[Charts]:
    """The block of all curves; several groups have a chart for each number, one group a chart for all of a kind."""
    logged = list(dict.fromkeys(name for one in groups for run in one.runs for name in run.curves))
    several = len(groups) > 1
    found: list[Curve] = []

    def add(name: str, label: str, chart: str, *, percent: bool) -> None:
        found.extend(overlaid(groups, name, label, f"{chart}/{label}" if several else chart, percent=percent))

    for name in logged:
        if name == "train/loss":
            add(name, "all terms", "loss", percent=False)
        elif name.startswith(_TERM):
            add(name, name.removeprefix(_TERM).replace("_", " "), "loss", percent=False)
        elif name.startswith("val/") and name.endswith(("/mIoU", "/mIoU_dynamic_small")):
            _, place, kind = name.split("/")
            add(name, place + (", dynamic and small" if kind.endswith("small") else ""), "miou", percent=True)
        elif name in _FOLLOWED:
            add(name, *_FOLLOWED[name], percent=True)
    order = ("miou", "night", "pseudo-labels", "loss")
    found.sort(key=lambda curve: order.index(curve.group.partition("/")[0]))
    hint = (
        "Lines are means over seeds, the bands go from the lowest to the highest." if any(c.band for c in found) else ""
    )
    charts = build_charts(found)
    return [Charts("curves", "Training", hint, charts)] if charts else []


def pseudo_classes(groups: Sequence[Group]) -> list[ScoreTable]:
    """How right the pseudo-labels of each class were in the first and in the last third of the training."""
    found: list[Row] = []
    one = groups[0]
    prefix = next(
        (
            stage
            for stage in ("refined", "teacher")
            if any(n.startswith(f"pseudo/{stage}_class/") for n in one.first.curves)
        ),
        "",
    )
    names = [name for name in one.first.curves if name.startswith(f"pseudo/{prefix}_class/")] if prefix else []
    for name in names:
        thirds = [
            _thirds([value for _, value in run.curves[name]]) for run in one.runs if len(run.curves.get(name, ())) > 1
        ]
        if thirds:
            early, late = (Spread.of(*(pair[side] for pair in thirds)) for side in (0, 1))
            moved = Spread.of(*(after - before for before, after in thirds))
            cells = [Cell(early), Cell(late, css="strong"), Cell(moved, True)]
            found.append(Row(name.rpartition("/")[2], cells, [early, late]))
    if not found:
        return []
    heads = [("First third", ""), ("Last third", ""), ("Change", "")]
    hint = "Share of the pixels of a class whose pseudo-labels are right, where the target has labels to compare with."
    title = "Pseudo-labels of every class" + (f", {one.name}" if len(groups) > 1 else "")
    return [ScoreTable("pseudo", title, hint, heads, ("First third", "Last third"), found, (), "dumbbell")]


def _thirds(values: Sequence[float]) -> tuple[float, float]:
    size = max(1, len(values) // 3)
    return float(np.mean(values[:size])), float(np.mean(values[-size:]))
