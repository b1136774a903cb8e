"""How often each class occurs in labelled data sets."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from dsrnss.data.base import SegmentationDataset


@dataclass(frozen=True)
class ClassStatistics:
    """Classes of a set.

    Attributes:
        name: Name of the set.
        classes: Names of the classes.
        pixels: (num_classes,) labelled pixels.
        pictures: (num_classes,) pictures that show the class.
        labels: Number of labels.
    """

    name: str
    classes: tuple[str, ...]
    pixels: npt.NDArray[np.int64]
    pictures: npt.NDArray[np.int64]
    labels: int

    @property
    def shares(self) -> npt.NDArray[np.float64]:
        """(num_classes,) shares of the labelled pixels, 0 to 1."""
        shares: npt.NDArray[np.float64] = self.pixels / max(int(self.pixels.sum()), 1)
        return shares

    def as_json(self) -> dict[str, Any]:
        """Plain values: pixels, share and pictures of each class."""
        rows = zip(self.classes, self.pixels, self.shares, self.pictures, strict=True)
        return {
            "set": self.name,
            "labels": self.labels,
            "classes": {
                name: {"pixels": int(pixels), "share": float(share), "pictures": int(pictures)}
                for name, pixels, share, pictures in rows
            },
        }


def class_statistics(sets: Mapping[str, SegmentationDataset]) -> list[ClassStatistics]:
    """Count the classes of all labelled sets; counts of files that have not changed are remembered.

    Args:
        sets: Name -> data set.

    Raises:
        DatasetNotFoundError: If a set is not where it was looked for.
        DataError: If files are missing, or a label is none.
        ImageError: If a file cannot be read.
    """
    found = []
    for name, dataset in sets.items():
        if dataset.labelled:
            counts = dataset.class_counts()
            names = dataset.label_space.names
            found.append(ClassStatistics(name, names, counts.sum(0), (counts > 0).sum(0), len(counts)))
    return found
