"""The part of the check that is cheap enough for the start of every run: the headers of a few files."""

from pathlib import Path

from dsrnss.data.base import SegmentationDataset, Size, read_label, spread, unturned_label, wanted_size
from dsrnss.data.files import Entry, FileDataset
from dsrnss.data.originals import MASK_MODES, invalid_file, leaves
from dsrnss.data.transforms import check_fits
from dsrnss.errors import DataError, ImageError
from dsrnss.pictures import Header, check_ids, read_header

SAMPLES = 8
_ALL = "`dsrnss data check` finds all such."


def quick_check(dataset: SegmentationDataset, samples: int = SAMPLES) -> None:
    """Look at some samples, evenly spread: can their files be opened, and do picture and label have one size?

    Of one label the values are checked too. Sets that have no files are not looked at.

    Args:
        dataset: The set.
        samples: How many samples to look at.

    Raises:
        DatasetNotFoundError: If the set is not where it was looked for.
        DataError: If a label does not fit its picture or the classes, or files are missing.
        ImageError: If a file cannot be opened.
    """
    for leaf in leaves(dataset):
        if isinstance(leaf, FileDataset):
            _check_files(leaf, samples)


def _check_files(dataset: FileDataset, samples: int) -> None:
    chosen = _chosen(dataset, samples)
    for entry in chosen:
        picture = _header(entry.image)
        if entry.reference is not None:
            _header(entry.reference)
        if entry.label is None:
            continue
        label = _header(entry.label)
        check_ids(entry.label, label.mode)
        if label.size != picture.size:
            sizes = [f"{height} x {width}" for height, width in (picture.size, label.size)]
            raise DataError(
                f"'{entry.image}' has {sizes[0]} pixels, its label '{entry.label}' {sizes[1]} (height x width): "
                f"{unturned_label(picture, label.size) or 'they do not belong together.'} {_ALL}"
            )
        if mask := invalid_file(entry.label):
            check_ids(mask, _header(mask).mode, MASK_MODES, "mask")
    first = next((entry for entry in chosen if entry.label is not None), None)
    if first is not None and first.label is not None:
        read_label(first.label, dataset.label_space, raw=first.raw_label)


def check_crop_size(dataset: SegmentationDataset, crop: Size, samples: int = SAMPLES) -> None:
    """See that a crop fits into the pictures: into the size they are resized to, else into some of them.

    Args:
        dataset: The set.
        crop: (height, width).
        samples: How many pictures to look at.

    Raises:
        ConfigError: If it does not.
        ImageError: If a file cannot be opened.
    """
    for leaf in leaves(dataset):
        if not isinstance(leaf, FileDataset):
            check_fits(crop, leaf.sample_size(), type(leaf).__name__)
            continue
        for entry in _chosen(leaf, samples):
            check_fits(crop, wanted_size(_header(entry.image).size, leaf.size), entry.name)


def _chosen(dataset: FileDataset, samples: int) -> list[Entry]:
    return [dataset.entries[index] for index in spread(len(dataset), samples)]


def _header(path: Path) -> Header:
    try:
        return read_header(path)
    except ImageError as error:
        raise ImageError(f"{error} {_ALL}") from error
