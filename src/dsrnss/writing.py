"""Files that appear whole or not at all, and why one could not be written, in plain words."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


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
