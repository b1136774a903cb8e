"""Pixels of each class in each label file, and at each place, counted in parallel and remembered."""

import hashlib
import logging
import os
import zipfile
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dsrnss.data.base import Size, grid_histogram, histogram, read_label
from dsrnss.data.parallel import Progress, parallel_map, parallel_sum
from dsrnss.errors import DataError, OutputError
from dsrnss.labels import LabelSpace
from dsrnss.progress import counting
from dsrnss.writing import atomic

Counts = npt.NDArray[np.int64]
LabelFile = tuple[Path, bool]
"""Path, and whether it holds raw ids."""
_log = logging.getLogger(__name__)


def cached_counts(
    files: Sequence[LabelFile], space: LabelSpace, root: Path, tag: str, progress: Progress | None = None
) -> Counts:
    """Count classes, or take the counts of an earlier run if no file has changed since.

    Counts are kept in `<root>/.dsrnss`, or in the user's cache folder where the root cannot be written.

    Args:
        files: Label files.
        space: The classes.
        root: Folder of the data set.
        tag: Name of this list of files, part of the name of the cache.
        progress: Called with (files done, files in all); None: a bar on the terminal, if there is one.

    Returns:
        (N, num_classes) pixels.

    Raises:
        DataError: If a file is missing or no label map.
        ImageError: If a file cannot be read.
    """

    def count() -> Counts:
        with counting("counting classes") if progress is None else nullcontext(progress) as report:
            return np.stack(parallel_map(_count, space, files, progress=report))

    return _kept(f"class_counts_{tag}.npz", fingerprint(files, space, root), root, count)


def cached_places(files: Sequence[LabelFile], space: LabelSpace, root: Path, tag: str, grid: Size) -> Counts:
    """Count classes in the cells of a (rows, columns) grid, or take what an earlier run counted; see `cached_counts`.

    Returns:
        (num_classes, rows, columns) pixels of all files together.
    """

    def count() -> Counts:
        with counting("counting places of classes") as report:
            return parallel_sum(_count_places, (space, grid), files, progress=report)

    name = f"class_places_{tag}_{grid[0]}x{grid[1]}.npz"
    return _kept(name, fingerprint(files, space, root), root, count)


def _kept(name: str, mark: str, root: Path, count: Callable[[], Counts]) -> Counts:
    places = [root / ".dsrnss" / name, _user_cache(root) / name]
    for place in places:
        known = _load(place, mark)
        if known is not None:
            return known
    counts = count()
    for place in places:
        try:
            with atomic(place) as draft:
                np.savez_compressed(draft, mark=np.array(mark), counts=counts)
            return counts
        except OutputError as error:
            _log.debug("Class counts are not kept at %s: %s", place, error)
    return counts


def fingerprint(files: Sequence[LabelFile], space: LabelSpace, root: Path) -> str:
    """A hash of names, sizes and times of the files and of the label space: it changes when the counts may.

    Raises:
        DataError: If a file is missing.
    """
    digest = hashlib.sha256(repr((space.names, sorted(space.raw_ids.items()))).encode())
    for path, raw in files:
        try:
            status = path.stat()
        except OSError as error:
            raise DataError(f"Cannot read the label '{path}': {error.strerror}.") from error
        relative = path.relative_to(root) if path.is_relative_to(root) else path
        digest.update(f"{relative}|{raw}|{status.st_size}|{status.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def _count(space: LabelSpace, file: LabelFile) -> Counts:
    return histogram(read_label(file[0], space, raw=file[1]).numpy(), space.num_classes)


def _count_places(shared: tuple[LabelSpace, Size], file: LabelFile) -> Counts:
    space, grid = shared
    return grid_histogram(read_label(file[0], space, raw=file[1]).numpy(), space.num_classes, grid)


def _user_cache(root: Path) -> Path:
    base = os.environ.get("XDG_CACHE_HOME")
    folder = Path(base) if base else Path.home() / ".cache"
    return folder / "dsrnss" / hashlib.sha256(str(root.resolve()).encode()).hexdigest()[:16]


def _load(place: Path, mark: str) -> Counts | None:
    try:
        with np.load(place) as stored:
            return np.asarray(stored["counts"], np.int64) if str(stored["mark"]) == mark else None
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
