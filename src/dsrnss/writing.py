"""Files that appear whole or not at all; where one cannot be written, an `OutputError` says why in plain words."""

import errno
import hashlib
import os
import re
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

from dsrnss.errors import OutputError
from dsrnss.paths import expanded

_ADVICE = {
    errno.ENOSPC: "The disk is full: free some space or choose another folder.",
    errno.EDQUOT: "The disk quota is used up: free some space or choose another folder.",
    errno.EFBIG: "A file may not grow that large here (`ulimit -f`): choose another folder.",
    errno.EACCES: "No permission to write there: choose another folder.",
    errno.EPERM: "No permission to write there: choose another folder.",
    errno.EROFS: "The file system is read-only: choose another folder.",
}
_LONGEST_NAME = 255
"""Bytes that file systems allow."""


@contextmanager
def atomic(path: str | Path) -> Iterator[Path]:
    """Give a temporary path beside a file, which replaces the file when the block ends without an error.

    What a process that was killed has left half-written beside it is removed.

    Args:
        path: The file, `~` is expanded; its folder is made if need be.

    Raises:
        OutputError: If it cannot be written.
    """
    path = expanded(path)
    draft = draft_of(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _sweep(path.parent, os.getpid())
        yield draft
        draft.replace(path)
    except OSError as error:
        raise output_error(path, error) from error
    finally:
        # an error may have left it half written, or have removed its folder
        if draft.exists():
            draft.unlink()


def write_atomically(path: str | Path, data: bytes) -> None:
    """Write a file; its old content stays until the new one is complete.

    Args:
        path: The file, `~` is expanded; its folder is made if need be.
        data: Its content.

    Raises:
        OutputError: If it cannot be written.
    """
    with atomic(path) as draft:
        draft.write_bytes(data)


def draft_of(path: Path) -> Path:
    """The hidden name under which this process makes a file or folder: `.NAME.HOST-PID.ENDING`."""
    mark = f".{_host()}-{os.getpid()}{path.suffix}"
    room = _LONGEST_NAME - len(os.fsencode(mark)) - 1
    return path.with_name(f".{os.fsdecode(os.fsencode(path.stem)[:room])}{mark}")


def abandoned(folder: Path, name: str = "") -> list[Path]:
    """Drafts in a folder whose process no longer runs; those of other machines are not judged.

    Args:
        folder: Where to look.
        name: What the drafts were to become; empty: anything.
    """
    stem, ending = (re.escape(Path(name).stem), re.escape(Path(name).suffix)) if name else (".+", r"(?:\.[^.]*)?")
    pattern = re.compile(rf"\.{stem}\.{_host()}-(\d+){ending}", re.DOTALL)
    try:
        with os.scandir(folder) as entries:
            hidden = [entry.name for entry in entries if entry.name.startswith(".")]
    except OSError:
        return []
    found = ((name, pattern.fullmatch(name)) for name in hidden)
    return [folder / name for name, match in found if match and not _runs(int(match[1]))]


def prepare_folder(folder: str | Path) -> Path:
    """Make an output folder and try it, before minutes are spent on what cannot be written.

    Args:
        folder: The folder, `~` is expanded.

    Returns:
        The folder.

    Raises:
        OutputError: If it is a file, or cannot be written to.
    """
    folder = expanded(folder)
    try:
        if folder.exists() and not folder.is_dir():
            raise OutputError(f"The output folder '{folder}' is a file: choose another folder.")
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"\0")  # a full disk may still have room for an empty file
    except OSError as error:
        raise OutputError(f"Cannot write to the output folder '{folder}': {why_not_written(error)}") from error
    return folder


def prepare_file(path: str | Path) -> Path:
    """See that a file can be written, before minutes are spent on its content; one that is there stays as it is.

    Args:
        path: The file, `~` is expanded; its folder is made if need be.

    Returns:
        The file.

    Raises:
        OutputError: If it is a folder, or its folder cannot be written to.
    """
    path = expanded(path)
    prepare_folder(path.parent)
    if path.is_dir():
        raise OutputError(f"The output file '{path}' is a folder: give the name of a file in it.")
    return path


def output_error(path: Path, error: OSError) -> OutputError:
    """The error for a file or folder that cannot be written."""
    return OutputError(f"Cannot write '{path}': {why_not_written(error)}")


def why_not_written(error: OSError) -> str:
    """The reason in plain words, and what to do, ending with a full stop."""
    return f"{error.strerror or error}. {_ADVICE.get(error.errno or 0, '')}".rstrip()


@cache
def _host() -> str:
    """A short mark of this machine: the number of a process means nothing on another."""
    return hashlib.sha256(socket.gethostname().encode(errors="replace")).hexdigest()[:6]


def _runs(process: int) -> bool:
    if os.name != "posix":  # elsewhere asking ends the process
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


@cache  # once a folder and process: listing 100,000 files before each write would take hours
def _sweep(folder: Path, _process: int) -> None:
    for draft in abandoned(folder):
        with suppress(OSError):
            draft.unlink()
