"""`dsrnss export`: a network as a file for ONNX Runtime, torch.export or OpenVINO."""

import argparse
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dsrnss.commands.arguments import add_import, add_which, import_modules, path
from dsrnss.commands.tables import plain_table, wide_console
from dsrnss.console import next_step, notice
from dsrnss.errors import CheckpointError, ConfigError, DatasetNotFoundError, UsageError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from dsrnss.inference.export import Agreement
    from dsrnss.inference.int8 import Picture
    from dsrnss.inference.segmenter import Segmenter
    from dsrnss.labels import LabelSpace

_FORMATS = ("onnx", "torch-export", "openvino")
_DESCRIPTION = """\
Write a network as a file for another runtime, and compare both on night scenes of five sizes. The file takes uint8 RGB
pictures (B, 3, H, W) of any size and gives logits (B, C, H, W); classes, colours and what is known of the training
stand in its metadata. `dsrnss segment --model FILE.onnx` runs it without PyTorch. Exit code 1 if both do not agree.

--int8 NIGHT writes an ONNX file in 8 bits, calibrated on some pictures of NIGHT; what that costs is told of others."""

_CALIBRATED = 64
"""Most pictures that 8 bits are calibrated and measured on, half each."""
_SIZES = ((192, 384), (97, 131), (240, 427), (33, 50), (256, 160))
"""Height and width of the pictures that both are compared on; odd ones and small ones too."""


def add_parser(commands: Any) -> None:
    """Add the command to the subparsers of `dsrnss`."""
    parser = commands.add_parser("export", help="write a network for ONNX Runtime and others", description=_DESCRIPTION)
    parser.add_argument("model", metavar="MODEL", help="as `dsrnss segment --model` takes it, such as demo")
    parser.add_argument(
        "--format", choices=_FORMATS, default="onnx", metavar="FORMAT", help=f"{', '.join(_FORMATS)} (default: onnx)"
    )
    parser.add_argument("--out", type=path, required=True, metavar="FILE", help="file to write")
    parser.add_argument(
        "--int8",
        metavar="NIGHT",
        help="8 bits, calibrated on this folder of night pictures, a known data set, or synthnight; labels there may "
        "be tell what it costs",
    )
    add_which(parser)
    add_import(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Export and compare.

    Returns:
        0 if the file gives the same classes as the network, otherwise 1.

    Raises:
        CheckpointError: If the model cannot be read, or both do not agree.
        ConfigError: If a library is missing, the network cannot be exported, or there are too few pictures.
        OutputError: If the file cannot be written.
    """
    from dsrnss.inference.export import LEAST_AGREEMENT, SUFFIXES, check_libraries, compare, export
    from dsrnss.inference.segmenter import Segmenter
    from dsrnss.writing import prepare_file

    suffix = SUFFIXES[args.format]
    if args.out.suffix != suffix:
        raise UsageError(f"--out: files of --format {args.format} end in {suffix}, not '{args.out.name}'.")
    if args.int8 and args.format != "onnx":
        raise UsageError(f"--int8: only of --format onnx, not {args.format}.")
    check_libraries(args.format)
    prepare_file(args.out)
    import_modules(args.imports)
    segmenter = Segmenter.from_pretrained(args.model, which=args.which, device="cpu")
    pictures = _calibration(args.int8, segmenter.label_space) if args.int8 else []
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "float32.onnx" if args.int8 else args.out
        export(segmenter, file, args.format)
        found = compare(segmenter, file, args.format, _night_pictures())
        _print_table(found)
        worst = min(one.same_class for one in found)
        if worst < LEAST_AGREEMENT:
            raise CheckpointError(
                f"'{args.out}' gives other classes than the network at {1 - worst:.2%} of the pixels: do not use it, "
                "and report this network."
            )
        if args.int8:
            _quantize(segmenter, file, args.out, pictures)
    print(f"Wrote {args.out} ({args.out.stat().st_size / 1e6:.1f} MB).")
    if args.format == "onnx":
        next_step(["dsrnss", "segment", "PHOTO.jpg", "--out", "out", "--model", args.out])
    return 0


def _calibration(word: str, space: "LabelSpace") -> "list[Picture]":
    """Some pictures of a set, evenly spread, with their labels if those are of the network's classes."""
    import numpy as np
    from PIL import Image

    from dsrnss.automation.sets import labelled_set, night_set
    from dsrnss.data.base import spread

    try:
        dataset = labelled_set(word, part="val").build()
    except DatasetNotFoundError:  # no labels
        dataset = night_set(word).build()
    if len(dataset) < 2:
        raise ConfigError(f"--int8: '{word}' holds {len(dataset)} pictures; half are calibrated on, half measured.")
    known = dataset.labelled and dataset.classes == space.names
    if dataset.labelled and not known:
        notice(f"the classes of '{word}' are not those of the network: its labels are left out.")
    samples = (dataset[index] for index in spread(len(dataset), _CALIBRATED))
    return [
        (Image.fromarray(np.asarray(one["image"].permute(1, 2, 0))), np.asarray(one["label"]) if known else None)
        for one in samples
    ]


def _quantize(segmenter: "Segmenter", source: Path, out: Path, pictures: "list[Picture]") -> None:
    """Write 8 bits, and tell what they cost."""
    from dsrnss.inference.int8 import measure, quantize

    quantize(source, out, segmenter, (image for image, _ in pictures[::2]))
    loss = measure(source, out, pictures[1::2])
    print(
        f"8 bits, calibrated on {len(pictures[::2])} pictures; on {loss.pictures} others the class is the same at "
        f"{loss.same_class:.2%} of the pixels, in {loss.time:.2f} of the processor time."
    )
    if loss.mean_iou:
        print("Mean IoU there: {:.1%} in float32, {:.1%} in 8 bits.".format(*loss.mean_iou))


def _night_pictures() -> "dict[tuple[int, int], npt.NDArray[np.uint8]]":
    """Scenes of SynthNight in each size; two in the first, as a batch."""
    import numpy as np
    from PIL import Image

    from dsrnss.data import SynthNight

    scenes = SynthNight("val", length=len(_SIZES) + 1, references=False)
    pictures = [Image.fromarray(np.asarray(scenes[number]["image"].permute(1, 2, 0))) for number in range(len(scenes))]
    found = {}
    for index, (height, width) in enumerate(_SIZES):
        chosen = pictures[: 2 if index == 0 else 1] if index == 0 else [pictures[index + 1]]
        found[height, width] = np.stack([np.asarray(picture.resize((width, height))) for picture in chosen])
    return found


def _print_table(found: "list[Agreement]") -> None:
    table = plain_table("pictures", "same class")
    table.add_column("greatest difference of logits", justify="right")
    for one in found:
        batch, height, width = one.size
        table.add_row(f"{batch} of {height} x {width}", f"{one.same_class:.4%}", f"{one.difference:.1e}")
    wide_console().print(table)
