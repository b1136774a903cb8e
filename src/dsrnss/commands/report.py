"""`dsrnss report`: one page of one or several runs."""

import argparse
from pathlib import Path
from typing import Any

from dsrnss.commands.arguments import path
from dsrnss.errors import UsageError


def add_parser(commands: Any) -> None:
    """Add the command to the subparsers of `dsrnss`."""
    parser = commands.add_parser(
        "report",
        help="write a page of one or several runs, beside each other",
        description="Write one HTML page, which needs nothing else, of one or several runs: curves, IoU of each class\n"
        "with the spread over seeds, confusion, calibration, IoU by brightness, worst and best pictures,\n"
        "pseudo-labels over time, settings and what differs in them, versions, time. What a run lacks is named,\n"
        "with how to get it. Runs that differ only in their seed are one group; changes are from the first group.",
        epilog="examples:\n  dsrnss report lightning_logs/synthnight/adapt/version_0\n"
        "  dsrnss report lightning_logs/synthnight/adapt lightning_logs/synthnight/adapt+dacs    all runs of both\n"
        "  dsrnss report demo adapted --out compared.html",
    )
    parser.add_argument(
        "runs",
        nargs="+",
        metavar="RUN",
        help="folder of a run (of fit, adapt or demo), of runs, or of the results of a test",
    )
    parser.add_argument(
        "--out", type=path, default=Path("report.html"), metavar="FILE", help="page to write (default: report.html)"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Write the page.

    Raises:
        UsageError: If the page would be written over that of a run.
        RunError: If a run is not there, empty or damaged.
        OutputError: If the page cannot be written.
    """
    from dsrnss.reporting.runs import NUMBERS, find_runs
    from dsrnss.reporting.runs_page import write_runs_page
    from dsrnss.writing import prepare_file

    if args.out.suffix != ".html":
        raise UsageError(f"--out: a page ends in .html, not '{args.out.name}'.")
    if args.out.with_suffix(".json").is_file() and args.out.with_suffix(".json").name == NUMBERS:
        raise UsageError(f"'{args.out}' is the page of a run of its own: choose another --out.")
    prepare_file(args.out)
    runs = find_runs(args.runs)
    print(f"Report: {write_runs_page(runs, args.out)}")
    return 0
