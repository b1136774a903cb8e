"""The arguments of `dsrnss segment`, and what of them results depend on."""

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from dsrnss.commands.arguments import add_import, add_which, path, whole_number
from dsrnss.errors import UsageError
from dsrnss.inference.sources import DEFAULT_KINDS, OUTPUTS, VIDEO_OUTPUTS

if TYPE_CHECKING:
    from dsrnss.inference.segmenter import Segmenter

_VIDEO_KINDS = ("labels", "overlay")
"""What is written of a video where nothing else is asked for."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments to a parser."""
    parser.add_argument(
        "sources",
        nargs="+",
        metavar="SOURCE",
        help="picture, video, folder, a pattern such as 'photos/*.jpg', camera:0, or a stream (rtsp://..., http://...)",
    )
    parser.add_argument("--out", type=path, required=True, metavar="DIR", help="output folder")
    _add_model(parser)
    _add_results(parser)
    parser.add_argument("--recursive", action="store_true", help="search folders with all the folders in them")
    parser.add_argument(
        "--max-megapixels",
        type=_positive,
        default=50.0,
        metavar="N",
        help="refuse larger pictures; each megapixel takes about 25 MB of memory (default: 50)",
    )


def _add_model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--model",
        type=path,
        metavar="CKPT",
        help="checkpoint (ours or the authors'), .safetensors file, folder of a saved model, .onnx file of `dsrnss "
        "export`, a name of `dsrnss weights list` or a Hugging Face id (default: the packaged demo model)",
    )
    add_which(parser)
    add_import(parser)
    parser.add_argument("--device", default="auto", metavar="NAME", help="auto, cpu, cuda, cuda:1, ... (default: auto)")
    parser.add_argument(
        "--precision",
        choices=("float32", "float16", "bfloat16"),
        default="float32",
        metavar="TYPE",
        help="of the arithmetic: float32; bfloat16, faster on GPUs and new CPUs; float16, faster on GPUs, slow on CPUs "
        "(default: float32)",
    )
    parser.add_argument(
        "--compile",
        action="store_true",
        help="let torch.compile make code for the network: minutes at first, then faster; for many pictures or videos",
    )
    parser.add_argument(
        "--batch-size",
        type=whole_number(1),
        default=1,
        metavar="N",
        help="so many pictures of one size, or frames, pass the network at once: faster on GPUs (default: 1)",
    )
    parser.add_argument("--flip", action="store_true", help="average with the mirrored picture: twice the time")
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


def _add_results(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--save",
        nargs="+",
        choices=tuple(OUTPUTS),
        metavar="KIND",
        help=f"what is written: {', '.join(OUTPUTS)}; of videos, labels and confidence without loss (FFV1), the "
        f"others as H.264 (default: {' '.join(DEFAULT_KINDS)}; of videos {' '.join(_VIDEO_KINDS)})",
    )
    parser.add_argument(
        "--frames", action="store_true", help="of a video, write a folder with the files of every frame, as of pictures"
    )
    parser.add_argument(
        "--smooth",
        type=_share,
        default=0.0,
        metavar="WEIGHT",
        help="of a video, weight of the frames before in a running average of probabilities, such as 0.5 (default: 0)",
    )
    parser.add_argument("--show", action="store_true", help="show the frames of videos in a window; q ends")
    parser.add_argument("--overwrite", action="store_true", help="do again what is there already")


def _positive(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"expected a number above 0, not '{text}'")
    return number


def _share(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number < 1:
        raise argparse.ArgumentTypeError(f"expected a number from 0 to below 1, not '{text}'")
    return number


def video_kinds(args: argparse.Namespace) -> Sequence[str]:
    """What is written of videos.

    Raises:
        UsageError: If nothing of what is asked for can be.
    """
    if args.frames:
        return args.save or DEFAULT_KINDS
    kinds = [kind for kind in args.save or _VIDEO_KINDS if kind in VIDEO_OUTPUTS]
    if not kinds:
        raise UsageError(f"--save: of videos, {' and '.join(args.save)} are written with --frames only.")
    return kinds


def settings_of(segmenter: "Segmenter", args: argparse.Namespace) -> dict[str, Any]:
    """What results depend on, beside the sources."""
    from dsrnss import __version__

    return {
        "dsrnss": __version__,
        "network": segmenter.engine.fingerprint,
        "precision": segmenter.engine.precision,
        **{name: getattr(args, name) for name in ("height", "window", "flip", "compile", "save", "frames", "smooth")},
    }
