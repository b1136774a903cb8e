"""The table of scores in a terminal."""

from collections.abc import Mapping

from rich.console import Console
from rich.table import Table
from rich.text import Text

from dsrnss.labels import LabelSpace
from dsrnss.metrics import Scores
from dsrnss.reporting.content import ADAPTED, SOURCE_ONLY
from dsrnss.reporting.wording import percent, signed, trend


def print_scores(
    console: Console,
    scores: Mapping[str, Scores],
    label_space: LabelSpace,
    more: Mapping[str, Mapping[str, float]] | None = None,
) -> None:
    """Print the IoU of every class and the means, in percent; "-" where a class does not occur.

    Args:
        console: Where to print.
        scores: One column a network or set, by its name; with both "source-only" and "adapted" a column of differences
            follows.
        label_space: The classes.
        more: Further rows below the means: title -> column -> fraction.
    """
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("class", no_wrap=True)
    for key in scores:
        table.add_column(key, justify="right")
    compared = SOURCE_ONLY in scores and ADAPTED in scores
    if compared:
        table.add_column("change", justify="right")
    for index, name in enumerate(label_space.names):
        values = {key: float(one.iou[index]) for key, one in scores.items()}
        table.add_row(_class(console, name, label_space.palette[index]), *_cells(values, compared))
    table.add_section()
    for title, attribute in (
        ("mean", "mean_iou"),
        ("mean, dynamic", "mean_iou_dynamic"),
        ("mean, small", "mean_iou_small"),
        ("pixels right", "pixel_accuracy"),
    ):
        values = {key: float(getattr(one, attribute)) for key, one in scores.items()}
        table.add_row(Text(title), *_cells(values, compared), style="bold" if attribute == "mean_iou" else "")
    for title, row in (more or {}).items():
        table.add_row(Text(title), *_cells(row, compared))
    console.print(table)


def _class(console: Console, name: str, colour: tuple[int, int, int]) -> Text:
    """A class name behind a chip of its colour, where the console has colours."""
    if console.color_system is None:
        return Text(name)
    return Text.assemble(("  ", f"on rgb({colour[0]},{colour[1]},{colour[2]})"), " ", name)


def _cells(values: Mapping[str, float], compared: bool) -> list[Text]:
    cells = [Text(percent(value)) for value in values.values()]
    if compared:
        change = values[ADAPTED] - values[SOURCE_ONLY]
        style = {"up": "green", "down": "red"}.get(trend(change), "dim")
        cells.append(Text(signed(change).replace("\N{MINUS SIGN}", "-"), style))
    return cells
