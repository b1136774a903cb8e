"""Speed of `dsrnss segment`: stages one after the other against stages that overlap.

    OMP_NUM_THREADS=1 python benchmarks/segment_speed.py SOURCE [--model MODEL] [--height 96] [--number 200]

SOURCE is a video or a folder of pictures. Both loops are the same code, decoding and writing of what `segment` writes
by default included; in the first, what would be a thread is called at once. They take turns; prints the medians, and
how many cores each of them used. Needs a machine with nothing else to do. Encoders of videos have threads of their own,
so that there the plain loop overlaps a little, too.
"""

import argparse
import itertools
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

from dsrnss.inference import batch
from dsrnss.inference.segmenter import Segmenter
from dsrnss.inference.summary import Journal, Summary
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


def segment(segmenter: Segmenter, source: Path, number: int, out: Path) -> int:
    """Segment so many pictures, or what the reader of videos gives, and count them."""
    if source.is_file():
        return run.segment_video(segmenter, source, out, "clip", run.VideoOptions(("labels", "overlay"))).frames
    pictures = [(file, file.stem) for file in sorted(source.iterdir())[:number]]
    with Journal(out, {}) as journal:
        batch.segment_pictures(segmenter, pictures, out, Summary("", "", "", []), journal)
    return len(pictures)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path)
    parser.add_argument("--model")
    parser.add_argument("--height", type=int)
    parser.add_argument("--number", type=int, default=200, help="of frames or pictures")
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    segmenter = Segmenter.from_pretrained(args.model, device="cpu", height=args.height)
    whole = VideoReader.frames
    VideoReader.frames = lambda self, skip=0: itertools.islice(whole(self, skip), args.number)  # type: ignore[method-assign]
    loops = {"plain": (ReadAtOnce, WriteAtOnce), "overlapping": (run.ReadAhead, run.WriteBehind)}
    rates: dict[str, list[float]] = {name: [] for name in loops}
    cores: dict[str, list[float]] = {name: [] for name in loops}
    for _ in range(args.rounds):
        for name, parts in loops.items():
            for module in (run, batch):
                module.ReadAhead, module.WriteBehind = parts  # type: ignore[misc, assignment]
            with tempfile.TemporaryDirectory() as out:
                processor, wall = time.process_time(), time.perf_counter()
                count = segment(segmenter, args.source, args.number, Path(out))
                processor, wall = time.process_time() - processor, time.perf_counter() - wall
            rates[name].append(count / wall)
            cores[name].append(processor / wall)
    figures = ", ".join(f"{name} {median(rates[name]):.1f} on {median(cores[name]):.2f} cores" for name in loops)
    faster = median(fast / slow for slow, fast in zip(*rates.values(), strict=True))
    print(f"{args.source.name}, a second: {figures}; {faster:.2f} times as fast")


if __name__ == "__main__":
    main()
