"""Downloads of registered weights to the cache."""

import contextlib
from pathlib import Path

from dsrnss.downloading import Progress, Source, download, sha256
from dsrnss.errors import CheckpointError, DownloadError, OutputError
from dsrnss.models.weights.registry import Entry
from dsrnss.paths import cache_folder
from dsrnss.progress import counting


def cached(entry: Entry) -> Path | None:
    """The file of an entry in the cache, if it is there."""
    return next((path for source in entry.sources if (path := target(entry, source)).is_file()), None)


def target(entry: Entry, source: Source) -> Path:
    """Where a source's file is kept in the cache."""
    return cache_folder() / entry.folder / source.file_name


def fetch(entry: Entry, progress: Progress | None = None) -> Path:
    """The file of an entry, downloaded unless it is in the cache.

    Args:
        entry: What to get.
        progress: Told of the bytes; by default a bar on the terminal.

    Raises:
        CheckpointError: If no source can be reached, or a checksum is wrong; the message says what to do by hand.
        OutputError: If the cache cannot be written, such as on a full disk.
    """
    places = [(source, target(entry, source)) for source in entry.sources]
    for source, path in places:
        if path.is_file():
            check(path, source)
            return path
    try:
        with counting(entry.name, "bytes") if progress is None else contextlib.nullcontext(progress) as told:
            return download(places, told)
    except OutputError as error:
        raise OutputError(f"{error} DSRNSS_CACHE names another folder.") from error
    except DownloadError as error:
        hint = "; the address must be that of the file itself (on Hugging Face .../resolve/..., not .../blob/...)"
        failures = f"{error}{hint}" if "://" in entry.name else f"{error}"
        raise CheckpointError(
            f"'{entry.name}' could not be downloaded:\n{failures}\nRun the command again to go on where it stopped; or "
            f"download a file by hand and put it at '{places[0][1]}', or give its path instead of the name."
        ) from error


def check(path: Path, source: Source) -> None:
    """Compare a file with its published checksum, if there is one.

    Raises:
        CheckpointError: If it is another file.
    """
    if source.sha256 and not (found := sha256(path)).startswith(source.sha256):
        raise CheckpointError(
            f"'{path}' has the sha256 {found[:16]}..., expected {source.sha256}...: it is damaged or "
            "another file. Delete it and fetch it again."
        )
