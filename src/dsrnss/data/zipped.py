"""Data sets read straight from zip archives: paths like those of unpacked files, in the official layout."""

import errno
import io
import os
import re
import stat
import zipfile
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple

from dsrnss.data.archives import open_archive, placed_members, safe_members

if TYPE_CHECKING:
    _Base = Path
else:
    _Base = type(Path())  # Path itself cannot be derived from before Python 3.12


class _File(NamedTuple):
    """An archive, and what tells it from an earlier one of its name."""

    path: str
    size: int
    changed: int


_places: dict[str, tuple[_File, ...]] = {}
"""Archives, and folders that hold some, which paths may lead into; and the archives of each, sorted by name."""


@dataclass(frozen=True)
class _Tree:
    """What is in the archives of a place, by its name in the official layout, with slashes.

    Attributes:
        files: Name -> archive, and what it says of the file.
        folders: Name -> names of what is in it; the place itself is the empty name.
    """

    files: dict[str, tuple[_File, zipfile.ZipInfo]] = field(default_factory=dict)
    folders: dict[str, dict[str, None]] = field(default_factory=lambda: {"": {}})


_NOTHING = _Tree({}, {})


class ZippedPath(_Base):
    """A path below a folder of archives, or below an archive, as if they were unpacked there.

    What is in an archive comes before a file of the same name; all else is an ordinary path: results and caches are
    written beside the archives. It may be sent to other processes, each of which opens an archive for itself.
    """

    __slots__ = ()

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return _restored, (str(self), _place_of(self))

    def stat(self, *, follow_symlinks: bool = True) -> os.stat_result:
        """Size and kind of a file in an archive, and the times of the archive."""
        tree, name = _located(self)
        if name in tree.files:
            archive, info = tree.files[name]
            return _status(stat.S_IFREG | 0o444, info.file_size, archive.changed)
        if name in tree.folders and not os.path.isdir(self):  # noqa: PTH112 (would ask this method)
            return _status(stat.S_IFDIR | 0o555, 0, 0)
        return super().stat(follow_symlinks=follow_symlinks)

    def exists(self, **_: Any) -> bool:
        """Whether there is such a file or folder."""
        tree, name = _located(self)
        return name in tree.files or name in tree.folders or super().exists()

    def is_file(self, **_: Any) -> bool:
        """Whether it is a file."""
        tree, name = _located(self)
        return name in tree.files or (name not in tree.folders and super().is_file())

    def is_dir(self, **_: Any) -> bool:
        """Whether it is a folder; an archive is one."""
        tree, name = _located(self)
        return name in tree.folders or (name not in tree.files and super().is_dir())

    def iterdir(self) -> Generator["ZippedPath", None, None]:
        """What is in a folder."""
        tree, name = _located(self)
        inside = tree.folders.get(name, {})
        beside = os.listdir(self) if name not in tree.folders or os.path.isdir(self) else []  # noqa: PTH112, PTH208
        yield from (self / child for child in dict.fromkeys([*inside, *beside]))

    def glob(self, pattern: str, **_: Any) -> Iterator["ZippedPath"]:  # type: ignore[override]
        """Files below a folder by a pattern of `*`, `?` and `**`; folders in archives are left out."""
        tree, name = _located(self)
        above, expression = f"{name}/" if name else "", re.compile(_expression(pattern))
        inside = [
            one[len(above) :] for one in tree.files if one.startswith(above) and expression.fullmatch(one[len(above) :])
        ]
        beside = [one.relative_to(self).as_posix() for one in Path(self).glob(pattern)]
        return (self / one for one in dict.fromkeys([*inside, *beside]))

    def rglob(self, pattern: str, **_: Any) -> Iterator["ZippedPath"]:  # type: ignore[override]
        """Files at any depth by a pattern."""
        return self.glob(f"**/{pattern}")

    def open(self, mode: str = "r", buffering: int = -1, *words: Any, **options: Any) -> IO[Any]:  # type: ignore[override]
        """Open a file; one in an archive is read at once, and its CRC-32 checked.

        Raises:
            OSError: If it is damaged, or as of other files.
        """
        tree, name = _located(self)
        if name not in tree.files or {*mode} & {*"wax+"}:
            return super().open(mode, buffering, *words, **options)
        archive, info = tree.files[name]
        try:
            content = io.BytesIO(_opened(archive, os.getpid()).read(info))
        except Exception as error:  # zipfile raises whatever it stumbles over
            raise OSError(errno.EIO, f"it is damaged in the archive '{archive.path}' ({error})", str(self)) from error
        return content if "b" in mode else io.TextIOWrapper(content, *words, **options)

    def read_bytes(self) -> bytes:
        """The content of a file."""
        with self.open("rb") as file:
            content: bytes = file.read()
        return content

    def read_text(self, *words: Any, **options: Any) -> str:
        """The content of a text file."""
        with self.open("r", -1, *words, **options) as file:
            text: str = file.read()
        return text


