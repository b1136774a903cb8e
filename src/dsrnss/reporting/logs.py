"""The numbers that a training has logged."""

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from dsrnss.errors import RunError

METRICS = "metrics.csv"
FOLLOWED = {
    "source loss": "train/loss_source",
    "mixed loss": "train/loss_mixed",
    "pseudo-labels right": "pseudo/accuracy_refined",
    "pseudo-labels trusted": "pseudo/share",
}
"""Curve of a page -> its name in the log, of what is followed in every adaptation."""
CHECKED = {"mIoU, all classes": "val/night/mIoU", "mIoU, dynamic and small classes": "val/night/mIoU_dynamic_small"}
"""The same of the demo's looks at the night."""
Points = list[tuple[float, float]]
"""(step, value), in order of the step."""
_POINTS = 80


def read_logs(files: Iterable[Path]) -> dict[str, Points]:
    """The curves of a run by their names in the log, not smoothed; values that are not finite are left out.

    Args:
        files: `metrics.csv` of the run, and of those that went on with it: later ones win where steps overlap.

    Raises:
        RunError: If one cannot be read, or is no such table.
    """
    logged: dict[str, dict[int, float]] = {}
    for file in files:
        for step, name, value in _rows(file):
            logged.setdefault(name, {})[step] = value
    return {
        name: [(float(step), value) for step, value in sorted(points.items()) if math.isfinite(value)]
        for name, points in logged.items()
    }


def _rows(file: Path) -> Iterable[tuple[int, str, float]]:
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RunError(f"'{file}' cannot be read: {error}.") from error
    whole = text[: text.rfind("\n") + 1]  # a run that was killed, or goes on, may leave half a line
    table = csv.DictReader(io.StringIO(whole), strict=True)
    if whole.strip() and "step" not in (table.fieldnames or ()):
        raise RunError(f"'{file}' is no log of a training: its first line names no column 'step'.")
    try:
        for row in table:
            yield from _values(row)
    except (csv.Error, ValueError, TypeError) as error:
        raise RunError(
            f"'{file}', line {table.line_num}: not a line of a training's log ({error}). Mend or remove that line."
        ) from error


def _values(row: Mapping[str | None, str | list[str] | None]) -> Iterable[tuple[int, str, float]]:
    if None in row or None in row.values():
        raise ValueError("the header has another number of columns")
    step = int(str(row["step"]))
    for name, cell in row.items():
        if name not in ("step", "epoch") and cell:
            yield step, str(name), float(str(cell))


def smoothed(points: Sequence[tuple[float, float]], most: int = _POINTS) -> Points:
    """Means of neighbours, at most so many of them."""
    size = max(1, -(-len(points) // most))
    groups = [points[start : start + size] for start in range(0, len(points), size)]
    return [(group[-1][0], sum(value for _, value in group) / len(group)) for group in groups]
