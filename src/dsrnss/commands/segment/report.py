"""What `dsrnss segment` says at its end."""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dsrnss.commands.arguments import as_options
from dsrnss.commands.tables import plain_table, wide_console
from dsrnss.console import counted, error, next_step, printable

if TYPE_CHECKING:
    from dsrnss.inference.summary import PictureRecord, Summary, VideoRecord

_MOST_ROWS = 40
_MOST_DAMAGED = 5
"""Damaged frames of a video that are named; the summary has all."""


def report(summary: "Summary", out: Path) -> None:
    """Print a table of what was done, errors, and how many of both."""
    rows = [*map(_picture_row, summary.pictures), *map(_video_row, summary.videos)]
    if rows:
        _print_table(rows)
    for failure in summary.failures:
        error(said(failure.reason))
    for record in summary.videos:
        for sentence in _few(record.damaged):
            error(said(sentence))
    done = [counted(len(records), noun) for records, noun in _both(summary) if records or noun == "picture"]
    if summary.videos and not summary.pictures:
        del done[0]
    kept = f" ({summary.kept} of them by an earlier run; --overwrite does all anew)" if summary.kept else ""
    print(
        f"{' and '.join(done)} segmented{kept}, {len(summary.failures)} failed, in {summary.seconds:.1f} s. "
        f"The results and summary.json are in {printable(str(out))}."
    )


def _both(summary: "Summary") -> "list[tuple[Sequence[object], str]]":
    return [(summary.pictures, "picture"), (summary.videos, "video")]


def _few(sentences: Sequence[str]) -> Iterator[str]:
    yield from sentences[:_MOST_DAMAGED]
    if len(sentences) > _MOST_DAMAGED:
        yield f"... and {len(sentences) - _MOST_DAMAGED} more frames, all in the summary."


def _picture_row(record: "PictureRecord") -> tuple[str, ...]:
    return (record.picture, *_common(record))


def _video_row(record: "VideoRecord") -> tuple[str, ...]:
    return (f"{record.video} ({counted(record.frames, 'frame')})", *_common(record))


def _common(record: "PictureRecord | VideoRecord") -> tuple[str, ...]:
    largest = sorted(record.class_shares.items(), key=lambda item: -item[1])[:3]
    return (
        f"{record.width} x {record.height}",
        ", ".join(f"{name} {share:.0%}" for name, share in largest if share > 0),
        f"{record.mean_confidence:.2f}",
        f"{record.seconds:.1f}",
    )


def _print_table(rows: Sequence[tuple[str, ...]]) -> None:
    from rich.text import Text

    table = plain_table("picture", "size", "largest classes")
    table.add_column("confidence", justify="right")
    table.add_column("seconds", justify="right")
    for name, *cells in rows[:_MOST_ROWS]:
        table.add_row(Text(printable(name), overflow="fold"), *cells)
    wide_console().print(table)
    if len(rows) > _MOST_ROWS:
        print(f"... and {len(rows) - _MOST_ROWS} more, all in the summary.")


def say_next(args: argparse.Namespace) -> None:
    """Print what to do next."""
    if args.model is not None and args.model.suffix == ".ckpt":
        next_step(["dsrnss", "test", "--config", "EXPERIMENT.yaml", "--ckpt_path", args.model])
    else:
        next_step(["dsrnss", "adapt", "DAY", "NIGHT", "--out", "run"])


def said(reason: str) -> str:
    """A reason of the library's in the words of the command line."""
    return printable(as_options(reason, "max_megapixels", "recursive=True"))
