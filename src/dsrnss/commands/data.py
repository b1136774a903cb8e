"""`dsrnss data`: write the embedded data set in the official layouts, prepare a real one, look at one."""

import argparse
import contextlib
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from dsrnss.commands.arguments import whole_number
from dsrnss.console import next_step

LAYOUTS = ("cityscapes_darkzurich",)
SHOWN = ("synthnight",)


def add_parser(commands: Any) -> None:
    """Add the command and its subcommands to the subparsers of `dsrnss`."""
    parser = commands.add_parser(
        "data", help="write synthetic data sets, prepare real ones, look at them", description="Work on data sets."
    )
    kinds = parser.add_subparsers(title="commands", dest="data_command", metavar="COMMAND", required=True)
    _add_synthesize(kinds)
    _add_prepare(kinds)
    _add_show(kinds)


def _add_synthesize(kinds: Any) -> None:
    parser = kinds.add_parser(
        "synthesize",
        help="write synthetic scenes in the layout of real data sets",
        description="Write synthetic street scenes in the exact file layout of Cityscapes and Dark Zurich,\n"
        "so that the experiments on real data can be tried without a download.",
    )
    count = whole_number(0)
    parser.add_argument("out", type=Path, metavar="OUT", help="folder to write; use it as $DATA_DIR")
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
        description="Cityscapes: write the train ids beside the shipped label ids and count the classes of each image.",
    )
    parser.add_argument("dataset", choices=("cityscapes",), metavar="DATASET", help="cityscapes")
    parser.add_argument("root", type=Path, metavar="ROOT", help="its folder, with leftImg8bit and gtFine in it")
    parser.add_argument("--workers", type=whole_number(1), metavar="N", help="processes (default: one a core)")
    parser.set_defaults(run=prepare)


def _add_show(kinds: Any) -> None:
    parser = kinds.add_parser(
        "show", help="draw samples of a data set", description="Draw samples of a data set into one picture."
    )
    parser.add_argument("dataset", choices=SHOWN, metavar="DATASET", help=", ".join(SHOWN))
    parser.add_argument("--split", default="target", metavar="NAME", help="split (default: target)")
    parser.add_argument("--n", type=whole_number(1), default=4, metavar="N", help="number of samples (default: 4)")
    parser.add_argument("--seed", type=whole_number(0), default=0, metavar="N", help="seed (default: 0)")
    parser.add_argument("--night", default="city", metavar="NAME", help="severity of the night (default: city)")
    parser.add_argument(
        "--out", type=Path, default=Path("samples.png"), metavar="FILE", help="picture to write (default: samples.png)"
    )
    parser.set_defaults(run=show)


def synthesize(args: argparse.Namespace) -> int:
    """Write a synthetic data set."""
    from dsrnss.data.layouts import synthesize as write

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
    print(f"Wrote {args.out}: " + ", ".join(f"{number} {part}" for part, number in parts.items()) + ".")
    print(
        f"\nNext: DATA_DIR={shlex.quote(str(args.out))} dsrnss fit --config cityscapes_darkzurich/dsrnss_daformer.yaml "
        "--trainer.max_steps 2"
    )
    return 0


def prepare(args: argparse.Namespace) -> int:
    """Prepare Cityscapes."""
    from dsrnss.data.prepare import prepare_cityscapes

    with counting("labels") as progress:
        done = prepare_cityscapes(args.root, workers=args.workers, progress=progress)
    print(f"{done['labels']} labels found, {done['written']} train ids written, {done['train']} in the statistics.")
    next_step(["dsrnss", "fit", "--config", "cityscapes_darkzurich/dsrnss_daformer.yaml"])
    return 0


def show(args: argparse.Namespace) -> int:
    """Draw samples."""
    from dsrnss.data import SynthNight
    from dsrnss.reporting.figures import contact_sheet

    labelled = {"labelled": True, "references": args.split != "source"}
    samples = SynthNight(args.split, length=args.n, seed=args.seed, night=args.night, **labelled)
    columns = ["picture", "labels", "day reference"] if samples.references else ["picture", "labels"]
    rows = []
    for index in range(args.n):
        sample = samples[index]
        row = [sample["image"].permute(1, 2, 0).numpy(), samples.label_space.colorize(sample["label"].numpy())]
        rows.append([*row, sample["reference"].permute(1, 2, 0).numpy()] if samples.references else row)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    contact_sheet(rows, columns).save(args.out)
    print(f"Wrote {args.out}.")
    next_step(["dsrnss", "demo"])
    return 0


@contextlib.contextmanager
def counting(what: str) -> Iterator[Callable[[int, int], None]]:
    """A bar on stderr for a function that reports (done, in all)."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(what, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)
