"""Which pictures a user means: files, folders and patterns; and what their results are called."""

import glob
import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dsrnss.errors import ImageError, did_you_mean
from dsrnss.paths import expanded

SUFFIXES = (
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".tif", ".tiff", ".webp", ".gif", ".ppm", ".pgm", ".jp2", ".avif",
)  # fmt: skip
"""What counts as a picture in a folder or behind a pattern; a file named by itself may be called anything."""

VIDEO_SUFFIXES = (
    ".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".ts", ".m2ts", ".mts", ".wmv", ".flv", ".ogv",
    ".3gp", ".y4m", ".nut",
)  # fmt: skip
"""What counts as a video."""

OUTPUTS = {
    "labels": "_labels.png", "colour": "_colour.png", "overlay": "_overlay.png", "side-by-side": "_side-by-side.png",
    "confidence": "_confidence.png", "npz": ".npz", "coco-json": "_coco.json",
}  # fmt: skip
"""What can be written of a picture -> how its file ends."""

VIDEO_OUTPUTS = {
    "labels": "_labels.mkv", "confidence": "_confidence.mkv", "colour": "_colour.mp4", "overlay": "_overlay.mp4",
    "side-by-side": "_side-by-side.mp4",
}  # fmt: skip
"""What can be written of a video -> how its file ends."""

DEFAULT_KINDS = ("labels", "colour", "overlay")
"""What is written of a picture where nothing else is asked for."""

FRAMES = "_frames"
"""How the folder ends that the frames of a video are written to, one by one."""

_ENDINGS = (*OUTPUTS.values(), *VIDEO_OUTPUTS.values())
_STREAM = re.compile(r"(?!file:)[a-z]+://|camera:", re.IGNORECASE)

_LONGEST_STEM = 190
"""Bytes; file systems allow 255 for a name, and the endings and temporary names need some of them."""


@dataclass(frozen=True)
class Failure:
    """A picture, or a source of pictures, that nothing came of.

    Attributes:
        picture: What the user asked for.
        reason: A sentence that names it and says what is wrong.
    """

    picture: str
    reason: str


@dataclass
class PictureFinder:
    """Lists pictures and notes what cannot be listed.

    Args:
        recursive: Whether folders are searched with all folders below them.
        out: Where results go; those of an earlier run are not taken for photographs.
        failures: The sources and folders of which nothing came.
        streams: Cameras and addresses among the sources.
    """

    recursive: bool = False
    out: Path | None = None
    failures: list[Failure] = field(default_factory=list)
    streams: list[str] = field(default_factory=list)

    def find(self, sources: Sequence[str | Path]) -> list[Path]:
        """List the pictures of some sources, each once.

        Args:
            sources: Files, folders, or patterns such as `photos/*.jpg` that no shell has expanded; cameras and
                addresses of videos are put into `streams`.

        Returns:
            The pictures and videos in the order of the sources, those of a folder or a pattern sorted by path.
        """
        pictures: dict[str, Path] = {}
        for source in sources:
            try:
                for path in self._expand(str(source)):
                    pictures.setdefault(os.path.abspath(path), path)  # noqa: PTH100 (a link is not its target)
            except ImageError as error:
                self.failures.append(Failure(str(source), str(error)))
            except OSError as error:
                self.failures.append(Failure(str(source), f"Cannot look for '{source}': {error.strerror}."))
        return list(pictures.values())

    def _expand(self, source: str) -> list[Path]:
        if not source.strip():
            raise ImageError("An empty name is no picture: give a file, a folder or a pattern.")
        if is_stream(source):
            if source.lower().split("?")[0].endswith(SUFFIXES):
                raise ImageError(f"'{source}' is a web address of a picture: download it and give the file.")
            self.streams.append(source)
            return []
        path = expanded(source)
        if path.is_dir():
            return self._folder(path)
        if os.path.lexists(path):
            return [path]
        if glob.has_magic(source):
            return self._pattern(path)
        raise ImageError(_missing(path))

    def _folder(self, folder: Path) -> list[Path]:
        found = list(self._walk(folder))
        if not found and not any(failure.picture.startswith(str(folder)) for failure in self.failures):
            below = not self.recursive and any(entry.is_dir() for entry in folder.iterdir())
            hint = " Give recursive=True to search the folders in it too." if below else ""
            raise ImageError(f"The folder '{folder}' holds no pictures ({', '.join(SUFFIXES)}).{hint}")
        return found

    def _walk(self, folder: Path) -> Iterator[Path]:
        try:
            entries = sorted(folder.iterdir())
        except OSError as error:
            self.failures.append(Failure(str(folder), f"The folder '{folder}' cannot be read: {error.strerror}."))
            return
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if self.recursive and entry.is_dir():
                if not entry.is_symlink():  # a link may lead back up
                    yield from self._walk(entry)
            elif self._wanted(entry):
                yield entry

    def _pattern(self, pattern: Path) -> list[Path]:
        found = sorted(Path(match) for match in glob.glob(str(pattern), recursive=True))  # noqa: PTH207
        wanted = [path for path in found if self._wanted(path)]
        if not wanted:
            others = f" but {len(found)} that are no pictures" if found else ""
            raise ImageError(f"The pattern '{pattern}' matches no pictures{others}.")
        return wanted

    def _wanted(self, path: Path) -> bool:
        if path.suffix.lower() not in (*SUFFIXES, *VIDEO_SUFFIXES):
            return False
        own = self.out is not None and path.name.endswith(_ENDINGS)
        return not (own and self.out is not None and path.parent.resolve() == expanded(self.out).resolve())


