"""What every data set gives: samples of one type, read by one function, and errors that name the file."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, TypedDict

import cv2
import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset
from torchvision import tv_tensors

from dsrnss.data.boxes import Box
from dsrnss.data.parallel import Progress, parallel_sum
from dsrnss.errors import DataError
from dsrnss.labels import CITYSCAPES, IGNORE_INDEX, LabelSpace
from dsrnss.pictures import Header, read_ids
from dsrnss.progress import counting

Size = tuple[int, int]
"""(height, width) in pixels."""


class Sample(TypedDict, total=False):
    """One picture and what goes with it, at the size of its data set.

    Attributes:
        image: (3, H, W) uint8 RGB.
        label: (Hl, Wl) uint8 train ids, 255 ignored; absent where there is none. Larger than the image only in sets
            that keep the label's own size for evaluation.
        reference: (3, H, W) uint8 RGB day picture of the same place.
        flow: (2, H, W) float32 from the image to its reference, pixels, x first.
        confidence: (1, H, W) float32 confidence of that flow, 0 to 1.
        box: (4,) float32 top, left, height and width of a training crop, as shares of the sides of its picture.
        name: Unique within the set; names messages and output files.
    """

    image: tv_tensors.Image
    label: tv_tensors.Mask
    reference: tv_tensors.Image
    flow: Tensor
    confidence: Tensor
    box: Tensor
    name: str


class Member(NamedTuple):
    """A set among those that another one joins, and its share of the training samples, 0 to 1."""

    dataset: "SegmentationDataset"
    share: float


class SegmentationDataset(Dataset[Sample], ABC):
    """A list of samples of one label space.

    Constructing one touches no disk; `verify` says whether it can be used.

    Attributes:
        label_space: Classes of the labels.
        split: Name of the part.
        labelled: Whether samples carry a label.
        references: Whether samples carry a day reference.
        in_memory: Whether samples are kept in memory once made; worth a `prepare` before processes are started.
    """

    label_space: LabelSpace
    split: str
    labelled: bool
    references: bool
    in_memory: bool = False

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, in the order of their train ids."""
        return self.label_space.names

    @property
    def palette(self) -> tuple[tuple[int, int, int], ...]:
        """One RGB colour (0..255) a class."""
        return self.label_space.palette

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def __getitem__(self, index: int) -> Sample: ...

    def cropped(self, index: int, choose: "BoxChooser") -> Sample:
        """The part of a sample inside a box; sets in files convert no more of their pictures than that.

        Args:
            index: Number of the sample.
            choose: Picks the box.
        """
        sample = self[index]
        height, width = sample["image"].shape[-2:]
        return crop_sample(sample, choose((height, width), sample.get("label"), sample["name"]))

    def members(self) -> list[Member]:
        """The sets that this one joins, one after the other; it alone if it joins none."""
        return [Member(self, 1.0)]

    @abstractmethod
    def verify(self) -> None:
        """Check cheaply that the set is there and complete.

        Raises:
            DatasetNotFoundError: If it is not where it was looked for.
            DataError: If files are missing.
        """

    @abstractmethod
    def class_counts(self) -> npt.NDArray[np.int64]:
        """Pixels of each class in each sample, (N, num_classes); computed once."""

    def class_places(self, grid: Size) -> npt.NDArray[np.int64]:
        """Pixels of each class in each cell of a grid over the pictures, of all samples together.

        Args:
            grid: (rows, columns).

        Returns:
            (num_classes, rows, columns).
        """
        self.prepare()
        with counting("counting places of classes") as report:
            return parallel_sum(_places_of, (self, grid), range(len(self)), progress=report)

    @abstractmethod
    def counted_size(self) -> Size:
        """(height, width) of the label maps that `class_counts` counts; labels on disk may be larger than samples."""

    def sample_size(self) -> Size:
        """(height, width) of the samples' pictures; of the first, if they differ."""
        height, width = self[0]["image"].shape[-2:]
        return int(height), int(width)

    def prepare(self, workers: int | None = None, progress: Progress | None = None) -> None:
        """Do ahead, in parallel, what would otherwise be done at first use; nothing for most sets.

        Args:
            workers: Processes; None: one a core.
            progress: Called with (samples done, samples in all).
        """


def _places_of(shared: tuple[SegmentationDataset, Size], index: int) -> npt.NDArray[np.int64]:
    dataset, grid = shared
    return grid_histogram(dataset[index]["label"].numpy(), dataset.label_space.num_classes, grid)


BoxChooser = Callable[[Size, Tensor | None, str], Box]
"""Picks a box by a sample's (height, width), its (Hl, Wl) label if it has one, and its name."""


def crop_sample(sample: Sample, box: Box) -> Sample:
    """Cut every plane of a sample; a flow stays as it is, since the reference is cut by the same box."""
    cut: dict[str, Any] = {k: box.cut(v) if isinstance(v, Tensor) else v for k, v in sample.items()}
    return cut  # type: ignore[return-value]


