"""Writing the files of a data set, with typed errors."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dsrnss.errors import DataError
from dsrnss.writing import draft_of, why_not_written


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path`, which replaces `path` when the block ends without an error.

    Raises:
        DataError: If the file cannot be written (disk full, no permission, ...).
    """
    try:
        with draft_of(path) as draft:
            yield draft
    except OSError as error:
        raise write_error(path, error) from error


def write_error(path: Path, error: OSError) -> DataError:
    """The error for a file or folder that cannot be written, with its reason in plain words."""
    return DataError(f"Cannot write '{path}': {why_not_written(error)}")
