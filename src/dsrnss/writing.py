"""Files that appear whole or not at all; where one cannot be written, an `OutputError` says why in plain words."""

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dsrnss.errors import OutputError

_ADVICE = {
    errno.ENOSPC: "The disk is full: free some space or choose another folder.",
    errno.EDQUOT: "The disk quota is used up: free some space or choose another folder.",
    errno.EACCES: "No permission to write there: choose another folder.",
    errno.EPERM: "No permission to write there: choose another folder.",
    errno.EROFS: "The file system is read-only: choose another folder.",
}


@contextmanager
def atomic(path: str | Path) -> Iterator[Path]:
    """Give a temporary path beside a file, which replaces the file when the block ends without an error.

    Args:
        path: The file, `~` is expanded; its folder is made if need be.

    Raises:
        OutputError: If it cannot be written.
    """
    path = Path(path).expanduser()
    draft = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
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


def prepare_folder(folder: str | Path) -> Path:
    """Make an output folder and try it, before minutes are spent on what cannot be written.

    Args:
        folder: The folder, `~` is expanded.

    Returns:
        The folder.

    Raises:
        OutputError: If it is a file, or cannot be written to.
    """
    folder = Path(folder).expanduser()
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"The output folder '{folder}' is a file: choose another folder.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise OutputError(f"Cannot write to the output folder '{folder}': {why_not_written(error)}") from error
    return folder


def output_error(path: Path, error: OSError) -> OutputError:
    """The error for a file or folder that cannot be written."""
    return OutputError(f"Cannot write '{path}': {why_not_written(error)}")


def why_not_written(error: OSError) -> str:
    """The reason in plain words, and what to do, ending with a full stop."""
    return f"{error.strerror or error}. {_ADVICE.get(error.errno or 0, '')}".rstrip()
