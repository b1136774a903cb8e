"""`dsrnss data validate-submission`: check an archive before it is sent to a test server."""

import argparse
from pathlib import Path
from typing import Any

from dsrnss.commands.arguments import path, whole_number
from dsrnss.console import counted, printable
from dsrnss.progress import counting


def add_parser(kinds: Any) -> None:
    """Add `validate-submission` to the subparsers of `dsrnss data`."""
    parser = kinds.add_parser(
        "validate-submission",
        help="check an archive for a test server",
        description="Check the zip archive of a submission and name every fault. The exit code is 1 if there is any.\n"
        "`dsrnss predict --submission NAME` writes such an archive.",
    )
    parser.add_argument("file", type=path, metavar="FILE", help="the zip file")
    parser.add_argument("--kind", metavar="NAME", help="data set, such as darkzurich (default: by the content)")
    parser.add_argument(
        "--images", type=path, metavar="FOLDER", help="folder of the test pictures, any nesting: compare the names"
    )
    parser.add_argument("--show", type=whole_number(1), default=20, metavar="N", help="faults shown (default: 20)")
    parser.set_defaults(run=validate)


def validate(args: argparse.Namespace) -> int:
    """Check an archive."""
    from dsrnss.data.submission.validation import validate_submission

    expected = _names(args.images) if args.images else None
    with counting("files") as progress:
        found = validate_submission(args.file, args.kind, expected, progress)
    print(f"{args.file}: {counted(found.pictures, 'picture')} for {found.benchmark.title}.")
    for fault in found.faults[: args.show]:
        print(f"  {printable(fault)}")
    if len(found.faults) > args.show:
        print(f"  ... and {len(found.faults) - args.show} more")
    print("Nothing wrong." if not found.faults else f"{counted(len(found.faults), 'fault')}.")
    return 1 if found.faults else 0


def _names(folder: Path) -> set[str]:
    """Names of the test pictures below a folder.

    Raises:
        DataError: If there is none.
    """
    from dsrnss.data.listing import listing
    from dsrnss.data.submission.validation import PICTURE_ENDING
    from dsrnss.errors import DataError

    names = {
        path.stem
        for path in listing(folder, f"**/*{PICTURE_ENDING}.png")
        if not path.stem.endswith(f"_ref{PICTURE_ENDING}")
    }
    if not names:
        raise DataError(f"--images: no pictures '*{PICTURE_ENDING}.png' below '{folder}'.")
    return names
