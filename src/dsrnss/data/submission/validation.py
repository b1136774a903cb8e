"""A check of an archive for a test server: every fault is named before an upload is spent on it."""

import zipfile
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dsrnss.console import counted
from dsrnss.data.archives import open_archive
from dsrnss.data.benchmark import CONFIDENCE, DECLARED, LABELS, Benchmark
from dsrnss.data.submission.archive import benchmark, detect, faulty_values
from dsrnss.errors import ImageError
from dsrnss.labels import IGNORE_INDEX
from dsrnss.pictures import load

PICTURE_ENDING = "_rgb_anon"
_LARGEST_FILE = 64 * 2**20
_GREY = ("L",)
_DEEP = ("I;16", "I;16B", "I;16L", "I")


@dataclass(frozen=True)
class Validation:
    """What was found.

    Attributes:
        benchmark: For which server the archive was checked.
        pictures: Number of pictures in it.
        faults: Sentences, each naming a file or folder; none: the archive is as the server wants it.
    """

    benchmark: Benchmark
    pictures: int
    faults: tuple[str, ...]


def validate_submission(
    path: Path,
    kind: str | None = None,
    expected: Collection[str] | None = None,
    progress: Callable[[int, int], None] | None = None,
    *,
    complete: bool = False,
) -> Validation:
    """Check an archive.

    Args:
        path: The zip file.
        kind: Name of the data set on the command line, such as `darkzurich`; None: seen from the content.
        expected: Names of the test pictures without ending; None: only their number is checked.
        progress: Called with (files read, files in all).
        complete: Whether the official number of pictures is asked for beside the expected names.

    Raises:
        ConfigError: If there is no such kind.
        DataError: If the file is missing or no whole zip archive.
    """
    with open_archive(path, "make it again") as archive:
        return _validate(archive, kind, expected, progress, complete=complete)


def _validate(
    archive: zipfile.ZipFile,
    kind: str | None,
    expected: Collection[str] | None,
    progress: Callable[[int, int], None] | None,
    *,
    complete: bool,
) -> Validation:
    files = [info for info in archive.infolist() if not info.filename.endswith("/")]
    names = [info.filename for info in files]
    server = detect(names) if kind is None else benchmark(kind)
    faults: list[str] = []
    prefix = _wrapping_folder(names, server)
    if prefix:
        faults.append(f"Everything lies inside the folder '{prefix}': zip its content, not the folder.")
    pictures: dict[str, dict[str, zipfile.ZipInfo]] = {folder: {} for folder in server.folders}
    for info in files:
        folder, _, name = info.filename.removeprefix(prefix).rpartition("/")
        folder = LABELS if not folder and server.flat else folder
        if folder not in pictures or not name.endswith(".png") or name.startswith("."):
            faults.append(f"'{info.filename}' does not belong there: remove it.")
        elif name.removesuffix(".png") in pictures[folder]:
            faults.append(f"'{info.filename}' is there twice.")
        else:
            pictures[folder][name.removesuffix(".png")] = info
    faults += _names(pictures, server, expected, complete=complete)
    done, total = 0, sum(map(len, pictures.values()))
    for picture in dict.fromkeys(name for members in pictures.values() for name in members):
        sound: dict[str, npt.NDArray[np.uint8]] = {}
        for folder, members in pictures.items():
            if picture in members:
                faults += _file(archive, members[picture], folder, server, sound)
                done += 1
                if progress:
                    progress(done, total)
        faults += _disagreement(picture, sound)
    return Validation(server, len(pictures[LABELS]), tuple(faults))


def _wrapping_folder(names: list[str], server: Benchmark) -> str:
    """The one folder around all folders, with a slash; empty if there is none."""
    tops = {name.partition("/")[0] for name in names if not name.startswith("__MACOSX/")}
    wrapped = len(tops) == 1 and not tops & set(server.folders) and all("/" in name for name in names)
    return f"{tops.pop()}/" if wrapped else ""


