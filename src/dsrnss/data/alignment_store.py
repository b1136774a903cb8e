"""Flow from each picture to its day reference, computed once a pair and kept in memory."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from dsrnss.data.base import Sample, SegmentationDataset, Size
from dsrnss.data.parallel import Progress, parallel_map
from dsrnss.errors import ConfigError, DataError

PairAligner = Callable[
    [npt.NDArray[np.uint8], npt.NDArray[np.uint8]], tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]
]
"""(target (H, W, 3) uint8, reference (H, W, 3) uint8) -> flow (H, W, 2) in pixels, confidence (H, W) in 0..1."""


class AlignedPairs(SegmentationDataset):
    """A data set with references whose samples also carry flow and confidence.

    The flow is computed on whole pictures, so that crops of one pair agree. It is kept as float16: 6 bytes a pixel, at
    most 1/64 pixel off for displacements up to 64 pixels. Without `prepare`, pairs are aligned when first used; worker
    processes of a loader then each keep their own. Pairs beyond the memory limit are aligned each time.

    Args:
        dataset: A set whose samples carry a `reference`.
        aligner: Computes flow and confidence of one pair; a function of a module, so that processes can share it.
        megabytes: Memory that kept flows may take, in each process.

    Raises:
        ConfigError: If the set has no references.
    """

    def __init__(self, dataset: SegmentationDataset, aligner: PairAligner, megabytes: int = 1024) -> None:
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
        self._flows: dict[int, tuple[Tensor, Tensor]] = {}

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Sample:
        sample: Sample = {**self.dataset[index]}
        kept = self._flows.get(index)
        flow, confidence = _align(self.aligner, sample) if kept is None else kept
        if kept is None and len(self._flows) < self._room(sample["image"]):
            self._flows[index] = flow, confidence
        sample["flow"], sample["confidence"] = flow.float(), confidence.float()
        return sample

    def prepare(self, workers: int | None = None, progress: Progress | None = None) -> None:
        """Align now, in several processes, all pairs that the memory limit allows.

        Args:
            workers: Processes; None: one a core.
            progress: Called with (pairs done, pairs in all).
        """
        self.dataset.prepare(workers)
        room = self._room(self.dataset[0]["image"])
        missing = [index for index in range(len(self)) if index not in self._flows][: max(0, room - len(self._flows))]
        shared = (self.dataset, self.aligner)
        aligned = parallel_map(_align_index, shared, missing, workers=workers, progress=progress)
        self._flows.update(zip(missing, aligned, strict=True))

    def _room(self, image: Tensor) -> int:
        """Number of pairs of the size of this (3, H, W) image that may be kept; they hold three numbers a pixel too."""
        return self.megabytes * 2**20 // (2 * image.numel())

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


def _align_index(shared: tuple[SegmentationDataset, PairAligner], index: int) -> tuple[Tensor, Tensor]:
    dataset, aligner = shared
    return _align(aligner, dataset[index])


def _align(aligner: PairAligner, sample: Sample) -> tuple[Tensor, Tensor]:
    image, reference = (_pixels(sample[key]) for key in ("image", "reference"))
    flow, confidence = aligner(image, reference)
    if flow.shape != (*image.shape[:2], 2) or confidence.shape != image.shape[:2]:
        raise DataError(
            f"The aligner returned a flow of shape {flow.shape} and a confidence of shape {confidence.shape} for "
            f"'{sample['name']}' of {image.shape[:2]}: expected (H, W, 2) and (H, W)."
        )
    return (
        torch.from_numpy(flow.astype(np.float16)).permute(2, 0, 1).contiguous(),
        torch.from_numpy(confidence.astype(np.float16))[None],
    )


def _pixels(image: Tensor) -> npt.NDArray[np.uint8]:
    return np.ascontiguousarray(image.permute(1, 2, 0).numpy())
