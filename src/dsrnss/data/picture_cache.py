"""Decoded, resized copies of picture files: reading one costs what copying its pixels costs."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dsrnss.data.base import Size
from dsrnss.writing import atomic

Pixels = npt.NDArray[np.uint8]


class PictureCache:
    """Copies of the pictures and labels of one data set at one size, as `.npy` files.

    The name of a copy holds the length and the time of its file: a file that changed has no copy. Copies appear whole,
    so several processes may make them at once.

    Args:
        folder: Where copies are kept, below a folder for each root and size.
        root: Folder of the data set.
        size: (height, width) of its pictures, None: as on disk.
    """

    def __init__(self, folder: Path, root: Path, size: Size | None) -> None:
        mark = hashlib.sha256(str(root.resolve()).encode()).hexdigest()[:8]
        self.root = root
        self.folder = (
            folder.expanduser() / f"{root.resolve().name}-{mark}" / (f"{size[0]}x{size[1]}" if size else "full")
        )

    def copy(self, path: Path, size: Size | None, kind: str, read: Callable[[], Pixels]) -> Pixels:
        """The pixels of a file, from the copy if there is one.

        Args:
            path: The file.
            size: (height, width) of the pixels, None: as on disk.
            kind: How they are read: `rgb` or `ids`; part of the copy's name.
            read: Reads them.

        Raises:
            DsrnssError: What `read` raises.
            OutputError: If the copy cannot be written.
        """
        try:
            status = path.stat()
        except OSError:
            return read()  # which says what is wrong
        relative = path.relative_to(self.root) if path.is_relative_to(self.root) else Path(*path.resolve().parts[1:])
        beginning = f"{path.name}.{kind}."
        place = self.folder / relative.with_name(f"{beginning}{status.st_size:x}-{status.st_mtime_ns:x}.npy")
        try:
            # copy on write: torch refuses memory that it may not write to
            kept: Pixels = np.load(place, mmap_mode="c")
            if size is None or kept.shape[:2] == size:
                return kept
        except (OSError, ValueError, EOFError):
            pass  # not there yet, or damaged
        pixels = read()
        stale = [old for old in _siblings(place.parent) if old.name.startswith(beginning) and old != place]
        with atomic(place) as draft:
            np.save(draft, pixels)
        for old in stale:
            old.unlink(missing_ok=True)
        return np.array(pixels)


def _siblings(folder: Path) -> list[Path]:
    return list(folder.iterdir()) if folder.is_dir() else []
