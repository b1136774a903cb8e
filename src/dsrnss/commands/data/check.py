"""`dsrnss data check` and `dsrnss data stats`: read all files of some data sets, and count their classes."""

import argparse
import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dsrnss.commands.arguments import path, whole_number
from dsrnss.commands.tables import plain_table, wide_console
from dsrnss.console import counted, next_step, notice, printable
from dsrnss.errors import UsageError, did_you_mean
from dsrnss.progress import counting

if TYPE_CHECKING:
    from rich.console import Console

    from dsrnss.commands.data.targets import Target
    from dsrnss.data.checking.check import CheckReport, Problem

_TARGET = "experiment files (later ones win), a data set below $DATA_DIR (cityscapes, darkzurich, ...), or a folder"


def add_parsers(kinds: Any) -> None:
    """Add `check` and `stats` to the subparsers of `dsrnss data`."""
    parser = kinds.add_parser(
        "check",
        help="read all files of data sets and say what is wrong with them",
        description="Read every file of the data sets of an experiment, of a known data set or of a folder, and say\n"
        "all that is wrong. The exit code is 1 if anything is.",
    )
    parser.add_argument("target", metavar="CONFIG|NAME|FOLDER", nargs="+", help=_TARGET)
    parser.add_argument("--json", type=path, metavar="FILE", help="write all findings as JSON, too")
    parser.add_argument("--allow", action="append", default=[], metavar="KIND", help="a kind of problem to accept")
    parser.add_argument("--show", type=whole_number(1), default=5, metavar="N", help="files a kind shown (default: 5)")
    parser.add_argument("--workers", type=whole_number(1), metavar="N", help="processes (default: one a core)")
    parser.set_defaults(run=check)
    parser = kinds.add_parser(
        "stats",
        help="count the classes of labelled data sets",
        description="Count the pixels of each class, and the pictures that show it.",
    )
    parser.add_argument("target", metavar="CONFIG|NAME|FOLDER", nargs="+", help=_TARGET)
    parser.add_argument("--json", type=path, metavar="FILE", help="write the counts as JSON, too")
    parser.set_defaults(run=stats)


def check(args: argparse.Namespace) -> int:
    """Check data sets."""
    from dsrnss.commands.data.targets import resolve
    from dsrnss.data.checking.check import KINDS, check_sets

    for kind in args.allow:
        if kind not in KINDS:
            raise UsageError(f"--allow: unknown kind '{kind}'.{did_you_mean(kind, KINDS)}")
    target = resolve(*args.target, references=True)
    _prepare(args.json)
    with counting("samples") as progress:
        report = check_sets(target.sets, target.groups, workers=args.workers, progress=progress)
    problems = [problem for problem in report.problems if problem.kind not in args.allow]
    console = wide_console()
    _print_sets(console, target, report)
    _print_classes(console, report)
    for remark in report.remarks:
        console.print(remark, highlight=False, markup=False)
    _print_problems(console, problems, args.show)
    if args.json:
        _write_json(args.json, {"target": target.title, **as_json(report, problems)})
        notice(f"wrote {args.json}.")
    return 1 if problems else 0


def stats(args: argparse.Namespace) -> int:
    """Count classes."""
    from dsrnss.commands.data.targets import resolve
    from dsrnss.data.checking.stats import class_statistics

    target = resolve(*args.target)
    _prepare(args.json)
    found = class_statistics(target.sets)
    if not found:
        raise UsageError(f"'{target.title}' has no labelled set to count.")
    console = wide_console()
    for one in found:
        table = plain_table(title=f"{one.name}: {one.labels} labels")
        for title in ("class", "pixels", "share", "", "pictures"):
            table.add_column(title, justify="left" if title in ("class", "") else "right", no_wrap=True)
        for name, pixels, share, pictures in zip(one.classes, one.pixels, one.shares, one.pictures, strict=True):
            bar = "#" * round(20 * share / max(float(one.shares.max()), 1e-12))
            table.add_row(name, f"{pixels:,}", f"{100 * share:.3f} %", bar, f"{pictures:,}")
        console.print(table, "")
    if args.json:
        _write_json(args.json, {"target": target.title, "sets": [one.as_json() for one in found]})
        notice(f"wrote {args.json}.")
    next_step(["dsrnss", "data", "show", args.target[0]])
    return 0


