"""Flow from each picture to its day reference, computed once a pair and kept on the disk."""

import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
from torch import Tensor

from dsrnss.data.base import BoxChooser, Sample, SegmentationDataset, Size
from dsrnss.data.boxes import Box
from dsrnss.data.flow_store import FlowStore, PackedFlow, aligner_folder, pair_key
from dsrnss.data.originals import file_entry
from dsrnss.data.parallel import Progress, parallel_map
from dsrnss.errors import ConfigError, DataError, OutputError
from dsrnss.paths import cache_folder, expanded
from dsrnss.writing import prepare_folder

Pixels = npt.NDArray[np.uint8]
PairAligner = Callable[[Pixels, Pixels], tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]]
"""(target (H, W, 3) uint8, reference (H, W, 3) uint8) -> flow (H, W, 2) in pixels, confidence (H, W) in 0..1."""
Stamp = tuple[tuple[int, int], ...]
"""Sizes and times of the files of a sample; empty where it has none."""
CACHE = "cache"
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Pair:
    """A pair that was looked at.

    Attributes:
        stamp: Of its files at that time.
        key: Of its pixels, the name of its flow.
        new: Whether it had to be aligned.
        problem: Why its flow could not be stored; empty: it was, or there is no store.
    """

    stamp: Stamp
    key: str
    new: bool
    problem: str = ""


@dataclass(frozen=True)
class _Job:
    """What aligning the pairs of a set needs; with `strict`, a flow that cannot be stored is an error."""

    dataset: SegmentationDataset
    aligner: PairAligner
    store: FlowStore | None
    strict: bool = False

    def find(self, index: int) -> tuple[_Pair, PackedFlow]:
        """A pair and its flow, from the store if it is there."""
        stamp, sample = _stamp(self.dataset, index), self.dataset[index]
        target, reference = _pixels(sample["image"]), _pixels(sample["reference"])
        key = pair_key(target, reference)
        flow = None if self.store is None else self.store.read(key)
        if flow is not None:
            return _Pair(stamp, key, new=False), flow
        flow = _align(self.aligner, target, reference, sample["name"])
        problem = ""
        if self.store is not None:
            try:
                self.store.write(key, flow)
            except OutputError as error:
                if self.strict:
                    raise
                problem = str(error)
        return _Pair(stamp, key, new=True, problem=problem), flow


