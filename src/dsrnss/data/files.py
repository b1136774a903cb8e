"""Data sets that lie on the disk as picture files."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import numpy as np
import numpy.typing as npt
from PIL import Image
from torchvision import tv_tensors

from dsrnss.data.archives import Archive
from dsrnss.data.base import (
    BoxChooser,
    Sample,
    SegmentationDataset,
    Size,
    image_tensor,
    label_tensor,
    resized,
    unturned_label,
    wanted_size,
)
from dsrnss.data.benchmark import Benchmark
from dsrnss.data.boxes import Box
from dsrnss.data.class_counts import cached_counts, cached_places
from dsrnss.data.location import STAND_IN, Signs, data_root, not_found
from dsrnss.data.picture_cache import PictureCache, Pixels
from dsrnss.errors import ConfigError, DataError, did_you_mean
from dsrnss.labels import CITYSCAPES, LabelSpace
from dsrnss.pictures import decode, read_header, read_ids


@dataclass(frozen=True)
class Entry:
    """The files of one sample.

    Attributes:
        name: Unique name: the picture's file name without its ending, below its folder where names may repeat.
        image: The picture.
        label: Its label, None: unlabelled.
        raw_label: Whether the label file holds raw ids.
        reference: The day picture of the same place, None: no such.
    """

    name: str
    image: Path
    label: Path | None = None
    raw_label: bool = False
    reference: Path | None = None


class FileDataset(SegmentationDataset):
    """A data set in files; a subclass says where they are by `_scan`.

    Args:
        split: Part of the set; None: the first of `splits`.
        root: Folder of the set; None: `$DATA_DIR/<folder>`.
        size: (height, width) that pictures are resized to, or the pixels of their shorter side, their shape kept;
            None: as on disk.
        resize_label: Whether labels are resized too; False keeps their own size, for evaluation at full size.
        cache_dir: Folder for decoded and resized copies, made at first use; None: no copies.

    Attributes:
        key: Its name on the command line, empty: none.
        folder: Official name of the folder.
        signs: What the layout is known by: groups of folders below the root, of which one must be there completely.
        splits: Names of the parts.
        labelled_splits: Parts that come with labels.
        counts: Official number of pictures of each split.
        official_size: Official (height, width), None: none.
        url: Where the set is downloaded.
        paper: Where it is described.
        licence: On which terms it is given.
        archives: The zip files that it is published in.
        stand_in: Layout of `dsrnss data synthesize` that has a stand-in for it.
        benchmark: What its test server takes, None: there is none.

    Raises:
        ConfigError: If there is no such split, or the size is no size.
    """

    key: ClassVar[str] = ""
    folder: ClassVar[str]
    signs: ClassVar[Signs] = ()
    splits: ClassVar[tuple[str, ...]]
    labelled_splits: ClassVar[tuple[str, ...]]
    counts: ClassVar[Mapping[str, int]] = {}
    official_size: ClassVar[Size | None] = None
    url: ClassVar[str] = ""
    paper: ClassVar[str] = ""
    licence: ClassVar[str] = ""
    archives: ClassVar[tuple[Archive, ...]] = ()
    stand_in: ClassVar[str | None] = STAND_IN
    benchmark: ClassVar[Benchmark | None] = None
    label_space: LabelSpace = CITYSCAPES

    def __init__(
        self,
        split: str | None = None,
        root: str | Path | None = None,
        size: tuple[int, int] | int | None = None,
        resize_label: bool = True,
        cache_dir: str | Path | None = None,
    ) -> None:
        split = self.splits[0] if split is None else split
        if self.splits and split not in self.splits:
            raise ConfigError(f"{type(self).__name__} has no split '{split}'.{did_you_mean(split, self.splits)}")
        if size is not None and (size if isinstance(size, int) else min(size)) < 1:
            raise ConfigError(f"size must be two positive numbers (height, width), or one (shorter side), not {size}.")
        self.split = split
        self.root = root
        self.size: Size | int | None = size if size is None or isinstance(size, int) else (int(size[0]), int(size[1]))
        self.resize_label = resize_label
        self.labelled = split in self.labelled_splits
        self.references = False
        self.cache_dir = cache_dir
        self._counts: npt.NDArray[np.int64] | None = None

    @classmethod
    def all_parts(cls, root: str | Path | None = None) -> "dict[str, FileDataset]":
        """The whole set: each part that may have been downloaded alone, by a name for messages."""
        return {f"{cls.folder}/{split}": cls(split, root) for split in cls.splits}

    @abstractmethod
    def _scan(self, root: Path) -> list[Entry]:
        """List the samples in a fixed order; raises DataError where files are missing."""

    def _root(self) -> Path:
        return data_root(type(self), self.root)

    def reference_folders(self) -> list[Path]:
        """Folders that hold nothing but references of this split, whether they are there or not.

        Raises:
            DatasetNotFoundError: If the set is not where it was looked for.
        """
        return []

    @cached_property
    def entries(self) -> list[Entry]:
        """The files of all samples.

        Raises:
            DatasetNotFoundError: If the set is not where it was looked for.
            DataError: If files are missing.
        """
        return self._scan(self._root())

    @cached_property
    def _cache(self) -> PictureCache | None:
        return None if self.cache_dir is None else PictureCache(Path(self.cache_dir), self._root(), self.size)

    def __len__(self) -> int:
        return len(self.entries)

    def __getitem__(self, index: int) -> Sample:
        return self.cropped(index, None)

    def cropped(self, index: int, choose: BoxChooser | None) -> Sample:
        """The part of a sample inside a box, or all of it; only that part of the pictures is converted.

        Args:
            index: Number of the sample.
            choose: Picks the box, None: all of it.

        Raises:
            DataError: If the set is missing, or a label fits neither the classes nor the upright picture.
            ImageError: If a file is missing or cannot be read.
        """
        entry = self.entries[index]
        picture, own = self._picture(entry.image, self.size)
        size = _size_of(picture)
        label = None
        if entry.label is not None:
            wanted = size if self.resize_label and self.size is not None else None
            ids = self._ids(entry.image, own, entry.label, wanted)
            label = label_tensor(ids, self.label_space, entry.label, raw=entry.raw_label)
        box = Box(0, 0, *size) if choose is None else choose(size, label, entry.name)
        sample: Sample = {"image": image_tensor(_pixels(picture, box)), "name": entry.name}
        if label is not None:
            sample["label"] = label if choose is None else tv_tensors.Mask(box.cut(label))
        if entry.reference is not None:
            sample["reference"] = image_tensor(_pixels(self._picture(entry.reference, size)[0], box))
        return sample

    def _picture(self, path: Path, size: Size | int | None) -> tuple[Image.Image | Pixels, Size | None]:
        """A picture at a size, and its own (height, width), None: a copy does not tell."""
        if self._cache is not None:
            known = None if isinstance(size, int) else size
            return self._cache.copy(path, known, "rgb", lambda: np.asarray(resized(decode(path), size))), None
        picture = decode(path)
        return resized(picture, size), _size_of(picture)

    def _ids(self, image: Path, own: Size | None, label: Path, size: Size | None) -> Pixels:
        """The ids of a label at a size; `own` is the (height, width) of its picture, None: not known."""

        def read() -> Pixels:
            ids = read_ids(label)
            found = _size_of(ids)
            if own in (None, found[::-1]) and (why := unturned_label(read_header(image), found)):
                raise DataError(f"'{image}' and '{label}': {why}")
            return np.array(resized(ids, size))

        # at evaluation a label of its own size is read once: only the size of the set is worth a copy
        return read() if self._cache is None or size is None else self._cache.copy(label, size, "ids", read)

    def verify(self) -> None:
        """Check that the folder is there and that every picture has its label and reference; opens no picture.

        Raises:
            DatasetNotFoundError: If the set is not where it was looked for.
            DataError: If files are missing.
        """
        len(self)

    def sample_size(self) -> Size:
        """(height, width) that pictures are resized to; of the first, if they differ.

        Raises:
            DataError: If the set is missing or empty.
            ImageError: If the file cannot be read.
        """
        if isinstance(self.size, tuple):
            return self.size
        return wanted_size(read_header(self.entries[0].image).size, self.size)

    def counted_size(self) -> Size:
        """(height, width) of the first label file.

        Raises:
            DataError: If the set has no labels.
            ImageError: If the file cannot be read.
        """
        return read_header(self._label_files()[0][0]).size

    def class_counts(self) -> npt.NDArray[np.int64]:
        """Pixels of each class in each label file at its own size, (N, num_classes).

        Raises:
            DataError: If the set has no labels, or a file is no label map.
            ImageError: If a file cannot be read.
        """
        if self._counts is None:
            root = self._root()
            shipped = self._shipped_counts(root)
            self._counts = (
                cached_counts(self._label_files(), self.label_space, root, self._tag()) if shipped is None else shipped
            )
        return self._counts

    def class_places(self, grid: Size) -> npt.NDArray[np.int64]:
        """Pixels of each class in each cell of a (rows, columns) grid, (num_classes, rows, columns); reads labels only.

        Raises:
            DataError: If the set has no labels, or a file is no label map.
            ImageError: If a file cannot be read.
        """
        return cached_places(self._label_files(), self.label_space, self._root(), self._tag(), grid)

    def _tag(self) -> str:
        """A file name for what is remembered of this part of the set."""
        return f"{type(self).__name__.lower()}_{self.split}"

    def _shipped_counts(self, root: Path) -> npt.NDArray[np.int64] | None:
        """Counts that came with the data, if they did."""
        return None

    def _label_files(self) -> list[tuple[Path, bool]]:
        files = [(entry.label, entry.raw_label) for entry in self.entries if entry.label is not None]
        if not files or len(files) != len(self.entries):
            raise DataError(f"{type(self).__name__} '{self.split}' has no labels to count.")
        return files

    def _found(self, files: Sequence[Path], pattern: Path) -> Sequence[Path]:
        if not files:
            raise not_found(type(self), f"pictures '{pattern}', and there is none")
        return files


def _size_of(picture: Image.Image | Pixels) -> Size:
    return (picture.height, picture.width) if isinstance(picture, Image.Image) else picture.shape[:2]


def _pixels(picture: Image.Image | Pixels, box: Box) -> Pixels:
    """The (h, w, 3) pixels inside a box."""
    right, bottom = box.left + box.width, box.top + box.height
    if isinstance(picture, Image.Image):
        whole = (box.height, box.width) == _size_of(picture)
        return np.array(picture if whole else picture.crop((box.left, box.top, right, bottom)))
    return picture[box.top : bottom, box.left : right]
