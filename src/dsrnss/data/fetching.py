"""Data sets brought into their official layout: downloaded, or from zip files that were downloaded by hand."""

import json
import logging
import re
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dsrnss.data.archives import Archive, check_room, open_archive, placed_members, unpack
from dsrnss.downloading import Source, download, length
from dsrnss.errors import ConfigError, DataError, DatasetNotFoundError, DownloadError, did_you_mean
from dsrnss.writing import prepare_folder, write_atomically

if TYPE_CHECKING:
    from dsrnss.data.files import FileDataset

Display = Callable[[str, str], AbstractContextManager[Callable[[int, int | None], None]]]
"""Shows what is counted, in which unit; see `dsrnss.progress.counting`."""
_OWN = ".dsrnss"
"""In the folder of a set: what this package keeps there."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Part:
    """A part of a set that is there, or is not.

    Attributes:
        name: Such as `DarkZurich/val`.
        pictures: How many were found, None: it is not there, or cannot be used yet.
        official: How many there should be, None: not known.
        remark: Why it cannot be used yet; empty if it is only not there.
    """

    name: str
    pictures: int | None
    official: int | None
    remark: str = ""


def wanted_archives(kind: "type[FileDataset]", parts: Sequence[str] = ()) -> list[Archive]:
    """The archives that some parts of a set lie in.

    Args:
        kind: The class of the set.
        parts: Names of parts; none: all.

    Raises:
        ConfigError: If there is no such part.
    """
    known = list(dict.fromkeys(part for archive in kind.archives for part in archive.parts))
    for part in parts:
        if part not in known:
            raise ConfigError(f"{kind.folder} has no part '{part}'.{did_you_mean(part, known)}")
    return [archive for archive in kind.archives if not parts or {*parts} & {*archive.parts}]


def fetch(kind: "type[FileDataset]", out: Path, show: Display, parts: Sequence[str] = (), *, zipped: bool) -> Path:
    """Download a set that needs no login, and unpack it; a run that was stopped goes on where it was.

    Args:
        kind: The class of the set.
        out: Folder of all sets, $DATA_DIR.
        show: Shows the progress of each archive.
        parts: What of it; none: all.
        zipped: Whether the archives stay as they are, to be read without being unpacked.

    Returns:
        The folder of the set.

    Raises:
        ConfigError: If there is no such part.
        DataError: If the set needs a login, or an archive is damaged or holds what it should not.
        DownloadError: If it cannot be downloaded.
        OutputError: If there is no room for it, or it cannot be written.
    """
    archives = [archive for archive in wanted_archives(kind, parts) if archive.urls]
    if not archives:
        raise DataError(by_hand(kind))
    root = prepare_folder(out / kind.folder)
    missing = [archive for archive in archives if not _is_done(root, archive)]
    for archive in archives:
        if archive not in missing:
            _log.info("'%s' was unpacked before (delete '%s' to fetch it again).", archive.name, _mark(root, archive))
    _check_room(root, missing, zipped=zipped)
    for archive in missing:
        place = root / archive.name
        ours = not zipped and not place.is_file()  # what somebody put there stays
        place = root / _OWN / archive.name if ours else place
        _download(archive, place, show)
        if not zipped:
            _unpack(place, archive, root, show, ours=ours)
    return root


def unpack_from(kind: "type[FileDataset]", folder: Path, out: Path, show: Display, parts: Sequence[str] = ()) -> Path:
    """Unpack archives of a set that were downloaded by hand; they stay.

    Args:
        kind: The class of the set.
        folder: Where they are.
        out: Folder of all sets, $DATA_DIR.
        show: Shows the progress of each archive.
        parts: What of it; none: all.

    Returns:
        The folder of the set.

    Raises:
        ConfigError: If there is no such part.
        DataError: If none is there, or one is damaged or another file.
        OutputError: If there is no room for it, or it cannot be written.
    """
    archives = wanted_archives(kind, parts)
    found = {archive: path for archive in archives if (path := _by_hand(folder, archive.name)) is not None}
    if not found:
        raise DataError(f"'{folder}' holds no archive of {kind.folder}: {by_hand(kind)}")
    root = prepare_folder(out / kind.folder)
    for archive, path in found.items():
        _unpack(path, archive, root, show)
    absent = [one.name for one in archives if not any(_same_folders(one, other) for other in found)]
    if absent:
        _log.info("Not in '%s', and so not unpacked: %s.", folder, ", ".join(absent))
    return root


def by_hand(kind: "type[FileDataset]") -> str:
    """What to do for a set whose archives are downloaded by hand."""
    names = ", ".join(archive.name for archive in kind.archives)
    command = f"dsrnss data fetch {kind.key} --from DIR"
    return f"{kind.folder}: log in at {kind.url}, download {names} into one folder DIR, and run `{command}`."


def found_parts(kind: "type[FileDataset]", root: Path) -> list[Part]:
    """Which parts of a set are there, and how many pictures each has."""
    parts = []
    for name, dataset in kind.all_parts(root).items():
        # ACDC/night/train is counted as train/night
        official = kind.counts.get("/".join(reversed(name.split("/")[1:])))
        try:
            parts.append(Part(name, len(dataset), official))
        except DatasetNotFoundError:
            parts.append(Part(name, None, official))
        except DataError as error:
            parts.append(Part(name, None, official, str(error)))
    return parts


def _download(archive: Archive, path: Path, show: Display) -> None:
    def check(part: Path) -> None:
        try:
            with open_archive(part, "it is deleted") as opened:
                placed_members(opened, archive)
        except DataError as error:
            raise DownloadError(str(error)) from error

    if path.is_file():
        return
    places = [(Source(url, archive.sha256), path) for url in archive.urls]
    try:
        with show(archive.name, "bytes") as progress:
            download(places, progress, check)
    except DownloadError as error:
        raise DownloadError(
            f"'{archive.name}' could not be downloaded:\n{error}\nRun the command again to go on where it stopped; or "
            "download the file by hand into a folder DIR, and add --from DIR."
        ) from error
    if not archive.sha256:
        _log.info("No checksum is published for '%s': its files are compared with the CRC-32 in the zip.", archive.name)


def _unpack(path: Path, archive: Archive, root: Path, show: Display, *, ours: bool = False) -> None:
    """Unpack an archive and note it; one of ours is deleted then, and also where it turns out to be damaged."""
    try:
        with show(f"files of {archive.name}", "") as progress:
            files = unpack(path, archive, root, progress)
    except DataError as error:
        if not ours:
            raise
        path.unlink()
        raise DataError(f"{error} It is deleted: run the command again.") from error
    note = {"archive": archive.name, "urls": archive.urls, "files": files}
    write_atomically(_mark(root, archive), json.dumps(note, indent=1).encode())
    if ours:
        path.unlink(missing_ok=True)  # another process may have done the same


def _check_room(root: Path, archives: Sequence[Archive], *, zipped: bool) -> None:
    """See that archives and what they become have room, as far as the servers tell how long they are.

    Pictures hardly shrink in a zip: unpacked, an archive takes its own length once more, until it is deleted.
    """
    lengths = [length(archive.urls[0]) or 0 for archive in archives if not (root / archive.name).is_file()]
    parts = [path for path in (root, root / _OWN) if path.is_dir() for path in path.glob("*.zip*")]
    here = sum(path.stat().st_size for path in parts if not path.name.endswith(".json"))
    needed = sum(lengths) if zipped else sum(lengths) + max(lengths, default=0)
    check_room(root, max(0, needed - here), "for the archives" if zipped else "for the archives and what is in them")


def _is_done(root: Path, archive: Archive) -> bool:
    """Whether an archive was unpacked, and what it held is still there."""
    return _mark(root, archive).is_file() and any((root / folder).is_dir() for folder in archive.folders)


def _mark(root: Path, archive: Archive) -> Path:
    return root / _OWN / f"{archive.name}.json"


def _by_hand(folder: Path, name: str) -> Path | None:
    """An archive in a folder; browsers write `name (1).zip` where they have downloaded it before."""
    pattern = re.compile(rf"{re.escape(Path(name).stem)}( ?\(\d+\))?\.zip", re.IGNORECASE)
    try:
        found = sorted(path for path in folder.iterdir() if pattern.fullmatch(path.name) and path.is_file())
    except OSError as error:
        raise DataError(f"Cannot look into '{folder}' for archives: {error.strerror}.") from error
    return found[0] if found else None


def _same_folders(one: Archive, other: Archive) -> bool:
    """Whether one archive holds what the other does, or a part of it."""
    return any(f"{a}/".startswith(f"{b}/") or f"{b}/".startswith(f"{a}/") for a in one.folders for b in other.folders)