class AlignedPairs(SegmentationDataset):
    """A data set with references whose samples also carry flow and confidence.

    The flow is computed on whole pictures, so that crops of one pair agree, and rounded (see `PackedFlow`) whether it
    is then read from the store or not: a run does not depend on what was stored before. It is found again by the
    pixels of both pictures and by the aligner with its settings, so one that no longer fits is never taken.

    Args:
        dataset: A set whose samples carry a `reference`.
        aligner: Computes flow and confidence of one pair; a function of a module, or an object of such a class, so that
            processes can share it.
        megabytes: Memory that flows in use may take, in each process.
        store: Folder of the stored flows; `cache`: `alignments` in the cache folder of dsrnss; None: memory alone,
            which is also used where the folder cannot be written.

    Raises:
        ConfigError: If the set has no references.
    """

    def __init__(
        self,
        dataset: SegmentationDataset,
        aligner: PairAligner,
        megabytes: int = 1024,
        store: str | Path | None = CACHE,
    ) -> None:
        if not dataset.references:
            raise ConfigError(
                f"{type(dataset).__name__} ('{dataset.split}') gives no references to align with: set its option "
                "references to true."
            )
        self.dataset = dataset
        self.aligner = aligner
        self.label_space = dataset.label_space
        self.split = dataset.split
        self.labelled = dataset.labelled
        self.references = True
        self.in_memory = dataset.in_memory
        self.megabytes = megabytes
        self.store = store
        self._pairs: dict[int, _Pair] = {}
        self._flows: dict[str, PackedFlow] = {}
        self._room = megabytes * 2**20
        self._told = False

    @cached_property
    def flow_store(self) -> FlowStore | None:
        """Where flows of this aligner are stored, None: nowhere."""
        if self.store is None:
            return None
        name = aligner_folder(self.aligner)
        if name is None:
            _log.warning("Flows are kept in memory alone: an aligner must be a function or class of a module.")
            return None
        return FlowStore((cache_folder() / "alignments" if self.store == CACHE else expanded(self.store)) / name)

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Sample:
        return self.cropped(index, None)

    def cropped(self, index: int, choose: BoxChooser | None) -> Sample:
        """The part of a sample inside a box, or all of it.

        Args:
            index: Number of the sample.
            choose: Picks the box, None: all of it.

        Raises:
            DataError: If the aligner returns something else than a flow and a confidence.
        """
        flow = self._known(index)
        if flow is None:
            flow = self._look_up(index)
        boxes: list[Box] = []

        def chosen(size: Size, label: Tensor | None, name: str) -> Box:
            boxes.append(Box(0, 0, *size) if choose is None else choose(size, label, name))
            return boxes[-1]

        sample: Sample = {**self.dataset.cropped(index, chosen)}
        sample["flow"], sample["confidence"] = flow.tensors(boxes[-1])
        return sample

    def prepare(self, workers: int | None = None, progress: Progress | None = None) -> None:
        """Align now, in several processes, all pairs that are not in the store; without one, those that memory holds.

        Args:
            workers: Processes; None: one a core.
            progress: Called with (pairs done, pairs in all).
        """
        self.dataset.prepare(workers)
        self._prepare(workers, progress, strict=False)

    def fill_store(self, workers: int | None = None, progress: Progress | None = None) -> int:
        """Align all pairs that are not in the store; one that is damaged is aligned again.

        Args:
            workers: Processes; None: one a core.
            progress: Called with (pairs done, pairs in all).

        Returns:
            Number of pairs that were aligned.

        Raises:
            ConfigError: If there is no store.
            OutputError: If it cannot be written.
        """
        if self.flow_store is None:
            raise ConfigError(
                "These pairs have no store: give a folder as store, and a function of a module as aligner."
            )
        prepare_folder(self.flow_store.folder)
        return self._prepare(workers, progress, strict=True)

    def _prepare(self, workers: int | None, progress: Progress | None, *, strict: bool) -> int:
        if workers is None and not getattr(self.aligner, "parallel", True):
            workers = 0
        missing = [index for index in range(len(self)) if index not in self._pairs]
        if self.flow_store is None:
            height, width = self.dataset.sample_size()
            missing = missing[: max(0, self._room // (5 * height * width))]
        job = _Job(self.dataset, self.aligner, self.flow_store, strict)
        found = parallel_map(_align_ahead, job, missing, workers=workers, progress=progress)
        for index, (pair, flow) in zip(missing, found, strict=True):
            self._take(index, pair, flow)
        return sum(pair.new for pair, _ in found)

    def _known(self, index: int) -> PackedFlow | None:
        """The flow of a pair that was looked at before, if its files are as they were."""
        pair = self._pairs.get(index)
        if pair is None or pair.stamp != _stamp(self.dataset, index):
            return None
        flow = self._flows.get(pair.key)
        if flow is None and self.flow_store is not None:
            flow = self.flow_store.read(pair.key)
            self._take(index, pair, flow)
        return flow

    def _look_up(self, index: int) -> PackedFlow:
        """The flow of a pair that was not looked at before."""
        pair, flow = _Job(self.dataset, self.aligner, self.flow_store).find(index)
        self._take(index, pair, flow)
        return flow

    def _take(self, index: int, pair: _Pair, flow: PackedFlow | None) -> None:
        """Remember a pair, and its flow as far as there is room."""
        self._pairs[index] = pair
        if flow is not None and pair.key not in self._flows and flow.nbytes <= self._room:
            self._flows[pair.key] = flow
            self._room -= flow.nbytes
        if pair.problem and not self._told:
            _log.warning("Flows are kept in memory alone: %s", pair.problem)
            self._told = True

    def verify(self) -> None:
        """Check the wrapped set.

        Raises:
            DatasetNotFoundError: If it is not where it was looked for.
            DataError: If files are missing.
        """
        self.dataset.verify()

    def class_counts(self) -> npt.NDArray[np.int64]:
        """Class counts of the wrapped set."""
        return self.dataset.class_counts()

    def class_places(self, grid: Size) -> npt.NDArray[np.int64]:
        """Places of the classes of the wrapped set."""
        return self.dataset.class_places(grid)

    def sample_size(self) -> Size:
        """(height, width) of the pictures."""
        return self.dataset.sample_size()

    def counted_size(self) -> Size:
        """(height, width) of the label maps that were counted."""
        return self.dataset.counted_size()


def _align_ahead(job: _Job, index: int) -> tuple[_Pair, PackedFlow | None]:
    pair, flow = job.find(index)
    return pair, flow if job.store is None or pair.problem else None


def _align(aligner: PairAligner, target: Pixels, reference: Pixels, name: str) -> PackedFlow:
    flow, confidence = aligner(target, reference)
    if flow.shape != (*target.shape[:2], 2) or confidence.shape != target.shape[:2]:
        raise DataError(
            f"The aligner returned a flow of shape {flow.shape} and a confidence of shape {confidence.shape} for "
            f"'{name}' of {target.shape[:2]}: expected (H, W, 2) and (H, W)."
        )
    return PackedFlow.pack(flow, confidence)


def _stamp(dataset: SegmentationDataset, index: int) -> Stamp:
    """Sizes and times of a sample's picture and reference: other ones may be other pictures."""
    entry = file_entry(dataset, index)
    files = [] if entry is None else [entry.image, entry.reference]
    with suppress(OSError):  # reading the sample says what is wrong
        return tuple((status.st_size, status.st_mtime_ns) for path in files if path and (status := path.stat()))
    return ()


def _pixels(image: Tensor) -> Pixels:
    return np.ascontiguousarray(image.permute(1, 2, 0).numpy())
