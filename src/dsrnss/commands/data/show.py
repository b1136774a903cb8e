"""`dsrnss data show`: samples of a data set in one picture, their labels laid over them."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dsrnss.commands.arguments import path, whole_number
from dsrnss.console import next_step
from dsrnss.errors import UsageError, did_you_mean

if TYPE_CHECKING:
    from dsrnss.data.base import SegmentationDataset

GENERATED = "synthnight"
CELL_WIDTH = 480


def add_parser(kinds: Any) -> None:
    """Add `show` to the subparsers of `dsrnss data`."""
    parser = kinds.add_parser(
        "show",
        help="draw samples of a data set with their labels",
        description="Draw samples of a data set into one picture: as they are, with their labels laid over them, and\n"
        "with their day reference, where there are such.",
    )
    parser.add_argument(
        "dataset",
        metavar="CONFIG|NAME|FOLDER",
        help=f"{GENERATED}, a data set below $DATA_DIR (cityscapes, darkzurich, ...), an experiment file, or a folder",
    )
    parser.add_argument("--split", metavar="NAME", help="which of its sets (default: the first; synthnight: target)")
    parser.add_argument("--n", type=whole_number(1), default=8, metavar="N", help="number of samples (default: 8)")
    parser.add_argument(
        "--seed", type=whole_number(0), metavar="N", help="draw them by chance (default: evenly spread)"
    )
    parser.add_argument(
        "--night", default="city", metavar="NAME", help="synthnight: severity of the night (default: city)"
    )
    parser.add_argument(
        "--style", default="drawn", metavar="NAME", help="synthnight: drawn, or photographic (default: drawn)"
    )
    parser.add_argument(
        "--out", type=path, default=Path("samples.png"), metavar="FILE", help="picture to write (default: samples.png)"
    )
    parser.set_defaults(run=show)


def show(args: argparse.Namespace) -> int:
    """Draw samples."""
    from dsrnss.reporting.figures import contact_sheet
    from dsrnss.writing import atomic, prepare_file

    name, dataset = _generated(args) if args.dataset == GENERATED else _chosen(args)
    dataset.verify()
    prepare_file(args.out)
    rows, titles = [], []
    for index in _indices(len(dataset), args.n, None if args.dataset == GENERATED else args.seed):
        pictures, title = _row(dataset, index)
        rows.append(pictures)
        titles.append(title)
    columns = max(map(len, rows))
    headings = [name, *([""] * (columns - 1))]
    sheet = contact_sheet(rows, headings, cell_width=CELL_WIDTH, row_titles=titles)
    with atomic(args.out) as draft:
        sheet.save(draft, "PNG")
    print(f"Wrote {args.out}: {len(rows)} of {len(dataset)} samples of {name}.")
    next_step(["dsrnss", "demo"] if args.dataset == GENERATED else ["dsrnss", "data", "check", args.dataset])
    return 0


def _generated(args: argparse.Namespace) -> tuple[str, "SegmentationDataset"]:
    from dsrnss.data import SynthNight

    split = args.split or "target"
    references = split != "source"
    samples = SynthNight(
        split,
        length=args.n,
        seed=args.seed or 0,
        night=args.night,
        labelled=True,
        references=references,
        style=args.style,
    )
    return f"{GENERATED}, {split}", samples


def _chosen(args: argparse.Namespace) -> tuple[str, "SegmentationDataset"]:
    from dsrnss.commands.data.targets import resolve

    sets = resolve(args.dataset).sets
    fitting = [name for name in sets if args.split is None or args.split in (name, name.rpartition("/")[2])]
    if not fitting:
        raise UsageError(f"--split: '{args.dataset}' has no set '{args.split}'.{did_you_mean(args.split, sets)}")
    return fitting[0], sets[fitting[0]]


def _indices(length: int, count: int, seed: int | None) -> list[int]:
    """Which samples to show: evenly spread, or drawn without repetition."""
    import numpy as np

    count = min(length, count)
    if seed is None:
        return [index * length // count for index in range(count)]
    return sorted(np.random.default_rng(seed).choice(length, count, replace=False).tolist())


def _row(dataset: "SegmentationDataset", index: int) -> tuple[list[Any], str]:
    """The pictures of a sample, and its name with the number of its classes."""
    import numpy as np
    from PIL import Image

    from dsrnss.reporting.figures import overlay

    sample, space = dataset[index], dataset.label_space
    image = sample["image"].permute(1, 2, 0).numpy()
    pictures, title = [image], sample["name"]
    if "label" in sample:
        labels = sample["label"].numpy()
        if labels.shape != image.shape[:2]:
            labels = np.asarray(Image.fromarray(labels).resize(image.shape[1::-1], Image.Resampling.NEAREST))
        pictures.append(overlay(image, labels, space))
        title += f", {(np.unique(labels) < space.num_classes).sum()} classes"
    if "reference" in sample:
        pictures.append(sample["reference"].permute(1, 2, 0).numpy())
    return pictures, title
