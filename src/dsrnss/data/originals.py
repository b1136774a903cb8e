"""What evaluation wants of a sample beside its pixels: its picture's size on disk, and where nothing can be known."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from dsrnss.data.base import SegmentationDataset, Size, resized
from dsrnss.data.files import Entry, FileDataset
from dsrnss.errors import DataError
from dsrnss.pictures import ID_MODES, read_header, read_ids

INVALID_ENDING = "_gt_invIds.png"
MASK_MODES = (*ID_MODES, "1")
_LABEL_ENDINGS = ("_gt_labelTrainIds.png", "_gt_labelIds.png")


def unwrapped(dataset: SegmentationDataset) -> SegmentationDataset:
    """The set inside wrappers such as `AlignedPairs`, which keep it as `dataset`."""
    while isinstance(inner := getattr(dataset, "dataset", None), SegmentationDataset):
        dataset = inner
    return dataset


def leaves(dataset: SegmentationDataset) -> list[SegmentationDataset]:
    """The sets that samples come from in the end, one after the other: neither wrapped nor joined."""
    return [unwrapped(member.dataset) for member in unwrapped(dataset).members()]


def file_entry(dataset: SegmentationDataset, index: int) -> Entry | None:
    """The files of a sample, None: it has none."""
    for leaf in leaves(dataset):
        if index < len(leaf):
            return leaf.entries[index] if isinstance(leaf, FileDataset) else None
        index -= len(leaf)
    raise IndexError("There is no such sample.")


def original_size(dataset: SegmentationDataset, index: int) -> Size | None:
    """(height, width) of a sample's picture on disk, upright, whatever size the set gives it; None: it has no file.

    Raises:
        ImageError: If the file cannot be read.
    """
    entry = file_entry(dataset, index)
    return None if entry is None else read_header(entry.image).size


def invalid_file(label: Path) -> Path | None:
    """The mask of invalid pixels that belongs to a label of Dark Zurich or ACDC, None: there is none."""
    for ending in _LABEL_ENDINGS:
        if label.name.endswith(ending):
            path = label.with_name(label.name.removesuffix(ending) + INVALID_ENDING)
            return path if path.is_file() else None
    return None


def invalid_mask(dataset: SegmentationDataset, index: int, size: Size) -> Tensor | None:
    """Pixels whose class nobody could tell from the picture alone (Sakaridis et al., arXiv 1901.05946, section 4).

    Args:
        dataset: Where the sample comes from.
        index: Its number.
        size: (height, width) of its label.

    Returns:
        (height, width) bool, None: the set has no such masks.

    Raises:
        DataError: If the mask is not 8 bits in one channel, or is missing where others of the set are there.
        ImageError: If it cannot be read.
    """
    first, entry = file_entry(dataset, 0), file_entry(dataset, index)
    if first is None or entry is None or first.label is None or entry.label is None or not invalid_file(first.label):
        return None
    path = invalid_file(entry.label)
    if path is None:
        raise DataError(f"'{entry.label}' has no mask of invalid pixels (*{INVALID_ENDING}), but other labels have.")
    return torch.from_numpy(np.array(resized(read_ids(path, MASK_MODES, "mask"), size)) > 0)