def as_json(report: "CheckReport", problems: Sequence["Problem"]) -> dict[str, Any]:
    """A report as plain values.

    Args:
        report: What was found.
        problems: Those of its problems that are not accepted.
    """
    sets = [
        {
            "name": one.name,
            "dataset": one.dataset,
            "split": one.split,
            "pictures": one.pictures,
            "labels": one.labels,
            "references": one.references,
            "turned": one.turned,
            "sizes": {f"{height}x{width}": count for (height, width), count in one.sizes.most_common()},
            "pixels": {name: int(count) for name, count in zip((*one.classes, "ignored"), one.counts, strict=False)},
        }
        for one in report.sets
    ]
    rows = [{"kind": p.kind, "set": p.set, "file": p.file, "message": p.message} for p in problems]
    remarks, seconds = [*report.remarks], round(report.seconds, 2)
    return {"sets": sets, "problems": rows, "remarks": remarks, "samples": report.files, "seconds": seconds}


def _print_sets(console: "Console", target: "Target", report: "CheckReport") -> None:
    table = plain_table()
    for title in ("set", "pictures", "labels", "references", "height x width"):
        table.add_column(title, justify="right" if title in ("pictures", "labels", "references") else "left")
    for one in report.sets:
        sizes = [f"{height} x {width}" for (height, width), _ in one.sizes.most_common()]
        more = f" and {len(sizes) - 2} more" if len(sizes) > 2 else ""
        shown = "drawn by a program" if one.generated else ", ".join(sizes[:2]) + more
        table.add_row(one.name, f"{one.pictures:,}", f"{one.labels:,}", f"{one.references:,}", shown)
    console.print(table)
    for one in report.sets:
        if one.turned:
            console.print(
                f"{one.name}: {counted(one.turned, 'picture')} turned upright by EXIF. Labels must be drawn on the "
                "upright picture.",
                highlight=False,
            )
    if target.absent:
        console.print(f"Not there, perhaps not downloaded: {', '.join(target.absent)}.", highlight=False)


def _print_classes(console: "Console", report: "CheckReport") -> None:
    """A column of shares in percent for each labelled set, a table for each label space."""
    spaces: dict[tuple[str, ...], list[Any]] = defaultdict(list)
    for one in report.sets:
        if one.labels:
            spaces[one.classes].append(one)
    for classes, sets in spaces.items():
        table = plain_table()
        table.add_column("class, %", no_wrap=True)
        for one in sets:
            table.add_column(one.name.replace("/", "/\n"), justify="right", overflow="fold", min_width=6)
        for index, name in enumerate((*classes, "ignored")):
            shares = [100 * one.counts[index] / max(int(one.counts.sum()), 1) for one in sets]
            table.add_row(name, *(f"{share:.2f}" if share else "-" for share in shares))
        console.print("", table)


def _print_problems(console: "Console", problems: Sequence["Problem"], shown: int) -> None:
    from rich.markup import escape

    from dsrnss.data.checking.check import KINDS

    if not problems:
        console.print("\n[green]Nothing wrong.[/green]")
        return
    by_kind: dict[str, list[Problem]] = defaultdict(list)
    for problem in problems:
        by_kind[problem.kind].append(problem)
    for kind, members in by_kind.items():
        console.print(f"\n[bold red]{kind}[/bold red] ({KINDS[kind]}): {len(members)}", highlight=False)
        for problem in members[:shown]:
            text = f"  {problem.set}: {problem.file}: {problem.message}"
            console.print(escape(printable(text)), highlight=False, soft_wrap=True)
        if len(members) > shown:
            console.print(f"  ... and {len(members) - shown} more: --show {len(members)}, or --json FILE")
    console.print(
        f"\n{counted(len(problems), 'problem')}. To accept a kind: --allow {next(iter(by_kind))}", highlight=False
    )


def _prepare(path: Path | None) -> None:
    """Try the place of the JSON before all files are read."""
    from dsrnss.writing import prepare_file

    if path is not None:
        prepare_file(path)


def _write_json(path: Path, content: Any) -> None:
    from dsrnss.writing import atomic

    with atomic(path) as draft:
        draft.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