def _names(
    pictures: dict[str, dict[str, zipfile.ZipInfo]],
    server: Benchmark,
    expected: Collection[str] | None,
    *,
    complete: bool,
) -> Iterator[str]:
    """Faults in which pictures are there, and what they are called."""
    for folder, members in pictures.items():
        if not members:
            yield f"The folder '{folder}' is missing or empty."
    wanted = set(expected) if expected is not None else set().union(*pictures.values())
    for folder, members in pictures.items():
        if members:
            missing, extra = sorted(wanted - members.keys()), sorted(members.keys() - wanted)
            yield from ([f"'{folder}' lacks {_some(missing)}."] if missing else [])
            yield from ([f"'{folder}' holds pictures that are not asked for: {_some(extra)}."] if extra else [])
    labels = pictures[LABELS]
    if (complete or expected is None) and labels and len(labels) not in server.counts:
        counts = " or ".join(map(str, server.counts))
        yield f"'{LABELS}' holds {counted(len(labels), 'picture')}: the test set of {server.title} has {counts}."
    odd = sorted(name for name in labels if not name.endswith(PICTURE_ENDING))
    if odd and expected is None:
        yield f"A PNG is called like its picture, *{PICTURE_ENDING}.png; these are not: {_some(odd)}."


def _some(names: list[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"{len(names)} of them: {', '.join(names[:3])}{more}" if len(names) > 1 else f"'{names[0]}'"


def _file(
    archive: zipfile.ZipFile,
    info: zipfile.ZipInfo,
    folder: str,
    server: Benchmark,
    sound: dict[str, npt.NDArray[np.uint8]],
) -> Iterator[str]:
    """Faults of one PNG; the pixels of a faultless one are put into `sound`."""
    name = info.filename
    if info.file_size > _LARGEST_FILE:
        yield f"'{name}' has {info.file_size // 2**20} MB: that is no label map."
        return
    try:
        picture = load(archive.read(info), name=name)
    except ImageError as error:
        yield str(error)
        return
    except Exception as error:  # an archive may raise anything on a broken file, and the check goes on
        yield f"'{name}' cannot be read: {error}."
        return
    kind, mode, size, pixels = picture.format, picture.mode, picture.size, np.asarray(picture)
    if kind != "PNG":
        yield f"'{name}' is a {kind}, not a PNG."
    height, width = server.size
    if size != (width, height):
        yield f"'{name}' has {size[0]} x {size[1]} pixels: expected {width} x {height} (width x height)."
    wanted = _DEEP if folder == CONFIDENCE else _GREY
    if mode not in wanted:
        yield f"'{name}' {_mode_fault(mode, folder)}"
    elif wrong := faulty_values(folder, pixels):
        hint = " They look like raw label ids; the server wants train ids." if max(wrong) <= 33 else ""
        yield f"'{name}' holds values {wrong[:8]}, outside 0..18{'' if folder == LABELS else ' and 255'}.{hint}"
    elif kind == "PNG" and size == (width, height):
        sound[folder] = pixels


def _disagreement(picture: str, sound: Mapping[str, npt.NDArray[np.uint8]]) -> Iterator[str]:
    """The fault of declared labels that are neither the labels nor 255."""
    if LABELS in sound and DECLARED in sound:
        share = float(((sound[DECLARED] != IGNORE_INDEX) & (sound[DECLARED] != sound[LABELS])).mean())
        if share:
            yield (
                f"'{DECLARED}/{picture}.png' differs from '{LABELS}' in {max(100 * share, 0.001):.3f} % of its pixels: "
                f"where it is not {IGNORE_INDEX} it must hold the same."
            )


def _mode_fault(mode: str, folder: str) -> str:
    if folder == CONFIDENCE:
        return f"has mode '{mode}': a confidence is 16-bit grey, 0..65535 for 0..1."
    if mode in ("RGB", "RGBA", "P", "PA"):
        return f"is a colour image (mode '{mode}'): the server rejects those; write the train ids as 8-bit grey."
    return f"has mode '{mode}': train ids are 8-bit grey."
