"""The part of the check that is cheap enough for the start of every run: the headers of a few files."""

from pathlib import Path

from PIL import Image, UnidentifiedImageError

from dsrnss.data.base import SegmentationDataset, Size, read_label
from dsrnss.data.files import Entry, FileDataset
from dsrnss.data.originals import MASK_MODES, invalid_file, unwrapped
from dsrnss.data.transforms import check_fits
from dsrnss.errors import DataError, ImageError

SAMPLES = 8


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
    inner = unwrapped(dataset)
    if not isinstance(inner, FileDataset):
        return
    chosen = _chosen(inner, samples)
    for entry in chosen:
        size, _ = _header(entry.image)
        if entry.reference is not None:
            _header(entry.reference)
        if entry.label is None:
            continue
        label_size, mode = _header(entry.label)
        if mode not in ("L", "P"):
            raise DataError(f"'{entry.label}' is no label map: expected 8-bit ids in one channel, found mode '{mode}'.")
        if label_size != size:
            raise DataError(
                f"'{entry.image}' has {size[1]} x {size[0]} pixels, its label '{entry.label}' {label_size[1]} x "
                f"{label_size[0]} (height x width): they do not belong together. `dsrnss data check` finds all such."
            )
        _check_mask(invalid_file(entry.label))
    first = next((entry for entry in chosen if entry.label is not None), None)
    if first is not None and first.label is not None:
        read_label(first.label, inner.label_space, raw=first.raw_label)


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
    inner = unwrapped(dataset)
    if not isinstance(inner, FileDataset):
        check_fits(crop, dataset.sample_size(), type(inner).__name__)
        return
    for entry in _chosen(inner, samples):
        check_fits(crop, _header(entry.image)[0][::-1] if inner.size is None else inner.size, entry.name)


def _chosen(dataset: FileDataset, samples: int) -> list[Entry]:
    count = min(samples, len(dataset))
    return [dataset.entries[index * len(dataset) // count] for index in range(count)]


def _check_mask(path: Path | None) -> None:
    if path is not None and (mode := _header(path)[1]) not in MASK_MODES:
        raise DataError(f"'{path}' is no mask: expected 8 bits in one channel, found mode '{mode}'.")


def _header(path: Path) -> tuple[tuple[int, int], str]:
    """(width, height) and mode of a picture, without reading its pixels."""
    try:
        with Image.open(path) as picture:
            return picture.size, picture.mode
    except FileNotFoundError as error:
        raise DataError(f"File not found: '{path}'.") from error
    except UnidentifiedImageError as error:
        raise ImageError(f"'{path}' is no picture. `dsrnss data check` finds all such.") from error
    except (OSError, SyntaxError, ValueError) as error:
        raise ImageError(
            f"'{path}' cannot be opened as a picture: {error}. `dsrnss data check` finds all such."
        ) from error
