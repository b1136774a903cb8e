"""`dsrnss demo`: train on day, adapt to night, report; on synthetic scenes that need no download."""

import argparse
from pathlib import Path
from typing import Any

from dsrnss.commands.arguments import path, whole_number
from dsrnss.console import next_step

_LENGTHS = {
    "quick": "one minute: shows that everything works, not the gain",
    "full": "longer training for the best numbers, with the oracle",
}


def add_parser(commands: Any) -> None:
    """Add the command to the subparsers of `dsrnss`."""
    parser = commands.add_parser(
        "demo",
        help="adapt a network from day to night on synthetic scenes and write a report",
        description="Adapt a small network from day to night on synthetic street scenes and write OUT/report.html:\n"
        "IoU of each class before and after, curves, and pictures. A few minutes on two cores.",
    )
    parser.add_argument("--out", type=path, default=Path("demo"), metavar="DIR", help="output folder (default: demo)")
    length = parser.add_mutually_exclusive_group()
    for name, text in _LENGTHS.items():
        length.add_argument(f"--{name}", dest="length", action="store_const", const=name, help=text)
    parser.set_defaults(length="standard")
    parser.add_argument("--oracle", action="store_true", help="also train on labelled night, the most one could reach")
    parser.add_argument(
        "--from-scratch", action="store_true", help="train the source model too, instead of taking the packaged one"
    )
    parser.add_argument("--seed", type=whole_number(0), default=0, metavar="N", help="seed (default: 0)")
    parser.add_argument(
        "--threads", type=whole_number(1), metavar="N", help="CPU threads (default: timed at the start)"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the demo and name the report."""
    from dsrnss.demo.run import DemoOptions, run_demo

    options = DemoOptions(
        out=args.out,
        length=args.length,
        from_scratch=args.from_scratch,
        seed=args.seed,
        threads=args.threads,
        oracle=args.oracle,
    )
    result = run_demo(options)
    print(f"Report: {result.report}")
    next_step(
        ["dsrnss", "segment", "PHOTO.jpg", "--model", args.out / "adapted.safetensors", "--out", "out"],
        ["dsrnss", "fit", "--config", "synthnight/adapt.yaml"],
    )
    return 0
