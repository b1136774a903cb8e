"""`dsrnss weights`: published weights by name, what a file holds, and its conversion."""

import argparse
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from dsrnss.commands.arguments import add_import, add_which, import_modules, import_words, path
from dsrnss.commands.tables import plain_table, wide_console
from dsrnss.console import next_step, notice
from dsrnss.errors import ConfigError, UsageError, did_you_mean

if TYPE_CHECKING:
    from dsrnss.models.weights.inspection import Inspection

_WHERE = "file, folder, name of `dsrnss weights list`, address (https://...), or user/name on the Hugging Face hub"


def add_parser(commands: Any) -> None:
    """Add the command and its subcommands to the subparsers of `dsrnss`."""
    parser = commands.add_parser(
        "weights",
        help="list and fetch published weights, inspect and convert files",
        description="Published weights: list, fetch, inspect and convert them.",
    )
    kinds = parser.add_subparsers(title="commands", dest="weights_command", metavar="COMMAND", required=True)
    _add_list(kinds)
    _add_fetch(kinds)
    _add_inspect(kinds)
    _add_convert(kinds)


def _add_list(kinds: Any) -> None:
    parser = kinds.add_parser("list", help="list the weights that have a name", description="List what has a name.")
    parser.add_argument("--json", action="store_true", help="print JSON, with addresses, checksums and licences")
    parser.set_defaults(run=list_)


def _add_fetch(kinds: Any) -> None:
    parser = kinds.add_parser(
        "fetch",
        help="download weights to the cache",
        description="Download weights to the cache ($DSRNSS_CACHE or ~/.cache/dsrnss). A download that was cut goes\n"
        "on where it stopped, and its checksum is compared where one is published.",
    )
    parser.add_argument("name", metavar="NAME", help="a name of `dsrnss weights list`")
    parser.set_defaults(run=fetch)


def _add_inspect(kinds: Any) -> None:
    parser = kinds.add_parser(
        "inspect",
        help="tell what a file of weights holds",
        description="Tell whose layout a file has, which network it holds, and how every tensor fits.\n"
        "Exit code 1 if any does not.",
    )
    parser.add_argument("file", metavar="FILE", help=_WHERE)
    add_which(parser)
    add_import(parser)
    _add_encoder(parser)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=inspect)


def _add_convert(kinds: Any) -> None:
    parser = kinds.add_parser(
        "convert",
        help="write a network in this package's format",
        description="Write the network of a file as a folder (config.json, model.safetensors, README.md) or, if OUT\n"
        "ends in .safetensors, as one file.",
    )
    parser.add_argument("file", metavar="FILE", help=_WHERE)
    parser.add_argument("out", type=path, metavar="OUT", help="folder or .safetensors file to write")
    add_which(parser)
    add_import(parser)
    _add_encoder(parser)
    parser.add_argument("--half", action="store_true", help="store numbers in 16 bits: half the size")
    parser.add_argument("--overwrite", action="store_true", help="replace OUT if it exists")
    parser.set_defaults(run=convert)


def _add_encoder(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--encoder", metavar="timm/NAME", help="the model of timm that FILE is of; its tensors alone do not tell"
    )


def list_(args: argparse.Namespace) -> int:
    """List the registered weights."""
    from dataclasses import asdict

    from dsrnss.models.weights.registry import REGISTRY
    from dsrnss.models.weights.resolving import find_here

    entries = [(entry, find_here(entry)) for entry in REGISTRY.values()]
    if args.json:
        print(
            json.dumps([{**asdict(entry), "cached": str(path) if path else None} for entry, path in entries], indent=1)
        )
        return 0
    rows = [
        (entry.name, entry.what, entry.licence.partition(" (")[0], "yes" if path else "by hand" if entry.page else "")
        for entry, path in entries
    ]
    _table(("name", "weights", "licence", "here"), rows)
    for page in dict.fromkeys(entry.page for entry, _ in entries if entry.page):
        print(f"\nby hand: from {page}. `dsrnss weights fetch NAME` says where to put the file.")
    next_step(["dsrnss", "weights", "fetch", "mit_b5"], ["dsrnss", "weights", "inspect", "FILE"])
    return 0


def fetch(args: argparse.Namespace) -> int:
    """Download registered weights."""
    from dsrnss.models.weights.registry import REGISTRY
    from dsrnss.models.weights.resolving import obtain

    if args.name not in REGISTRY:
        raise UsageError(f"dsrnss weights fetch: unknown name '{args.name}'.{did_you_mean(args.name, REGISTRY)}")
    entry = REGISTRY[args.name]
    path = obtain(entry)
    print(f"{entry.name}: {path} ({path.stat().st_size / 1e6:.1f} MB)")
    print(f"Licence: {entry.licence}. Paper: {entry.paper}.")
    next_step(["dsrnss", "weights", "inspect", entry.name])
    return 0


def inspect(args: argparse.Namespace) -> int:
    """Tell what a file holds."""
    from dsrnss.models.weights.inspection import inspect_file

    import_modules(args.imports)
    found = inspect_file(args.file, args.which, args.encoder)
    fits = found.account is None or found.account.complete
    imports = import_words(args.imports)
    if args.json:
        print(json.dumps(found.to_dict() | {"fits": fits}, indent=1))
        return 0 if fits else 1
    _table(("", ""), _facts(found), header=False)
    if not fits and found.account is not None:
        notice(f"it does not fit: {found.account.problems()}.")
    elif found.kind == "network":
        next_step(
            ["dsrnss", "segment", "PHOTO.jpg", "--out", "out", "--model", args.file, *imports],
            ["dsrnss", "weights", "convert", args.file, "OUT", *imports],
        )
    elif found.kind == "backbone":
        named = [] if args.encoder is None else ["--encoder", args.encoder]
        next_step(["dsrnss", "weights", "convert", args.file, "OUT.safetensors", *named, *imports])
    return 0 if fits else 1


def _facts(found: "Inspection") -> list[tuple[str, str]]:
    rows = [("file", str(found.path)), ("layout", found.format), ("holds", f"a {found.kind}")]
    rows += [(key.replace("_", " "), str(value)) for key, value in found.architecture.items() if value is not None]
    if found.kind != "aligner":
        rows.append(("numbers", f"{found.parameters:,}"))
    if found.account is not None:
        if found.account.total:
            rows.append(("tensors", f"{found.account.loaded}/{found.account.total} fit"))
        rows += [(f"beside it: {what}", f"{count} tensors") for what, count in found.account.left_out.items()]
        rows += [("remark", remark) for remark in found.account.remarks]
    return rows


def convert(args: argparse.Namespace) -> int:
    """Write a network in this package's format."""
    from dsrnss.models.weights.inspection import convert_file

    taken = args.out.exists() and not (args.out.is_dir() and not any(args.out.iterdir()))
    if taken and not args.overwrite:
        raise ConfigError(f"'{args.out}' exists: give another OUT, or --overwrite to replace it.")
    import_modules(args.imports)
    convert_file(args.file, args.out, args.which, half=args.half, encoder=args.encoder)
    print(f"Wrote {args.out}.")
    next_step(["dsrnss", "weights", "inspect", args.out, *import_words(args.imports)])
    return 0


def _table(columns: tuple[str, ...], rows: Sequence[tuple[str, ...]], *, header: bool = True) -> None:
    from rich.text import Text

    table = plain_table(show_header=header)
    for index, title in enumerate(columns):
        table.add_column(title, no_wrap=index == 0, overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    wide_console().print(table)
