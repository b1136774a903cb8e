"""Segmenting one source after the other, with progress, notes and speeds."""

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from dsrnss.console import counted, notice
from dsrnss.errors import ImageError, OutputError
from dsrnss.inference.sources import DEFAULT_KINDS, Failure, without_password
from dsrnss.progress import ProgressDisplay

if TYPE_CHECKING:
    from dsrnss.inference.segmenter import Segmenter
    from dsrnss.inference.summary import Journal, Summary
    from dsrnss.inference.video.run import VideoOptions


@dataclass(frozen=True)
class Job:
    """What all sources have in common.

    Attributes:
        segmenter: The network.
        args: Of the command.
        summary: Gets what becomes of each source.
        journal: Knows what is there already.
    """

    segmenter: "Segmenter"
    args: argparse.Namespace
    summary: "Summary"
    journal: "Journal"


def check_video(args: argparse.Namespace) -> None:
    """See that videos can be read and shown, before a model is loaded.

    Raises:
        ConfigError: If a library is missing.
        HardwareError: If there is no display.
    """
    from dsrnss.inference.video.library import library
    from dsrnss.inference.video.window import check_display

    library()
    if args.show:
        check_display()


def segment_pictures(job: Job, pictures: Sequence[tuple[Path, str]]) -> None:
    """Segment pictures.

    Args:
        job: What for.
        pictures: Files, and how the names of their results begin.
    """
    from dsrnss.inference import batch

    if not pictures:
        return
    started, args = time.perf_counter(), job.args
    with ProgressDisplay() as display:
        display.begin("pictures", len(pictures))
        batch.segment_pictures(
            job.segmenter,
            pictures,
            args.out,
            job.summary,
            job.journal,
            kinds=args.save or DEFAULT_KINDS,
            batch_size=args.batch_size,
            max_megapixels=args.max_megapixels,
            advance=display.advance,
        )
    _tell_speed("pictures", len(job.summary.pictures) - job.summary.kept, time.perf_counter() - started)


def segment_video(job: Job, video: str | Path, stem: str, kinds: Sequence[str]) -> None:
    """Segment a video, or note why that cannot be.

    Args:
        job: What for.
        video: A file, an address or a camera.
        stem: How the names of its results begin.
        kinds: What is written.
    """
    from dsrnss.inference.video import run
    from dsrnss.inference.video.window import window

    args, summary = job.args, job.summary
    files = run.video_files(stem, kinds, args.frames)
    if isinstance(video, Path) and (done := job.journal.video(video, [*files.values()])):
        summary.videos.append(done)
        summary.kept += 1
        return
    try:
        with ProgressDisplay() as display, window(args.show) as show:
            before = _Before(stem, display)
            options = replace(_options(job, kinds), begin=before.begin, advance=display.advance, show=show)
            record = run.segment_video(job.segmenter, video, args.out, stem, options)
        job.journal.note(record)
        summary.videos.append(record)
        _tell_speed(stem, record.frames - before.frames, record.seconds)
    except (ImageError, OutputError) as error:
        summary.failures.append(Failure(without_password(str(video)), str(error)))
    except KeyboardInterrupt:
        if isinstance(video, Path):
            notice(f"'{video}' is done in part: the same command goes on from there.")
        raise


def _options(job: Job, kinds: Sequence[str]) -> "VideoOptions":
    from dsrnss.inference.video.run import VideoOptions

    args = job.args
    return VideoOptions(
        kinds=kinds,
        frames=args.frames,
        batch_size=args.batch_size,
        smooth=args.smooth,
        max_megapixels=args.max_megapixels,
        overwrite=args.overwrite,
        settings=job.summary.settings,
    )


class _Before:
    """Begins the bar of a video, and tells what an earlier run has done of it.

    Attributes:
        frames: So many.
    """

    def __init__(self, name: str, display: ProgressDisplay) -> None:
        self._name, self._display, self.frames = name, display, 0

    def begin(self, total: int | None, done: int) -> None:
        """The number of frames is known."""
        self.frames = done
        if done:
            notice(f"'{self._name}': {done} frames are there from a run that was stopped; going on behind them.")
        self._display.begin(self._name, total, done)


def _tell_speed(what: str, number: int, seconds: float) -> None:
    if number:
        done = counted(number, "picture" if what == "pictures" else "frame")
        print(f"{what}: {done} in {seconds:.1f} s, {number / seconds:.2f} a second, reading and writing included.")
