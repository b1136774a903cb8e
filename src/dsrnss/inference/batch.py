"""Segmenting many pictures: what can be done is done, the rest is named; reading, network and writing overlap."""

import json
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from dsrnss.errors import ImageError, OutputError
from dsrnss.inference.coco import merged
from dsrnss.inference.photograph import MAX_MEGAPIXELS, read_photograph
from dsrnss.inference.results import Segmentation
from dsrnss.inference.segmenter import Segmenter
from dsrnss.inference.sources import DEFAULT_KINDS, OUTPUTS, Failure
from dsrnss.inference.summary import FileState, Journal, PictureRecord, Summary
from dsrnss.inference.threads import ReadAhead, WriteBehind
from dsrnss.writing import write_atomically

COCO = "coco.json"
_WAITING = 1
"""Pictures that wait for the network, and results that wait to be written: each may be hundreds of megabytes."""


class Task(NamedTuple):
    """A picture to be segmented.

    Attributes:
        position: Among all.
        path: The file.
        stem: How the names of its results begin.
    """

    position: int
    path: Path
    stem: str


@dataclass(frozen=True)
class _Read:
    """A picture in memory, or why it is not."""

    task: Task
    started: float
    source: FileState | None = None
    image: Image.Image | None = None
    failure: str = ""


def segment_pictures(
    segmenter: Segmenter,
    pictures: Sequence[tuple[Path, str]],
    out: Path,
    summary: Summary,
    journal: Journal,
    *,
    kinds: Sequence[str] = DEFAULT_KINDS,
    batch_size: int = 1,
    max_megapixels: float = MAX_MEGAPIXELS,
    advance: Callable[[], None] = lambda: None,
) -> None:
    """Segment pictures into a folder, going on after those that cannot be segmented.

    Args:
        segmenter: The network.
        pictures: Files, each once, and how the names of their results begin.
        out: The folder of the results; files of the same names are replaced.
        summary: Gets one record or failure a picture.
        journal: Knows what is there already; that is not done again.
        kinds: What is written of each: keys of `OUTPUTS`.
        batch_size: So many pictures of the same working size pass the network at once.
        max_megapixels: Larger pictures are refused.
        advance: Called after each picture.
    """
    records: dict[int, PictureRecord] = {}
    failures: dict[int, Failure] = {}
    tasks = []
    for position, (path, stem) in enumerate(pictures):
        done = journal.picture(path, [f"{stem}{OUTPUTS[kind]}" for kind in kinds])
        if done is None or done.width * done.height > max_megapixels * 1e6:
            tasks.append(Task(position, path, stem))
        else:
            records[position] = done
            summary.kept += 1
            advance()

    def write(item: tuple[_Read, Segmentation | str]) -> None:
        read, result = item
        try:
            if isinstance(result, str):
                raise ImageError(result)
            record = _write(segmenter, read, result, out, kinds)
            journal.note(record)
            records[read.task.position] = record
        except (ImageError, OutputError) as error:
            failures[read.task.position] = Failure(str(read.task.path), str(error))
        except MemoryError:
            failures[read.task.position] = Failure(str(read.task.path), _too_large(read.task.path))
        advance()

    try:
        with ReadAhead(_read(tasks, max_megapixels), _WAITING) as reads, WriteBehind(write, _WAITING) as writer:
            for batch in _batches(reads, batch_size, segmenter):
                for item in _segment(segmenter, batch):
                    writer.put(item)
    finally:
        summary.pictures += [records[position] for position in sorted(records)]
        summary.failures += [failures[position] for position in sorted(failures)]


def _read(tasks: Iterable[Task], max_megapixels: float) -> Iterator[_Read]:
    for task in tasks:
        started = time.perf_counter()
        try:
            source = FileState.of(task.path)
            yield _Read(task, started, source, read_photograph(task.path, max_megapixels))
        except ImageError as error:
            yield _Read(task, started, failure=str(error))
        except MemoryError:
            yield _Read(task, started, failure=_too_large(task.path))


def _batches(reads: Iterable[_Read], size: int, segmenter: Segmenter) -> Iterator[list[_Read]]:
    """Pictures of one working size that follow each other; one that could not be read stands alone."""
    batch: list[_Read] = []
    for read in reads:
        if batch and _working_size(segmenter, read) != _working_size(segmenter, batch[0]):
            yield batch
            batch = []
        batch.append(read)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


def _working_size(segmenter: Segmenter, read: _Read) -> object:
    if read.image is None:
        return read.task
    return segmenter.working_size((read.image.height, read.image.width))


def _segment(segmenter: Segmenter, batch: Sequence[_Read]) -> list[tuple[_Read, Segmentation | str]]:
    """Results, or why there is none; a batch that does not fit into memory is tried picture by picture."""
    images = [read.image for read in batch if read.image is not None]
    if not images:
        return [(read, read.failure) for read in batch]
    try:
        return [*zip(batch, segmenter.segment(images, [str(read.task.path) for read in batch]), strict=True)]
    except ImageError as error:
        reason = str(error)
    if len(batch) == 1:
        return [(batch[0], reason)]
    # behind the `except`, whose traceback holds what the batch has left in the memory of a GPU
    return [item for read in batch for item in _segment(segmenter, [read])]


def _write(segmenter: Segmenter, read: _Read, result: Segmentation, out: Path, kinds: Sequence[str]) -> PictureRecord:
    assert read.source is not None
    files = result.save(out, read.task.stem, kinds, file_name=read.task.path.name)
    height, width = segmenter.working_size((result.image.height, result.image.width))
    return PictureRecord(
        picture=str(read.task.path),
        source=read.source,
        width=result.image.width,
        height=result.image.height,
        segmented_at=(width, height),
        mean_confidence=round(result.mean_confidence(), 4),
        class_shares={name: round(share, 6) for name, share in result.shares().items()},
        files={kind: file.name for kind, file in zip(kinds, files, strict=True)},
        seconds=round(time.perf_counter() - read.started, 3),
    )


def write_coco(out: Path, records: Iterable[PictureRecord]) -> Path:
    """Write `coco.json`, one document of all pictures, from the documents of each.

    Raises:
        OutputError: If it cannot be written.
    """
    documents = (json.loads((out / record.files["coco-json"]).read_text(encoding="utf-8")) for record in records)
    write_atomically(out / COCO, json.dumps(merged(documents)).encode())
    return out / COCO


def _too_large(picture: Path) -> str:
    return f"'{picture}' needs more memory than this machine gives."
