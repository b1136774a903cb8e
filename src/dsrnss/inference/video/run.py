"""Segmenting a video: decoding, network, labels and encoding overlap, and what was done survives a killed run."""

import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dsrnss.errors import ImageError
from dsrnss.inference.engine import Scores, Smoothing
from dsrnss.inference.photograph import MAX_MEGAPIXELS
from dsrnss.inference.results import Segmentation
from dsrnss.inference.segmenter import Segmenter
from dsrnss.inference.sources import FRAMES, VIDEO_OUTPUTS
from dsrnss.inference.summary import FileState, VideoRecord
from dsrnss.inference.threads import ReadAhead, WriteBehind
from dsrnss.inference.video.library import library
from dsrnss.inference.video.reading import Frame, VideoReader
from dsrnss.inference.video.work import CHUNK_FRAMES, Chunk, WorkFolder
from dsrnss.inference.video.writing import Timing, TrackWriter, join_chunks

_WAITING = 4
"""Frames that wait for the network, and results that wait to be encoded."""


@dataclass(frozen=True)
class VideoOptions:
    """How a video is segmented.

    Attributes:
        kinds: What is written: keys of `VIDEO_OUTPUTS`, or with `frames` of `OUTPUTS`.
        frames: Write a file a frame into a folder instead of videos.
        batch_size: So many frames pass the network at once.
        smooth: Weight of what was before in the average of probabilities, from 0 to below 1.
        max_megapixels: Larger frames are refused.
        overwrite: What a stopped run has left is not gone on with.
        settings: What else the results depend on.
        begin: Called with the frames in all, as far as they are known, and those that were done before.
        advance: Called after each frame.
        show: Called with the newest result now and then, in this thread; it returns whether to go on.
    """

    kinds: Sequence[str]
    frames: bool = False
    batch_size: int = 1
    smooth: float = 0.0
    max_megapixels: float = MAX_MEGAPIXELS
    overwrite: bool = False
    settings: Mapping[str, Any] = field(default_factory=dict)
    begin: Callable[[int | None, int], None] = lambda total, done: None
    advance: Callable[[], None] = lambda: None
    show: Callable[[Segmentation], bool] = lambda result: True


def video_files(stem: str, kinds: Sequence[str], frames: bool) -> dict[str, str]:
    """Names of the results of a video, by kind."""
    return {FRAMES[1:]: f"{stem}{FRAMES}"} if frames else {kind: f"{stem}{VIDEO_OUTPUTS[kind]}" for kind in kinds}


def segment_video(segmenter: Segmenter, source: str | Path, out: Path, stem: str, options: VideoOptions) -> VideoRecord:
    """Segment a video, going on where an earlier run was stopped.

    A camera or stream ends by Ctrl-C; then what was seen of it is written as if it had ended itself.

    Args:
        segmenter: The network.
        source: A file, an address, or a camera.
        out: The folder of the results.
        stem: How their names begin.
        options: How.

    Raises:
        ImageError: If it cannot be read at all, or a frame does not fit into memory.
        OutputError: If something cannot be written.
    """
    started = time.perf_counter()
    with VideoReader(source, options.max_megapixels) as reader:
        state = None if reader.stream else FileState.of(Path(source))
        with WorkFolder(out, stem, _settings(options, state, started)) as work:
            _segment(segmenter, reader, work, options)
            if not work.chunks:
                raise ImageError(" ".join(reader.damaged[:1]) or f"'{reader.name}' holds no frame.")
            files = video_files(stem, options.kinds, options.frames)
            _join(work, files, out, reader.time_base, options.frames)
            record = _record(reader, state, work.chunks, files, segmenter, time.perf_counter() - started)
            work.remove()
            return record


def _settings(options: VideoOptions, state: FileState | None, started: float) -> dict[str, Any]:
    """What tells whether chunks are of this run: a stream's never are of another one."""
    return {
        **options.settings,
        "source": started if state is None else asdict(state),
        "kinds": [*options.kinds],
        "frames": options.frames,
        "run": started if options.overwrite else 0,
        "ffmpeg": str(library().library_versions),
    }


def _segment(segmenter: Segmenter, reader: VideoReader, work: WorkFolder, options: VideoOptions) -> None:
    done = sum(chunk.frames for chunk in work.chunks)
    smoothing = Smoothing(segmenter.engine, options.smooth)
    with segmenter.memory_told(reader.name):
        smoothing.restore(work.state())
    chunks = _ChunkWriter(segmenter, reader, work, options)
    total = reader.frame_count
    options.begin(None if total is None else max(total, done), done)
    frames = ReadAhead(reader.frames(skip=done), _WAITING, newest=reader.live)
    shown: list[Segmentation] = []

    def label(scored: _Scored) -> None:
        result = segmenter.labelled(scored.scores, scored.frame.picture, reader.name)
        shown[:] = [result]
        writer.put(_Done(scored.frame, result, scored.state))

    try:
        with frames as read, WriteBehind(chunks.write, _WAITING) as writer, WriteBehind(label, 1) as labeller:
            try:
                for batch in _batches(read, options.batch_size):
                    scores = segmenter.scores([frame.picture for frame in batch], reader.name)
                    for frame, own in zip(batch, scores, strict=True):
                        done += 1
                        with segmenter.memory_told(reader.name):
                            own = smoothing(own)
                        labeller.put(_Scored(frame, own, None if done % CHUNK_FRAMES else smoothing.state()))
                    if shown and not options.show(shown[0]):
                        raise KeyboardInterrupt
            except KeyboardInterrupt:
                if not reader.stream:
                    raise
        chunks.finish()
    except BaseException:
        chunks.give_up()
        raise


