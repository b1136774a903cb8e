"""The tables that commands print."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table


def wide_console() -> "Console":
    """Standard output; a table is not squeezed into 80 columns where that is a file."""
    from rich.console import Console

    console = Console()
    return console if console.is_terminal else Console(width=160)


def plain_table(*titles: str, **options: Any) -> "Table":
    """A table without lines; rich's options on top."""
    from rich.table import Table

    return Table(*titles, box=None, pad_edge=False, header_style="bold", **options)
