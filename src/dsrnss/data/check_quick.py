"""The part of the check that is cheap enough for the start of every run: the headers of a few files."""

from pathlib import Path

from PIL import Image

from dsrnss.data.base import SegmentationDataset, read_label
from dsrnss.data.files import FileDataset
from dsrnss.data.originals import unwrapped
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
    count = min(samples, len(inner))
    chosen = [inner.entries[index * len(inner) // count] for index in range(count)]
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
    first = next((entry for entry in chosen if entry.label is not None), None)
    if first is not None and first.label is not None:
        read_label(first.label, inner.label_space, raw=first.raw_label)


def _header(path: Path) -> tuple[tuple[int, int], str]:
    """(width, height) and mode of a picture, without reading its pixels."""
    try:
        with Image.open(path) as picture:
            return picture.size, picture.mode
    except FileNotFoundError as error:
        raise DataError(f"File not found: '{path}'.") from error
    except (OSError, SyntaxError, ValueError) as error:
        raise ImageError(
            f"'{path}' cannot be opened as a picture: {error}. `dsrnss data check` finds all such."
        ) from error
