"""Decoded, resized copies of picture files: reading one costs what copying its pixels costs."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dsrnss.data.base import Size
from dsrnss.paths import expanded
from dsrnss.writing import atomic

Pixels = npt.NDArray[np.uint8]


class PictureCache:
    """Copies of the pictures and labels of one data set at one size, as `.npy` files.

    The name of a copy holds the length and the time of its file: a file that changed has no copy. Copies appear whole,
    so several processes may make them at once.

    Args:
        folder: Where copies are kept, below a folder for each root and size.
        root: Folder of the data set.
        size: (height, width) of its pictures, or their shorter side; None: as on disk.
    """

    def __init__(self, folder: Path, root: Path, size: Size | int | None) -> None:
        mark = hashlib.sha256(str(root.resolve()).encode()).hexdigest()[:8]
        self.root = root
        self._listed: dict[Path, dict[str, set[str]]] = {}
        name = "full" if size is None else f"short{size}" if isinstance(size, int) else f"{size[0]}x{size[1]}"
        self.folder = expanded(folder) / f"{root.resolve().name}-{mark}" / name

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
        earlier = self._earlier(place.parent)
        with atomic(place) as draft:
            np.save(draft, pixels)
        for old in earlier.get(beginning, set()) - {place.name}:
            place.with_name(old).unlink(missing_ok=True)
        earlier[beginning] = {place.name}
        return np.array(pixels)

    def _earlier(self, folder: Path) -> dict[str, set[str]]:
        """The copies in a folder by the beginning of their names, listed once: a set may have 100,000."""
        if folder not in self._listed:
            self._listed[folder] = {}
            for copy in folder.iterdir() if folder.is_dir() else ():
                self._listed[folder].setdefault(f"{copy.name.rsplit('.', 2)[0]}.", set()).add(copy.name)
        return self._listed[folder]
