"""The zip archives that data sets are published in: what is in them, and unpacking that does not trust them."""

import re
import shutil
import stat
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from dsrnss.downloading import size_in_words
from dsrnss.errors import DataError, OutputError
from dsrnss.writing import atomic, output_error

if TYPE_CHECKING:
    from dsrnss.data.parallel import Progress

_LARGEST_RATIO, _SMALL = 30, 10**8
"""Unpacked bytes for each byte of an archive, and a number of bytes that is no danger: pictures hardly shrink."""
_CHUNK = 2**20
_ENCRYPTED = 0x1


@dataclass(frozen=True)
class Archive:
    """A zip archive of a data set.

    Attributes:
        name: What the file is called where it is published.
        folders: Folders of the official layout that it holds, each as seen from the set's own folder.
        parts: Parts of the set that it is needed for.
        urls: Addresses that need no login, tried in this order; none: an account is needed.
        sha256: Its checksum, empty if none is published.
    """

    name: str
    folders: tuple[str, ...]
    parts: tuple[str, ...]
    urls: tuple[str, ...] = ()
    sha256: str = ""


@dataclass(frozen=True)
class Member:
    """A file in an archive.

    Attributes:
        path: Where it belongs, below the folder of the set, with slashes.
        info: What the archive says of it.
    """

    path: str
    info: zipfile.ZipInfo


def open_archive(path: Path, advice: str) -> zipfile.ZipFile:
    """Open a zip archive.

    Args:
        path: The file.
        advice: What to do if it is none, a sentence without its full stop.

    Raises:
        DataError: If it is missing or no whole zip archive.
    """
    try:
        return zipfile.ZipFile(path)
    except FileNotFoundError as error:
        raise DataError(f"File not found: '{path}'.") from error
    except Exception as error:  # zipfile raises whatever it stumbles over
        raise DataError(f"'{path}' is no whole zip archive ({error}): {advice}.") from error


def safe_members(archive: zipfile.ZipFile) -> list[Member]:
    """The files of an archive by their own names; folders and what systems and editors leave behind are left out.

    Raises:
        DataError: If it holds what a data set does not: names that lead out of the folder, links, a password, two files
            of one name, or far more bytes than it is long.
    """
    found: dict[str, Member] = {}
    for info in archive.infolist():
        name, mode = info.filename, info.external_attr >> 16
        parts = name.rstrip("/").split("/")
        if name.startswith("/") or "\\" in name or ":" in parts[0] or {"", ".", ".."} & {*parts}:
            raise _refused(archive, f"'{name}' would be written outside of the data set")
        if stat.S_ISLNK(mode):
            raise _refused(archive, f"'{name}' is a link")
        if info.is_dir() or parts[0] == "__MACOSX" or any(part.startswith(".") for part in parts):
            continue
        if info.flag_bits & _ENCRYPTED:
            raise _refused(archive, f"'{name}' asks for a password")
        if name in found:
            raise _refused(archive, f"'{name}' is there twice")
        found[name] = Member(name, info)
    unpacked = sum(member.info.file_size for member in found.values())
    packed = Path(str(archive.filename)).stat().st_size
    if unpacked > _LARGEST_RATIO * packed + _SMALL:
        raise _refused(archive, f"{size_in_words(packed)} become {size_in_words(unpacked)}, which no pictures do")
    return [*found.values()]


def placed_members(archive: zipfile.ZipFile, kind: Archive) -> list[Member]:
    """The files of an archive by their places in the official layout.

    Folders around the official ones are left out, and those that are missing around them are added.

    Raises:
        DataError: If it holds none of the official folders, or what `safe_members` refuses.
    """
    members = safe_members(archive)
    stripped, added = _wrapping(members, kind.folders)
    if stripped is None:
        raise DataError(
            f"'{archive.filename}' holds none of the folders {', '.join(kind.folders)} of {kind.name}: is it another "
            "file under this name? Download it again."
        )
    return [
        Member(f"{added}{one.path.removeprefix(stripped)}" if one.path.startswith(stripped) else one.path, one.info)
        for one in members
    ]


def _wrapping(members: Sequence[Member], folders: Sequence[str]) -> tuple[str | None, str]:
    """What stands before the official folders in the names of members, and what is missing of them; None: not there."""
    homes = list(dict.fromkeys(f"{PurePosixPath(member.path).parent}/" for member in members))
    # part of a folder is not enough where two might be meant
    shortest = 1 if len(folders) == 1 else None
    wanted = [(folder, folder) for folder in folders]
    for folder in folders if shortest else ():
        parts = folder.split("/")
        wanted += [(folder, "/".join(parts[start:])) for start in range(1, len(parts))]
    for folder, ending in wanted:
        for home in homes:
            place = f"/{home}".find(f"/{ending}/")
            if place >= 0:
                return home[:place], folder.removesuffix(ending)
    return None, ""


def unpack(path: Path, kind: Archive, root: Path, progress: "Progress") -> int:
    """Unpack an archive into the folder of its set, file by file; what is there already is not written again.

    Each file appears whole or not at all, and its CRC-32 is checked before: a run that was killed goes on where it was.

    Args:
        path: The zip file.
        kind: Which one it is.
        root: Folder of the set.
        progress: Called with (files done, files in all).

    Returns:
        Number of files.

    Raises:
        DataError: If it is damaged, or holds what it should not.
        OutputError: If there is no room for it, or a file cannot be written.
    """
    with open_archive(path, "download it again") as archive:
        members = placed_members(archive, kind)
        missing = [member for member in members if not _is_there(root / member.path, member.info)]
        check_room(root, sum(member.info.file_size for member in missing), f"to unpack '{path.name}'")
        progress(len(members) - len(missing), len(members))
        for done, member in enumerate(missing, len(members) - len(missing) + 1):
            _write(archive, member, root / member.path)
            progress(done, len(members))
    return len(members)


def check_room(folder: Path, needed: int, what: str) -> None:
    """See that there is room on a disk.

    Args:
        folder: A folder on it, which need not exist yet.
        needed: Bytes.
        what: What they are needed for, for the message.

    Raises:
        OutputError: If there is not.
    """
    place = next(one for one in (folder.absolute(), *folder.absolute().parents) if one.exists())
    free = shutil.disk_usage(place).free
    if needed > free:
        raise OutputError(
            f"{size_in_words(needed)} are needed {what}, and {size_in_words(free)} are free in '{place}': free some "
            "space or choose another folder."
        )


def _is_there(path: Path, info: zipfile.ZipInfo) -> bool:
    """Whether a file has the content that an archive says it has."""
    if not path.is_file() or path.stat().st_size != info.file_size:
        return False
    crc = 0
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            crc = zlib.crc32(chunk, crc)
    return crc == info.CRC


def _write(archive: zipfile.ZipFile, member: Member, path: Path) -> None:
    with atomic(path) as draft, draft.open("wb") as file:
        try:
            content = archive.open(member.info)
            while chunk := content.read(_CHUNK):
                try:
                    file.write(chunk)
                except OSError as error:
                    raise output_error(path, error) from error
        except OutputError:
            raise
        except Exception as error:  # zipfile raises whatever it stumbles over
            raise DataError(f"'{member.info.filename}' in '{archive.filename}' is damaged: {error}.") from error


def _refused(archive: zipfile.ZipFile, why: str) -> DataError:
    return DataError(
        f"'{archive.filename}' is not unpacked: {re.sub(r'[^ -~]', '?', why)}. This is not the published file; "
        "download it again."
    )
