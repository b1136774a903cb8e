"""`dsrnss data`: fetch, prepare, check and look at data sets, write the embedded one in the official layouts."""

import argparse
import shlex
from typing import Any

from dsrnss.commands.arguments import as_options, path, whole_number
from dsrnss.commands.data import align, check, fetch, pair, show, submission
from dsrnss.console import next_step
from dsrnss.errors import DataError
from dsrnss.progress import counting

LAYOUTS = ("cityscapes_darkzurich", "cityscapes_acdc")
"""Those of `dsrnss.data.stand_in.layouts`, which needs numpy."""


def add_parser(commands: Any) -> None:
    """Add the command and its subcommands to the subparsers of `dsrnss`."""
    parser = commands.add_parser(
        "data",
        help="fetch, prepare, check and look at data sets, write synthetic ones",
        description="Work on data sets.",
    )
    kinds = parser.add_subparsers(title="commands", dest="data_command", metavar="COMMAND", required=True)
    fetch.add_parser(kinds)
    _add_synthesize(kinds)
    _add_prepare(kinds)
    check.add_parsers(kinds)
    show.add_parser(kinds)
    align.add_parser(kinds)
    pair.add_parser(kinds)
    submission.add_parser(kinds)


def _add_synthesize(kinds: Any) -> None:
    parser = kinds.add_parser(
        "synthesize",
        help="write synthetic scenes in the layout of real data sets",
        description="Write synthetic street scenes in the exact file layout of the real data sets of an experiment,\n"
        "so that the experiments on real data can be tried without a download.",
    )
    count = whole_number(0)
    parser.add_argument("out", type=path, metavar="OUT", help="folder to write; use it as $DATA_DIR")
    parser.add_argument("--layout", choices=LAYOUTS, default=LAYOUTS[0], metavar="LAYOUT", help=", ".join(LAYOUTS))
    parser.add_argument("--source", type=count, default=50, metavar="N", help="labelled day scenes (default: 50)")
    parser.add_argument("--target", type=count, default=50, metavar="N", help="night and day pairs (default: 50)")
    parser.add_argument("--val", type=count, default=10, metavar="N", help="labelled night scenes (default: 10)")
    parser.add_argument("--test", type=count, default=4, metavar="N", help="unlabelled night scenes (default: 4)")
    parser.add_argument(
        "--size",
        type=whole_number(64),
        nargs=2,
        metavar=("H", "W"),
        help="pixels of the day scenes (default: 1024 2048)",
    )
    parser.add_argument("--seed", type=count, default=0, metavar="N", help="seed (default: 0)")
    parser.add_argument("--night", default="city", metavar="NAME", help="severity of the night (default: city)")
    parser.add_argument("--workers", type=whole_number(1), metavar="N", help="processes (default: one a core)")
    parser.add_argument("--overwrite", action="store_true", help="replace what this command wrote before")
    parser.set_defaults(run=synthesize)


def _add_prepare(kinds: Any) -> None:
    parser = kinds.add_parser(
        "prepare",
        help="prepare a downloaded data set for training",
        description="Cityscapes: write the train ids beside the shipped label ids, or draw them from polygons where\n"
        "those are missing, and count the classes of each image. An interrupted run goes on where it stopped.",
    )
    parser.add_argument("dataset", choices=("cityscapes",), metavar="DATASET", help="cityscapes")
    parser.add_argument("root", type=path, metavar="ROOT", help="its folder, with leftImg8bit and gtFine in it")
    parser.add_argument("--workers", type=whole_number(1), metavar="N", help="processes (default: one a core)")
    parser.set_defaults(run=prepare)


def synthesize(args: argparse.Namespace) -> int:
    """Write a synthetic data set.

    Raises:
        DataError: If its folder is in use.
    """
    from dsrnss.data.stand_in.layouts import synthesize as write

    try:
        with counting("scenes") as progress:
            parts = write(
                args.out,
                layout=args.layout,
                source=args.source,
                target=args.target,
                val=args.val,
                test=args.test,
                size=tuple(args.size) if args.size else None,
                seed=args.seed,
                night=args.night,
                workers=args.workers,
                progress=progress,
                overwrite=args.overwrite,
            )
    except DataError as error:
        raise DataError(as_options(str(error), "overwrite=True")) from error
    print(f"Wrote {args.out}: " + ", ".join(f"{number} {part}" for part, number in parts.items()) + ".")
    print(
        f"\nNext: DATA_DIR={shlex.quote(str(args.out))} dsrnss fit --config {args.layout}/dsrnss_daformer.yaml "
        "--trainer.max_steps 2 --model.backbone_weights random \\\n"
        "      --model.aligner dsrnss.adaptation.alignment.ClassicalAligner      (nothing is downloaded)"
    )
    return 0


def prepare(args: argparse.Namespace) -> int:
    """Prepare Cityscapes."""
    from dsrnss.data.sets.preparation import prepare_cityscapes

    with counting("labels") as progress:
        done = prepare_cityscapes(args.root, workers=args.workers, progress=progress)
    drawn = f" ({done['drawn']} drawn from polygons)" if done["drawn"] else ""
    print(
        f"{done['labels']} labels found, {done['written']} train ids written{drawn}, {done['train']} in the statistics."
    )
    next_step(["dsrnss", "fit", "--config", "cityscapes_darkzurich/dsrnss_daformer.yaml"])
    return 0
