"""`dsrnss data fetch`: download data sets, or unpack what was downloaded by hand, into the official layout."""

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dsrnss.commands.arguments import path
from dsrnss.console import next_step, notice
from dsrnss.errors import DataError, UsageError, did_you_mean
from dsrnss.progress import counting

if TYPE_CHECKING:
    from dsrnss.data.files import FileDataset


def add_parser(kinds: Any) -> None:
    """Add `fetch` to the subparsers of `dsrnss data`."""
    parser = kinds.add_parser(
        "fetch",
        help="download data sets, or unpack archives that were downloaded by hand",
        description="Download data sets that need no account (darkzurich, nighttime_driving, bdd100k) and unpack them\n"
        "into the official layout. For those that need one (cityscapes, acdc) it says which files to download by\n"
        "hand; --from DIR unpacks them. What was stopped goes on where it was.",
    )
    parser.add_argument("name", metavar="NAME", nargs="+", help="data sets, such as darkzurich")
    parser.add_argument("--from", dest="source", type=path, metavar="DIR", help="folder of archives downloaded by hand")
    parser.add_argument("--out", type=path, metavar="DIR", help="folder of all data sets (default: $DATA_DIR)")
    parser.add_argument("--parts", nargs="+", default=[], metavar="PART", help="only these parts, such as val")
    parser.add_argument(
        "--zipped", action="store_true", help="leave the archives as they are: data sets are read from them, too"
    )
    parser.add_argument(
        "--accept-licence", action="store_true", help="you have read the terms of the data sets, and accept them"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Fetch data sets.

    Raises:
        UsageError: If a name or option is wrong, or the terms are not accepted.
        DataError: If some can only be downloaded by hand; the others are fetched before.
    """
    from dsrnss.data.fetching import by_hand, fetch, unpack_from

    kinds = [_kind(name) for name in args.name]
    if args.zipped and args.source:
        raise UsageError(f"--zipped: the archives are there already: give the option root={args.source} to the set.")
    out = args.out or (path(os.environ["DATA_DIR"]) if os.environ.get("DATA_DIR") else None)
    if out is None:
        raise UsageError("Where to? Give --out DIR, the folder of all data sets, or set DATA_DIR.")
    locked = [kind for kind in kinds if not args.source and not any(archive.urls for archive in kind.archives)]
    kinds = [kind for kind in kinds if kind not in locked]
    if not args.source:
        _accept(kinds, args.accept_licence)
    for kind in kinds:
        if args.source:
            root = unpack_from(kind, args.source, out, counting, args.parts)
        else:
            root = fetch(kind, out, counting, args.parts, zipped=args.zipped)
        _print_parts(kind, root)
    if locked:
        raise DataError("An account is needed for\n" + "\n".join(f"  {by_hand(kind)}" for kind in locked))
    next_step(*(["dsrnss", "data", "check", out / kind.folder] for kind in kinds))
    return 0


def _kind(word: str) -> "type[FileDataset]":
    """A data set by its name on the command line, or by the official name of its folder."""
    from dsrnss.data.sets import known_sets

    known = known_sets()
    name = word.lower().replace("_", "").replace("-", "")
    found = known.get(name) or next((kind for kind in known.values() if kind.folder.lower() == name), None)
    if found is None:
        raise UsageError(f"dsrnss data fetch: unknown data set '{word}'.{did_you_mean(word, known)}")
    return found


def _accept(kinds: "list[type[FileDataset]]", accepted: bool) -> None:
    """Show the terms of data sets, and go on only if they are accepted."""
    for kind in kinds:
        print(f"{kind.folder}: {kind.licence}. {kind.url}\n  {kind.paper}")
    if not kinds or accepted:
        return
    if not sys.stdin.isatty():
        raise UsageError("Read the terms at these addresses; --accept-licence says that you accept them.")
    if input("Have you read the terms, and do you accept them? [y/N] ").strip().lower() not in ("y", "yes"):
        raise DataError("Nothing is downloaded: the terms were not accepted.")


def _print_parts(kind: "type[FileDataset]", root: Path) -> None:
    from dsrnss.data.fetching import found_parts

    for part in found_parts(kind, root):
        if part.pictures is not None:
            expected = f" of {part.official:,}" if part.official and part.official != part.pictures else ""
            print(f"{part.name}: {part.pictures:,}{expected} pictures in '{root}'.")
        elif part.remark:
            notice(f"{part.name}: {part.remark}")