def is_stream(source: str) -> bool:
    """Whether a source is a camera, `camera:0`, or an address, such as `rtsp://...`, and no file."""
    return _STREAM.match(source) is not None


def is_video(path: Path) -> bool:
    """Whether a file is a video by its ending."""
    return path.suffix.lower() in VIDEO_SUFFIXES


def without_password(stream: str) -> str:
    """An address as it may be shown and kept."""
    return re.sub(r"//[^/@]*@", "//", stream)


def stream_path(stream: str) -> Path:
    """What a stream would be called if it were a file: `camera-0`, or the last word of its address."""
    if stream.lower().startswith("camera:"):
        return Path("-".join(re.findall(r"[\w.]+", stream)))
    words = re.findall(r"[\w.-]+", re.sub(r"[?#].*", "", without_password(stream)))
    return Path(words[-1])


def _missing(path: Path) -> str:
    """What to say of a path that does not exist: the first part of it that is not there, and what it may have meant."""
    there = next((parent for parent in path.parents if parent.is_dir()), Path())
    part = path.relative_to(there).parts[0]
    try:
        neighbours = sorted(entry.name for entry in there.iterdir())
    except OSError:
        neighbours = []
    where = "the current folder" if there == Path() else f"'{there}'"
    return f"There is no '{path}': {where} holds no '{part}'.{did_you_mean(part, neighbours, show_all=False)}"


def output_stems(pictures: Sequence[Path], out: Path) -> list[str]:
    """Name the results of each picture so that none overwrites another, nor a picture.

    A picture's own name without its ending serves where it is the only one so called. Otherwise the ending is added
    (`x_png`), or the folders above it (`a_x`, `b_x`), as few as tell it apart.

    Args:
        pictures: Pictures, each once.
        out: The folder that the results go to.

    Returns:
        One name a picture, to be followed by the endings of `OUTPUTS`.
    """
    forms = [list(_forms(picture)) for picture in pictures]
    counts = Counter((level, form.casefold()) for names in forms for level, form in enumerate(names))
    inputs = {str(picture.resolve()).casefold() for picture in pictures}
    folder = expanded(out).resolve()
    taken: set[str] = set()

    def free(stem: str) -> bool:
        files = (str(folder / f"{stem}{ending}").casefold() for ending in (*_ENDINGS, FRAMES))
        return stem.casefold() not in taken and not any(file in inputs for file in files)

    stems = []
    for names in forms:
        alone = (form for level, form in enumerate(names) if counts[level, form.casefold()] == 1)
        numbered = (f"{names[0]}-{number}" for number in range(2, len(pictures) + 3))
        stem = next(candidate for candidate in (*alone, *numbered) if free(candidate))
        taken.add(stem.casefold())
        stems.append(stem)
    return stems


def _forms(picture: Path) -> Iterator[str]:
    """Names for a picture's results, shortest first: `x`, `x_jpg`, `folder_x`, `folder_x_jpg`, ..."""
    above = [part for part in picture.parent.parts if part not in (picture.anchor, "..")]
    suffix = picture.suffix[1:].lower()
    for depth in range(min(len(above), 4) + 1):
        stem = "_".join([*above[len(above) - depth :], picture.stem])
        for name in (stem, f"{stem}_{suffix}"):
            while len(os.fsencode(name)) > _LONGEST_STEM:
                name = name[1:]
            yield name
