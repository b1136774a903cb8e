"""Frames a second of `dsrnss segment` on a video: stages one after the other against stages that overlap.

    OMP_NUM_THREADS=1 python benchmarks/segment_speed.py clip.mp4 [--model MODEL] [--height 96] [--frames 200]

Both loops are the same code, decoding and writing of labels and overlay included; in the first, what would be a thread
is called at once. Prints the best of some rounds, which alternate. Needs a machine with nothing else to do.
"""

import argparse
import itertools
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from dsrnss.inference.segmenter import Segmenter
from dsrnss.inference.video import run
from dsrnss.inference.video.reading import VideoReader


class ReadAtOnce:
    """What is read when it is asked for."""

    def __init__(self, items: Iterable[Any], ahead: int, *, newest: bool = False) -> None:
        self.items = items

    def __enter__(self) -> Iterator[Any]:
        return iter(self.items)

    def __exit__(self, *_: object) -> None:
        pass


class WriteAtOnce:
    """What is written before the next is read."""

    def __init__(self, write: Callable[[Any], None], behind: int) -> None:
        self.put = write

    def __enter__(self) -> "WriteAtOnce":
        return self

    def __exit__(self, *_: object) -> None:
        pass


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("video", type=Path)
    parser.add_argument("--model")
    parser.add_argument("--height", type=int)
    parser.add_argument("--frames", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    segmenter = Segmenter.from_pretrained(args.model, device="cpu", height=args.height)
    whole = VideoReader.frames
    VideoReader.frames = lambda self, skip=0: itertools.islice(whole(self, skip), args.frames)  # type: ignore[method-assign]
    loops = {"plain": (ReadAtOnce, WriteAtOnce), "overlapping": (run.ReadAhead, run.WriteBehind)}
    best = dict.fromkeys(loops, 0.0)
    for _ in range(args.rounds):
        for name, (run.ReadAhead, run.WriteBehind) in loops.items():  # type: ignore[misc]
            with tempfile.TemporaryDirectory() as out:
                options = run.VideoOptions(("labels", "overlay"))
                record = run.segment_video(segmenter, args.video, Path(out), "clip", options)
            best[name] = max(best[name], record.frames / record.seconds)
    figures = ", ".join(f"{name} {rate:.1f}" for name, rate in best.items())
    print(f"{args.video.name}, frames a second: {figures}; {best['overlapping'] / best['plain']:.2f} times as fast")


if __name__ == "__main__":
    main()