def with_archives(place: Path) -> Path:
    """A folder with what is in the archives that lie in it, or an archive as a folder; else the path as it is."""
    archives = _archives(place)
    if not archives:
        return place
    _places[os.path.abspath(place)] = archives  # noqa: PTH100 (a string is wanted)
    return ZippedPath(place)


def _restored(path: str, place: str | None) -> ZippedPath:
    if place is not None and place not in _places:
        _places[place] = _archives(Path(place))
    return ZippedPath(path)


def _archives(place: Path) -> tuple[_File, ...]:
    """The archives of a place: itself, or those in it."""
    full = os.path.abspath(place)  # noqa: PTH100
    try:
        if os.path.isfile(full):  # noqa: PTH113
            paths = [full]
        else:
            paths = [os.path.join(full, name) for name in sorted(os.listdir(full)) if not name.startswith(".")]  # noqa: PTH118, PTH208
        found = [(path, os.stat(path)) for path in paths if path.lower().endswith(".zip")]  # noqa: PTH116
    except OSError:
        return ()
    return tuple(_File(path, status.st_size, status.st_mtime_ns) for path, status in found)


def _place_of(path: Path) -> str | None:
    """The innermost place that a path leads into, None: it is an ordinary path."""
    full = f"{os.path.abspath(path)}{os.sep}"  # noqa: PTH100
    return max((place for place in _places if full.startswith(f"{place}{os.sep}")), key=len, default=None)


def _located(path: Path) -> tuple[_Tree, str]:
    """The archives that a path leads into, and its name in them."""
    place = _place_of(path)
    if place is None:
        return _NOTHING, ""
    name = os.path.abspath(path)[len(place) :]  # noqa: PTH100
    return _tree(_places[place]), name.replace(os.sep, "/").removeprefix("/")


@cache  # processes that are forked have it, others make it anew
def _tree(archives: tuple[_File, ...]) -> _Tree:
    """What is in some archives; of two files of one name the first archive's counts.

    Raises:
        DataError: If one is no whole archive, or holds what it should not.
    """
    from dsrnss.data.sets import known_sets

    known = {archive.name.lower(): archive for kind in known_sets().values() for archive in kind.archives}
    tree = _Tree()
    for archive in archives:
        kind = known.get(Path(archive.path).name.lower())
        with open_archive(Path(archive.path), "download it again, or put it elsewhere") as opened:
            members = safe_members(opened) if kind is None else placed_members(opened, kind)
        for member in members:
            tree.files.setdefault(member.path, (archive, member.info))
            name = member.path
            while name:
                above, _, last = name.rpartition("/")
                inside = tree.folders.setdefault(above, {})
                if last in inside:
                    break
                inside[last] = None
                name = above
    return tree


@cache
def _opened(archive: _File, _process: int) -> zipfile.ZipFile:
    """An archive as this process reads it: the position in a file is shared with whoever it was forked from."""
    return zipfile.ZipFile(archive.path)


def _status(mode: int, size: int, changed: int) -> os.stat_result:
    """What the system would say of a file; `changed` is a time in nanoseconds."""
    seconds = changed // 10**9
    return os.stat_result((mode, 0, 0, 1, 0, 0, size, seconds, seconds, seconds), {"st_mtime_ns": changed})


def _expression(pattern: str) -> str:
    """A regular expression for a pattern of names with slashes."""
    parts = [
        "(?:[^/]+/)*" if part == "**" else "".join(_LETTERS.get(one, re.escape(one)) for one in part) + "/"
        for part in pattern.split("/")
    ]
    return "".join(parts).removesuffix("/")


_LETTERS = {"*": "[^/]*", "?": "[^/]"}
