"""`dsrnss segment`: what it is called with, and in which order it works."""

import argparse
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dsrnss.commands.arguments import import_modules
from dsrnss.commands.segment.arguments import add_arguments, settings_of, video_kinds
from dsrnss.commands.segment.report import report, said, say_next
from dsrnss.commands.segment.sharing import Meeting, Place
from dsrnss.commands.segment.work import Job, check_video, segment_pictures, segment_video
from dsrnss.console import notice
from dsrnss.errors import ImageError
from dsrnss.inference.sources import PictureFinder, is_video, output_stems, stream_path

if TYPE_CHECKING:
    from dsrnss.inference.segmenter import Segmenter
    from dsrnss.inference.summary import Summary

_DEMO_NOTICE = (
    "no --model given, so this is the packaged demo model. It has seen only synthetic street scenes (SynthNight): "
    "on photographs it makes many mistakes. For photographs: --model lite0_synthnight (packaged too; needs pip install "
    "'dsrnss[timm]'), --model segformer_b2_cityscapes (day scenes; downloaded once; its licence is non-commercial), or "
    "one adapted to your night by `dsrnss adapt`."
)
_DESCRIPTION = """\
Segment photographs and videos: write label ids, colours and an overlay of each at its own size, and OUT/summary.json.
What cannot be segmented is named with the reason, the rest is done, and the exit code is 1. Run again after it was
stopped, the command goes on where it was: what is there already, by the same model and options, is not done again.
Cameras and streams end by Ctrl-C. Started by `torchrun` or `srun` in several processes, each does its share of the
sources, a video as a whole; the first one writes OUT/summary.json of all."""


def add_parser(commands: Any) -> None:
    """Add the command to the subparsers of `dsrnss`."""
    parser = commands.add_parser("segment", help="segment photographs and videos", description=_DESCRIPTION)
    add_arguments(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Segment the pictures and videos.

    Returns:
        0 if all were segmented, otherwise 1.

    Raises:
        ImageError: If there is none at all.
        OutputError: If the output folder cannot be written to.
        CheckpointError: If the model cannot be read.
        HardwareError: If there is no such device, no compiler for it, or another process of this call is gone.
    """
    started, place = time.perf_counter(), Place.of(os.environ)
    finder = PictureFinder(recursive=args.recursive, out=args.out)
    files = finder.find(args.sources)
    if not files and not finder.streams:
        raise ImageError("\n".join(said(failure.reason) for failure in finder.failures))

    from dsrnss.inference.summary import Journal, Summary
    from dsrnss.writing import prepare_folder

    args.out = prepare_folder(args.out)
    meeting = Meeting(place)
    files, streams = meeting.agreed((files, finder.streams))
    videos: list[str | Path] = [*filter(is_video, files), *streams]
    kinds = video_kinds(args) if videos else ()
    if videos:
        check_video(args)
    segmenter = _load(args, place)
    settings = settings_of(segmenter, args)
    summary = Summary(
        model="packaged demo model" if args.model is None else str(args.model),
        which=args.which,
        device=str(segmenter.device),
        classes=list(segmenter.label_space.names),
        settings=settings,
        failures=finder.failures if place.rank == 0 else [],
    )
    stems = output_stems([*files, *map(stream_path, streams)], args.out)
    named: dict[str | Path, str] = dict(zip([*files, *streams], stems, strict=True))
    with Journal(args.out, settings, overwrite=args.overwrite, writer=place.rank) as journal:
        job = Job(segmenter, args, summary, journal)
        pictures = [(file, named[file]) for file in files if not is_video(file)]
        segment_pictures(job, place.share(pictures))
        for video in place.share(videos):
            segment_video(job, video, named[video], kinds)
    summary.seconds = round(time.perf_counter() - started, 3)
    whole = meeting.together(summary, [*map(str, named)])
    return 0 if whole is None else _finish(whole, args)


def _finish(summary: "Summary", args: argparse.Namespace) -> int:
    """Write and tell what was done; the exit code."""
    from dsrnss.inference.batch import write_coco

    try:
        if "coco-json" in (args.save or ()) and summary.pictures:
            write_coco(args.out, summary.pictures)
        summary.write(args.out)
    finally:  # what was done is told even where the disk is full by now
        report(summary, args.out)
    say_next(args)
    return 1 if summary.failures or any(record.damaged for record in summary.videos) else 0


def _load(args: argparse.Namespace, place: Place) -> "Segmenter":
    from dsrnss.allocator import keep_freed_memory
    from dsrnss.inference.segmenter import Segmenter

    import_modules(args.imports)
    segmenter = Segmenter.from_pretrained(
        args.model,
        which=args.which,
        device=place.device(args.device),
        precision=args.precision,
        height=args.height,
        window=None if args.window is None else (args.window[0], args.window[1]),
        flip=args.flip,
        compile=args.compile,
    )
    if str(segmenter.device) == "cpu":
        keep_freed_memory()
    if args.model is None and place.rank == 0:
        notice(_DEMO_NOTICE)
    return segmenter
