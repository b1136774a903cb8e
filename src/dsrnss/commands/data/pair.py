"""`dsrnss data pair`: find the day picture of the place that each night picture shows."""

import argparse
import shlex
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dsrnss.commands.arguments import path, whole_number
from dsrnss.console import counted
from dsrnss.errors import UsageError
from dsrnss.progress import counting

if TYPE_CHECKING:
    from torch import nn

    from dsrnss.pairing import Found

SHOWN = 24
"""Pairs on the contact sheet, at most."""


def add_parser(kinds: Any) -> None:
    """Add `pair` to the subparsers of `dsrnss data`."""
    parser = kinds.add_parser(
        "pair",
        help="find day references of night pictures, by GPS and by what they show",
        description="Find for each night picture a day picture of the same place, and write the pairs as a pairs_file\n"
        "of data.Folder. Candidates look alike to an encoder and, where GPS is known (EXIF or a CSV), were taken\n"
        "nearby; a pair is taken if its pictures can be aligned with each other. Doubtful pairs are left out.",
    )
    parser.add_argument("night", type=path, metavar="NIGHT", help="folder of night pictures")
    parser.add_argument("day", type=path, metavar="DAY", help="folder of day pictures")
    parser.add_argument(
        "--out", type=path, default=Path("pairs.csv"), metavar="FILE", help="pairs to write (default: pairs.csv)"
    )
    parser.add_argument("--sheet", type=path, metavar="FILE", help=f"also draw up to {SHOWN} of the pairs into a PNG")
    parser.add_argument(
        "--positions",
        type=path,
        action="append",
        default=[],
        metavar="CSV",
        help="picture,latitude,longitude[,heading] of pictures without GPS in their EXIF; may be repeated",
    )
    parser.add_argument(
        "--radius", type=_number, default=50.0, metavar="METRES", help="GPS distance of a pair (default: 50; 0: no GPS)"
    )
    parser.add_argument(
        "--candidates", type=whole_number(1), default=5, metavar="N", help="day pictures tried for each (default: 5)"
    )
    parser.add_argument(
        "--least", type=_number, default=0.5, metavar="P", help="certainty from which a pair is taken (default: 0.5)"
    )
    encoder = parser.add_mutually_exclusive_group()
    encoder.add_argument("--weights", metavar="MODEL", help="network whose encoder compares (default: the demo's)")
    encoder.add_argument("--backbone", metavar="NAME", help="or an encoder alone, such as timm/resnet18")
    parser.add_argument(
        "--backbone-weights", metavar="FILE", help="weights of --backbone: a name or file (default: timm's own)"
    )
    parser.add_argument("--workers", type=whole_number(1), metavar="N", help="processes (default: one a core)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Find pairs and say how many are doubtful.

    Raises:
        UsageError: If weights are given for no backbone.
    """
    from dsrnss.pairing import find_pairs
    from dsrnss.pairing.positions import read_positions
    from dsrnss.writing import prepare_file

    for file in filter(None, (args.out, args.sheet)):
        prepare_file(file)
    positions = {name: place for file in args.positions for name, place in read_positions(file).items()}
    found = find_pairs(
        args.night,
        args.day,
        backbone=_encoder(args),
        positions=positions,
        radius=args.radius,
        candidates=args.candidates,
        least=args.least,
        workers=args.workers,
        steps=_steps,
    )
    found.write(args.out)
    _tell(found, args)
    if args.sheet and found.taken:
        _draw(found, args.sheet)
        print(f"Wrote {args.sheet}.")
    return 0


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected a number, not '{text}'") from None


def _steps(what: str) -> AbstractContextManager[Any]:
    return counting(what)


def _encoder(args: argparse.Namespace) -> "nn.Module | None":
    """The encoder that the user chose, None: the packaged one."""
    if args.backbone is None:
        if args.backbone_weights:
            raise UsageError("--backbone-weights: say with --backbone whose weights these are.")
        if args.weights is None:
            return None
        from dsrnss.models.weights import load_pretrained

        return load_pretrained(args.weights).segmentor.backbone.eval()
    from dsrnss.models.config import NetworkConfig, is_timm
    from dsrnss.models.factory import build_backbone
    from dsrnss.models.weights import load_backbone

    backbone = build_backbone(NetworkConfig(backbone=args.backbone))
    load_backbone(backbone, args.backbone_weights or ("timm" if is_timm(args.backbone) else args.backbone))
    return backbone.eval()


def _tell(found: "Found", args: argparse.Namespace) -> None:
    taken, pairs = found.taken, len(found.pairs)
    located = [pair.metres for pair in found.pairs if pair.metres is not None]
    print(f"Wrote {args.out}: {counted(len(taken), 'pair')} of {counted(pairs + len(found.alone), 'night picture')}.")
    print(f"Left out: {pairs - len(taken):,} doubtful (certainty below {found.least:g}), ", end="")
    print(f"{len(found.alone):,} without a day picture within {args.radius:g} m.")
    print(f"Positions: known of {len(located):,} of the pairs." if located else "Positions: none known.")
    if not taken:
        print("Pairs that were found by GPS alone: --least 0 takes the likeliest candidate of each, aligned or not.")
        return
    print("\nNext: look at them (--sheet pairs.png), then give them to the target of an experiment:")
    images = "" if found.images == "images" else f", images: {shlex.quote(found.images)}"
    print("  target: {class_path: dsrnss.data.Folder, init_args: {root: ", end="")
    print(f"{found.root}{images}, pairs_file: {args.out.absolute()}}}}}")


def _draw(found: "Found", file: Path) -> None:
    """A contact sheet of pairs, evenly spread from sure to less sure."""
    from dsrnss.pictures import decode
    from dsrnss.reporting.figures import contact_sheet
    from dsrnss.writing import atomic

    taken = sorted(found.taken, key=lambda pair: -pair.certainty)
    count = min(SHOWN, len(taken))
    shown = [taken[index * len(taken) // count] for index in range(count)]
    rows = [[decode(pair.picture), decode(pair.reference)] for pair in shown]
    titles = [f"{p.certainty:.2f}  {p.picture.name}  {p.reference.name}" for p in shown]
    sheet = contact_sheet(rows, ["night", "day"], cell_width=360, row_titles=titles)
    with atomic(file) as draft:
        sheet.save(draft, "PNG")
