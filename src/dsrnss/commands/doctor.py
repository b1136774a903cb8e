"""`dsrnss doctor`: what this machine has, and what is missing for which command."""

import argparse
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dsrnss.diagnosis.examination import Diagnosis

_MARKS = {"fine": "", "note": "note", "missing": "MISSING"}
_STYLES = {"fine": "", "note": "yellow", "missing": "bold red"}


def add_parser(commands: Any) -> None:
    """Add the command to the subparsers of `dsrnss`."""
    parser = commands.add_parser(
        "doctor",
        help="tell what this machine has, and what is missing for which command",
        description="Tell of the machine, GPU and driver, libraries, codecs, disks, caches and data sets, and what is\n"
        "missing for which command. Needs no torch. Exit code 1 if a library that everything needs is missing.",
    )
    parser.add_argument(
        "--json", action="store_true", help="print JSON for a bug report, without your home folder and name"
    )
    parser.add_argument(
        "--try", dest="deep", action="store_true", help="also import each library and compute with torch (a minute)"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Look, and tell.

    Returns:
        1 if a library that everything needs is missing or, with `--try`, fails.
    """
    from dsrnss.diagnosis.examination import examine

    diagnosis = examine(deep=args.deep)
    if args.json:
        told = {title: [one.impersonal() for one in found] for title, found in diagnosis.items()}
        print(json.dumps(told, indent=1, ensure_ascii=False))
    else:
        _print(diagnosis)
    needed = [*diagnosis["Libraries"], *diagnosis.get("Tried", [])]
    return int(any(finding.state == "missing" for finding in needed))


def _print(diagnosis: "Diagnosis") -> None:
    try:
        from rich.text import Text

        from dsrnss.commands.tables import plain_table, wide_console
    except ModuleNotFoundError:  # a doctor comes to those who have nothing, too
        for title, found in diagnosis.items():
            print(f"\n{title}")
            for one in found:
                print("  " + "  ".join(filter(None, (one.name, one.value, _MARKS[one.state], one.advice))))
        return
    console = wide_console()
    for title, found in diagnosis.items():
        table = plain_table(show_header=False, padding=(0, 2, 0, 0))
        for _ in range(3):
            table.add_column(overflow="fold")
        for one in found:
            told = Text(": ".join(filter(None, (_MARKS[one.state], one.advice))), _STYLES[one.state])
            table.add_row(Text(f"  {one.name}"), Text(one.value), told)
        console.print(Text(f"\n{title}", "bold"))
        console.print(table)
