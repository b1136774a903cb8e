"""Files that appear whole or not at all, and why one could not be written, in plain words."""

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dsrnss.errors import ConfigError


@contextmanager
def draft_of(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path`, which replaces `path` when the block ends without an error.

    The folder is made if need be.

    Raises:
        OSError: If the file cannot be written.
    """
    draft = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield draft
        draft.replace(path)
    finally:
        # an error may have left it half written, or have removed its folder
        if draft.exists():
            draft.unlink()


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file; its old content stays until the new one is complete.

    Raises:
        OSError: If it cannot be written.
    """
    with draft_of(path) as draft:
        draft.write_bytes(data)


def prepare_folder(folder: Path) -> None:
    """Make an output folder and try it, before minutes are spent on what cannot be written.

    Raises:
        ConfigError: If it is a file, or cannot be written to.
    """
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"The output folder '{folder}' is a file: give another --out.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ConfigError(f"Cannot write to the output folder '{folder}': {why_not_written(error)}") from error


def why_not_written(error: OSError) -> str:
    """The reason in plain words, and what to do, ending with a full stop."""
    advice = {
        errno.ENOSPC: "The disk is full: free some space or choose another folder.",
        errno.EDQUOT: "The disk quota is used up: free some space or choose another folder.",
        errno.EACCES: "No permission to write there: choose another folder.",
        errno.EPERM: "No permission to write there: choose another folder.",
        errno.EROFS: "The file system is read-only: choose another folder.",
    }.get(error.errno or 0, "")
    return f"{error.strerror or error}. {advice}".rstrip()
