"""The archives that the test servers take: written here, and checked before they are sent."""

import io
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from dsrnss.data.benchmark import CONFIDENCE, DECLARED, Benchmark
from dsrnss.data.sets import known_sets
from dsrnss.errors import ConfigError, DataError, did_you_mean
from dsrnss.labels import CITYSCAPES, IGNORE_INDEX
from dsrnss.writing import atomic

FULL_CONFIDENCE = 65535
Add = Callable[[str, npt.NDArray[np.uint8], npt.NDArray[np.float32]], None]
"""Takes the name of a picture, its (H, W) train ids and their (H, W) confidence, 0 to 1."""


def benchmarks() -> dict[str, Benchmark]:
    """Benchmarks by the names of their data sets on the command line."""
    return {key: one.benchmark for key, one in known_sets().items() if one.benchmark is not None}


def benchmark(key: str) -> Benchmark:
    """A benchmark by the name of its data set on the command line.

    Raises:
        ConfigError: If there is no such.
    """
    known = benchmarks()
    if key not in known:
        raise ConfigError(f"Unknown benchmark '{key}'.{did_you_mean(key, known)}")
    return known[key]


@contextmanager
def submission_archive(path: Path, kind: Benchmark, threshold: float = 0.5) -> Iterator[Add]:
    """Write an archive picture by picture; it appears under its name when the block ends without an error.

    Args:
        path: The zip file.
        kind: For which server.
        threshold: Pixels of lower confidence are declared invalid (Dark Zurich).

    Raises:
        DataError: If a name comes twice.
        OutputError: If the file cannot be written.
    """
    names: set[str] = set()
    with atomic(path) as draft, zipfile.ZipFile(draft, "w", zipfile.ZIP_STORED) as archive:

        def add(name: str, labels: npt.NDArray[np.uint8], confidence: npt.NDArray[np.float32]) -> None:
            if name in names:
                raise DataError(f"Two pictures of the submission are called '{name}'.")
            names.add(name)
            for folder in kind.folders:
                archive.writestr(f"{folder}/{name}.png", _png(_pixels(folder, labels, confidence, threshold)))

        yield add


def _pixels(
    folder: str, labels: npt.NDArray[np.uint8], confidence: npt.NDArray[np.float32], threshold: float
) -> npt.NDArray[np.uint8] | npt.NDArray[np.uint16]:
    if folder == DECLARED:
        declared: npt.NDArray[np.uint8] = np.where(confidence < threshold, np.uint8(IGNORE_INDEX), labels)
        return declared
    if folder == CONFIDENCE:
        deep: npt.NDArray[np.uint16] = np.rint(np.clip(confidence, 0, 1) * FULL_CONFIDENCE).astype(np.uint16)
        return deep
    return labels


def _png(pixels: npt.NDArray[np.uint8] | npt.NDArray[np.uint16]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", compress_level=3)
    return buffer.getvalue()


def faulty_values(folder: str, pixels: npt.NDArray[np.integer]) -> list[int]:
    """Values of a label map that its folder must not hold, ascending."""
    if folder == CONFIDENCE:
        return []
    allowed = {*range(CITYSCAPES.num_classes), *([IGNORE_INDEX] if folder == DECLARED else [])}
    return sorted({int(value) for value in np.unique(pixels)} - allowed)


def detect(names: Sequence[str]) -> Benchmark:
    """Guess for which server an archive is, from the files in it: by their folders, else by their number."""
    folders = {part for name in names for part in name.split("/")[:-1]}
    pictures = sum(name.endswith(".png") for name in names)

    def likeness(server: Benchmark) -> tuple[int, bool, int]:
        return len(folders & {*server.folders}), pictures in server.counts, -len(server.folders)

    return max(benchmarks().values(), key=likeness)