def _batches(frames: Iterable[Frame], size: int) -> Iterator[list[Frame]]:
    """So many frames at a time; a batch ends with its chunk, whose smoothing is kept there."""
    batch: list[Frame] = []
    for number, frame in enumerate(frames, 1):
        batch.append(frame)
        if len(batch) == size or number % CHUNK_FRAMES == 0:
            yield batch
            batch = []
    if batch:
        yield batch


@dataclass(frozen=True)
class _Scored:
    """A frame that passed the network, and, at the end of a chunk, what smoothing goes on with."""

    frame: Frame
    scores: Scores
    state: npt.NDArray[np.float32] | None


@dataclass(frozen=True)
class _Done:
    """A frame with its labels."""

    frame: Frame
    result: Segmentation
    state: npt.NDArray[np.float32] | None


class _ChunkWriter:
    """Encodes frame after frame, and completes a chunk after every so many."""

    def __init__(self, segmenter: Segmenter, reader: VideoReader, work: WorkFolder, options: VideoOptions) -> None:
        self._segmenter, self._reader, self._work, self._options = segmenter, reader, work, options
        self._tracks: dict[str, TrackWriter] = {}
        self._number = sum(chunk.frames for chunk in work.chunks)
        self._begin()

    def _begin(self) -> None:
        self._frames, self._start, self._end, self._confidence = 0, 0, 0, 0.0
        self._counts = np.zeros(self._segmenter.label_space.num_classes, np.int64)
        self._size = (0, 0)

    def write(self, done: _Done) -> None:
        """Encode a frame."""
        frame, result = done.frame, done.result
        if self._options.frames:
            self._number += 1
            result.save(self._work.frames, f"{self._number:06d}", self._options.kinds)
        for kind in () if self._options.frames else self._options.kinds:
            pixels = result.array(kind)
            if kind not in self._tracks:
                timing = Timing(self._reader.time_base, self._reader.rate, self._reader.pixel_ratio)
                file = self._work.track(len(self._work.chunks), kind)
                self._tracks[kind] = TrackWriter(file, kind, (pixels.shape[1], pixels.shape[0]), timing)
            self._tracks[kind].write(pixels, frame.pts)
        self._start = self._start if self._frames else frame.pts
        self._frames, self._end, self._size = self._frames + 1, frame.pts + frame.duration, frame.picture.size
        self._counts += np.bincount(result.labels.ravel(), minlength=len(self._counts))
        self._confidence += result.mean_confidence()
        self._options.advance()
        if self._frames == CHUNK_FRAMES:
            self._complete(done.state)

    def finish(self) -> None:
        """Complete the last chunk."""
        if self._frames:
            self._complete(None)

    def give_up(self) -> None:
        """Close the files of a chunk that will not be complete."""
        for track in self._tracks.values():
            track.close(complete=False)

    def _complete(self, state: npt.NDArray[np.float32] | None) -> None:
        while self._tracks:
            self._tracks.popitem()[1].close()
        width, height = self._size
        rows, columns = self._segmenter.working_size((height, width))
        counts = [int(count) for count in self._counts]
        self._work.complete(
            Chunk(self._frames, self._start, self._end, counts, self._confidence, self._size, (columns, rows)), state
        )
        self._begin()


def _join(work: WorkFolder, files: Mapping[str, str], out: Path, time_base: Fraction, frames: bool) -> None:
    if frames:
        folder = out / files[FRAMES[1:]]
        if work.frames.exists():  # else a run was killed behind the next lines
            if folder.exists():
                shutil.rmtree(folder)
            work.frames.replace(folder)
        return
    for kind, name in files.items():
        parts = [work.track(number, kind) for number in range(len(work.chunks))]
        join_chunks(parts, out / name, work.chunks[-1].end, time_base)


def _record(
    reader: VideoReader,
    state: FileState | None,
    chunks: Sequence[Chunk],
    files: Mapping[str, str],
    segmenter: Segmenter,
    seconds: float,
) -> VideoRecord:
    frames = sum(chunk.frames for chunk in chunks)
    counts = np.sum([chunk.counts for chunk in chunks], axis=0)
    shares = counts / counts.sum()
    return VideoRecord(
        video=reader.name,
        source=state,
        frames=frames,
        frames_per_second=round(float(reader.rate), 4),
        duration=round(float((chunks[-1].end - chunks[0].start) * reader.time_base), 4),
        width=chunks[0].size[0],
        height=chunks[0].size[1],
        segmented_at=chunks[0].segmented_at,
        mean_confidence=round(sum(chunk.confidence for chunk in chunks) / frames, 4),
        class_shares={
            name: round(float(share), 6) for name, share in zip(segmenter.label_space.names, shares, strict=True)
        },
        files=dict(files),
        damaged=[*reader.damaged],
        seconds=round(seconds, 3),
    )
