"""Data sets that lie on the disk as picture files."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import numpy as np
import numpy.typing as npt
from PIL import Image

from dsrnss.data.base import (
    Sample,
    SegmentationDataset,
    Size,
    data_root,
    not_found,
    read_image,
    read_label,
)
from dsrnss.data.counts import cached_counts
from dsrnss.errors import ConfigError, DataError, ImageError, did_you_mean
from dsrnss.labels import CITYSCAPES


@dataclass(frozen=True)
class Entry:
    """The files of one sample.

    Attributes:
        name: Unique name, the picture's file name without its ending.
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
        split: Part of the set.
        root: Folder of the set; None: `$DATA_DIR/<folder>`.
        size: (height, width) that pictures are resized to; None: as on disk.
        resize_label: Whether labels are resized too; False keeps their own size, for evaluation at full size.
        references: Whether samples carry day references.

    Raises:
        ConfigError: If there is no such split.
    """

    folder: ClassVar[str]
    splits: ClassVar[tuple[str, ...]]
    labelled_splits: ClassVar[tuple[str, ...]]
    label_space = CITYSCAPES

    def __init__(
        self,
        split: str,
        root: str | Path | None = None,
        size: tuple[int, int] | None = None,
        resize_label: bool = True,
        references: bool = False,
    ) -> None:
        if split not in self.splits:
            raise ConfigError(f"{type(self).__name__} has no split '{split}'.{did_you_mean(split, self.splits)}")
        if size is not None and min(size) < 1:
            raise ConfigError(f"size must be two positive numbers (height, width), not {size}.")
        self.split = split
        self.root = root
        self.size: Size | None = None if size is None else (int(size[0]), int(size[1]))
        self.resize_label = resize_label
        self.labelled = split in self.labelled_splits
        self.references = references
        self._counts: npt.NDArray[np.int64] | None = None

    @abstractmethod
    def _scan(self, root: Path) -> list[Entry]:
        """List the samples in a fixed order; raises DataError where files are missing."""

    @cached_property
    def entries(self) -> list[Entry]:
        """The files of all samples.

        Raises:
            DatasetNotFoundError: If the set is not where it was looked for.
            DataError: If files are missing.
        """
        return self._scan(data_root(self.root, self.folder))

    def __len__(self) -> int:
        return len(self.entries)

    def __getitem__(self, index: int) -> Sample:
        entry = self.entries[index]
        sample: Sample = {"image": read_image(entry.image, self.size), "name": entry.name}
        if entry.label is not None:
            size: Size | None = (int(sample["image"].shape[-2]), int(sample["image"].shape[-1]))
            size = size if self.resize_label and self.size is not None else None
            sample["label"] = read_label(entry.label, self.label_space, size, raw=entry.raw_label)
        if entry.reference is not None:
            size = (int(sample["image"].shape[-2]), int(sample["image"].shape[-1]))
            sample["reference"] = read_image(entry.reference, size)
        return sample

    def verify(self) -> None:
        """Check that the folder is there and that every picture has its label and reference; opens no picture.

        Raises:
            DatasetNotFoundError: If the set is not where it was looked for.
            DataError: If files are missing.
        """
        len(self)

    def sample_size(self) -> Size:
        """(height, width) that pictures are resized to, or of the first picture.

        Raises:
            DataError: If the set is missing or empty.
            ImageError: If the file cannot be read.
        """
        return super().sample_size() if self.size is None else self.size

    def counted_size(self) -> Size:
        """(height, width) of the first label file.

        Raises:
            DataError: If the set has no labels.
            ImageError: If the file cannot be read.
        """
        path = self._label_files()[0][0]
        try:
            with Image.open(path) as picture:
                return picture.height, picture.width
        except OSError as error:
            raise ImageError(f"Cannot read '{path}': {error}.") from error

    def class_counts(self) -> npt.NDArray[np.int64]:
        """Pixels of each class in each label file at its own size, (N, num_classes).

        Raises:
            DataError: If the set has no labels, or a file is no label map.
            ImageError: If a file cannot be read.
        """
        if self._counts is None:
            root = data_root(self.root, self.folder)
            shipped = self._shipped_counts(root)
            tag = f"{type(self).__name__.lower()}_{self.split}"
            self._counts = (
                cached_counts(self._label_files(), self.label_space, root, tag) if shipped is None else shipped
            )
        return self._counts

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
            raise not_found(self.folder, f"pictures '{pattern}', and there is none")
        return files


def listing(folder: Path, pattern: str) -> list[Path]:
    """Files below a folder by pattern, sorted by their path; hidden ones (half-written, or of macOS) left out."""
    return sorted(path for path in folder.glob(pattern) if not path.name.startswith("."))


def require(missing: Sequence[object], total: int, what: str, advice: str) -> None:
    """Raise if anything is missing.

    Raises:
        DataError: With the number and the first few of what is missing.
    """
    if missing:
        shown = "\n".join(f"  {item}" for item in missing[:5])
        more = f"\n  ... and {len(missing) - 5} more" if len(missing) > 5 else ""
        raise DataError(f"{len(missing)} of {total} {what} are missing:\n{shown}{more}\n{advice}")