def spread(length: int, count: int) -> list[int]:
    """So many indices of a list, evenly spread; all, if it has fewer."""
    count = min(length, count)
    return [number * length // count for number in range(count)]


def wanted_size(own: Size, wanted: Size | int | None) -> Size:
    """The (height, width) that a picture gets.

    Args:
        own: The (height, width) that it has.
        wanted: The (height, width), or the pixels of its shorter side, its shape kept; None: its own.
    """
    if not isinstance(wanted, int):
        return own if wanted is None else wanted
    return max(1, round(own[0] * wanted / min(own))), max(1, round(own[1] * wanted / min(own)))


def resized(picture: Image.Image, size: Size | int | None) -> Image.Image:
    """A picture (bilinear, antialiased) or a map of ids (nearest) at another size, see `wanted_size`."""
    size = wanted_size(picture.size[::-1], size)
    if picture.size == size[::-1]:
        return picture
    return picture.resize(size[::-1], Image.Resampling.BILINEAR if picture.mode == "RGB" else Image.Resampling.NEAREST)


def read_label(path: str | Path, space: LabelSpace, *, raw: bool = False) -> tv_tensors.Mask:
    """Read a label map as (H, W) uint8 train ids, at its size on disk.

    Args:
        path: A picture of one channel.
        space: The classes.
        raw: Whether the file holds raw ids of the annotation tool, to be translated by the table of the label space.

    Raises:
        DataError: If the file is no label map or holds values outside the label space.
        ImageError: If it is missing or cannot be read.
    """
    return label_tensor(np.array(read_ids(path)), space, path, raw=raw)


def label_tensor(
    ids: npt.NDArray[np.uint8], space: LabelSpace, path: str | Path, *, raw: bool = False
) -> tv_tensors.Mask:
    """Translate (H, W) raw ids if they are such, check them, and wrap them.

    Raises:
        DataError: If the file held values outside the label space.
    """
    labels = space.raw_table()[ids] if raw else ids
    check_labels(labels, space, path)
    return tv_tensors.Mask(torch.from_numpy(labels))


def check_labels(labels: npt.NDArray[np.uint8], space: LabelSpace, path: str | Path) -> None:
    """Check that (H, W) uint8 labels are train ids of the label space or 255.

    Raises:
        DataError: If not, naming the file and the values.
    """
    # uint8 arithmetic turns 255 into 0: one pass over the pixels instead of two
    if labels.size == 0 or int((labels + np.uint8(1)).max()) <= space.num_classes:
        return
    wrong = [int(v) for v in np.unique(labels) if v >= space.num_classes and v != IGNORE_INDEX]
    hint = ""
    if space.raw_ids == CITYSCAPES.raw_ids and set(wrong) <= {*range(max(space.raw_ids) + 1)}:
        hint = (
            " These look like raw Cityscapes label ids (a *_labelIds.png), not train ids: "
            "`dsrnss data prepare cityscapes ROOT` makes the train ids."
        )
    raise DataError(f"'{path}' holds label values {wrong[:10]}, outside 0..{space.num_classes - 1} and 255.{hint}")


def unturned_label(picture: Header, size: Size) -> str:
    """Why a label of this (height, width) does not fit its picture; empty: a turned picture is not the reason."""
    if not picture.turned or size == picture.size or size != picture.size[::-1]:
        return ""
    height, width = picture.size
    return (
        f"the label fits its picture only as that is stored: EXIF turns it upright, to {height} x {width} pixels "
        "(height x width). Draw the label on the upright picture, or remove the orientation from the picture's EXIF."
    )


def image_tensor(pixels: npt.NDArray[np.uint8]) -> tv_tensors.Image:
    """Wrap (H, W, 3) uint8 RGB pixels as a (3, H, W) image; the memory is shared."""
    return tv_tensors.Image(torch.from_numpy(pixels).permute(2, 0, 1))


def histogram(labels: npt.NDArray[np.uint8], num_classes: int = 256) -> npt.NDArray[np.int64]:
    """Pixels of each class in a (H, W) uint8 label map, (num_classes,)."""
    # a quarter of the time of bincount; its float32 counts are exact up to 2**24 pixels
    if 0 < labels.size <= 2**24:
        counts: npt.NDArray[Any] = np.asarray(cv2.calcHist([labels], [0], None, [256], [0, 256])).reshape(-1)
    else:
        counts = np.bincount(labels.reshape(-1), minlength=256)
    return counts[:num_classes].astype(np.int64)


def grid_histogram(labels: npt.NDArray[np.uint8], num_classes: int, grid: Size) -> npt.NDArray[np.int64]:
    """Pixels of each class in each cell of a (rows, columns) grid over a label map, (num_classes, rows, columns)."""
    rows, columns = (np.arange(side) * cells // side for side, cells in zip(labels.shape, grid, strict=True))
    cells = rows[:, None] * grid[1] + columns
    counts = np.bincount((labels * np.int64(grid[0] * grid[1]) + cells).reshape(-1), minlength=256 * grid[0] * grid[1])
    return counts.reshape(256, *grid)[:num_classes].astype(np.int64)
