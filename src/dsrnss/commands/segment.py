"""`dsrnss segment`: label ids, colours and overlays of photographs."""

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dsrnss.commands.arguments import add_import, as_options, import_modules, path, whole_number
from dsrnss.commands.tables import plain_table, wide_console
from dsrnss.console import error, next_step, notice, printable
from dsrnss.errors import ImageError
from dsrnss.progress import ProgressDisplay

if TYPE_CHECKING:
    from dsrnss.inference.batch import PictureRecord, Summary
    from dsrnss.inference.segmenter import Segmenter

_DEMO_NOTICE = (
    "no --model given, so this is the packaged demo model. It has seen only synthetic street scenes (SynthNight): "
    "on photographs it makes many mistakes. For photographs: --model segformer_b2_cityscapes (day scenes; downloaded "
    "once; its licence is non-commercial), or one adapted to the night, see `dsrnss weights list`."
)
_DESCRIPTION = """\
Segment photographs: write label ids, colours and an overlay of each at its own size, and OUT/summary.json.
Pictures that cannot be segmented are named with the reason, the others are done, and the exit code is 1."""

_MOST_ROWS = 40


def add_parser(commands: Any) -> None:
    """Add the command to the subparsers of `dsrnss`."""
    parser = commands.add_parser("segment", help="segment photographs", description=_DESCRIPTION)
    add_arguments(parser)
    parser.set_defaults(run=run)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments to a parser."""
    parser.add_argument(
        "sources", nargs="+", metavar="SOURCE", help="picture, folder, or a pattern such as 'photos/*.jpg'"
    )
    parser.add_argument(
        "--out", type=path, required=True, metavar="DIR", help="output folder; results of the same names are replaced"
    )
    parser.add_argument(
        "--model",
        type=path,
        metavar="CKPT",
        help="checkpoint (ours or the authors'), .safetensors file, folder of a saved model, a name of "
        "`dsrnss weights list` or a Hugging Face id (default: the packaged demo model)",
    )
    parser.add_argument(
        "--which",
        choices=("student", "teacher"),
        default="student",
        metavar="NETWORK",
        help="of a .ckpt, the student or the teacher, its moving average (default: student)",
    )
    add_import(parser)
    parser.add_argument("--device", default="auto", metavar="NAME", help="auto, cpu, cuda, cuda:1, ... (default: auto)")
    parser.add_argument("--recursive", action="store_true", help="search folders with all the folders in them")
    parser.add_argument(
        "--height",
        type=whole_number(32),
        metavar="PIXELS",
        help="height that pictures are scaled to for the network (default: that of its training pictures)",
    )
    parser.add_argument(
        "--window",
        type=whole_number(32),
        nargs=2,
        metavar=("H", "W"),
        help="slide a window of this size over the scaled picture (default: the whole picture at once)",
    )
    parser.add_argument(
        "--max-megapixels",
        type=_positive,
        default=50.0,
        metavar="N",
        help="refuse larger pictures; each megapixel takes about 25 MB of memory (default: 50)",
    )


def _positive(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"expected a number above 0, not '{text}'")
    return number


def run(args: argparse.Namespace) -> int:
    """Segment the pictures.

    Returns:
        0 if all were segmented, otherwise 1.

    Raises:
        ImageError: If there is no picture at all.
        OutputError: If the output folder cannot be written to.
        CheckpointError: If the model cannot be read.
        HardwareError: If there is no such device.
    """
    from dsrnss.inference.sources import PictureFinder

    started = time.perf_counter()
    finder = PictureFinder(recursive=args.recursive, out=args.out)
    pictures = finder.find(args.sources)
    if not pictures:
        raise ImageError("\n".join(_said(failure.reason) for failure in finder.failures))

    from dsrnss.inference.batch import Summary
    from dsrnss.writing import prepare_folder

    args.out = prepare_folder(args.out)
    segmenter = _load(args)
    summary = Summary(
        model="packaged demo model" if args.model is None else str(args.model),
        which=args.which,
        device=str(segmenter.device),
        classes=list(segmenter.label_space.names),
        failures=finder.failures,
    )
    _segment_with_progress(segmenter, pictures, args, summary)
    summary.seconds = round(time.perf_counter() - started, 3)
    try:
        summary.write(args.out)
    finally:  # what was done is told even where the disk is full by now
        _report(summary, args.out)
    _say_next(args)
    return 1 if summary.failures else 0


def _load(args: argparse.Namespace) -> "Segmenter":
    from dsrnss.inference.segmenter import Segmenter

    import_modules(args.imports)
    segmenter = Segmenter.from_pretrained(
        args.model,
        which=args.which,
        device=args.device,
        height=args.height,
        window=None if args.window is None else (args.window[0], args.window[1]),
    )
    if args.model is None:
        notice(_DEMO_NOTICE)
    return segmenter


def _segment_with_progress(
    segmenter: "Segmenter", pictures: list[Path], args: argparse.Namespace, summary: "Summary"
) -> None:
    from dsrnss.inference.batch import segment_pictures

    with ProgressDisplay() as display:
        display.begin("pictures", len(pictures))
        segment_pictures(
            segmenter, pictures, args.out, summary, max_megapixels=args.max_megapixels, advance=display.advance
        )


def _report(summary: "Summary", out: Path) -> None:
    if summary.pictures:
        _print_table(summary.pictures)
    for failure in summary.failures:
        error(_said(failure.reason))
    done, failed = len(summary.pictures), len(summary.failures)
    print(
        f"{done} picture{'' if done == 1 else 's'} segmented, {failed} failed, in {summary.seconds:.1f} s. "
        f"Labels, colours, overlays and summary.json are in {printable(str(out))}.",
    )


def _print_table(records: "list[PictureRecord]") -> None:
    from rich.text import Text

    table = plain_table("picture", "size", "largest classes")
    table.add_column("confidence", justify="right")
    table.add_column("seconds", justify="right")
    for record in records[:_MOST_ROWS]:
        largest = sorted(record.class_shares.items(), key=lambda item: -item[1])[:3]
        table.add_row(
            Text(printable(record.picture), overflow="fold"),
            f"{record.width} x {record.height}",
            ", ".join(f"{name} {share:.0%}" for name, share in largest if share > 0),
            f"{record.mean_confidence:.2f}",
            f"{record.seconds:.1f}",
        )
    wide_console().print(table)
    if len(records) > _MOST_ROWS:
        print(f"... and {len(records) - _MOST_ROWS} more, all in the summary.")


def _say_next(args: argparse.Namespace) -> None:
    if args.model is not None and args.model.suffix == ".ckpt":
        next_step(["dsrnss", "test", "--config", "EXPERIMENT.yaml", "--ckpt_path", args.model])
    else:
        next_step(["dsrnss", "fit", "--config", "synthnight/adapt.yaml"])


def _said(reason: str) -> str:
    return printable(as_options(reason, "max_megapixels", "recursive=True"))
