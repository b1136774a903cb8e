"""Downloads of registered weights: resumed, checked, and never half under the final name."""

import contextlib
import errno
import hashlib
import http.client
import json
import os
import shutil
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

from dsrnss import __version__
from dsrnss.errors import CheckpointError, OutputError
from dsrnss.models.weights.registry import Entry, Source
from dsrnss.paths import cache_folder
from dsrnss.progress import counting
from dsrnss.writing import why_not_written

Progress = Callable[[int, int | None], None]
"""Called with the bytes that are here and the bytes in all, None where the server does not say."""

CHUNK = 2**20
ATTEMPTS = 4
"""How often a cut connection is taken up again."""
TIMEOUT = 30.0
"""Seconds without an answer."""


class _Cut(Exception):
    """The connection ended before the file did."""


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
    for source in entry.sources:
        path = target(entry, source)
        if path.is_file():
            check(path, source)
            return path
    failures = []
    for source in entry.sources:
        try:
            with counting(entry.name, "bytes") if progress is None else contextlib.nullcontext(progress) as told:
                return _download(source, target(entry, source), told)
        except (CheckpointError, OSError, http.client.HTTPException) as error:
            if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS):
                folder = cache_folder()
                raise OutputError(
                    f"Cannot write to the cache '{folder}': {why_not_written(error)} DSRNSS_CACHE names another folder."
                ) from error
            failures.append(f"  {source.url}: {_reason(error)}")
    first = target(entry, entry.sources[0])
    raise CheckpointError(
        f"'{entry.name}' could not be downloaded:\n" + "\n".join(failures) + "\nRun the command again to go on where "
        f"it stopped; or download a file by hand and put it at '{first}', or give its path instead of the name."
    )


def check(path: Path, source: Source) -> None:
    """Compare a file with its published checksum, if there is one.

    Raises:
        CheckpointError: If it is another file.
    """
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while source.sha256 and (chunk := file.read(CHUNK)):
            digest.update(chunk)
    if source.sha256 and not digest.hexdigest().startswith(source.sha256):
        raise CheckpointError(
            f"'{path}' has the sha256 {digest.hexdigest()[:16]}..., expected {source.sha256}...: it is damaged or "
            "another file. Delete it and fetch it again."
        )


def _download(source: Source, path: Path, progress: Progress) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part")
    with _exclusive(part):
        if path.is_file():  # another process was faster
            part.unlink()
            return path
        for attempt in range(1, ATTEMPTS + 1):
            before = part.stat().st_size
            try:
                _continue(source, part, progress)
                break
            except (_Cut, http.client.IncompleteRead, ConnectionError, TimeoutError) as error:
                here = part.stat().st_size
                if attempt == ATTEMPTS or (here == before and attempt > 1):
                    raise CheckpointError(f"the connection was cut after {_size(here)}") from error
        try:
            check(part, source)
        except CheckpointError:
            _origin(part).unlink(missing_ok=True)
            part.unlink()
            raise CheckpointError("the checksum is wrong; what was downloaded is deleted") from None
        part.replace(path)
        _origin(part).unlink(missing_ok=True)
    return path


def _continue(source: Source, part: Path, progress: Progress) -> None:
    """Ask for what is missing of the file and append it."""
    request = urllib.request.Request(source.url, headers={"User-Agent": f"dsrnss/{__version__}"})
    start, validator = part.stat().st_size, _validator(part, source)
    if start and (validator or (validator is not None and source.sha256)):  # else halves of two files might be joined
        request.add_header("Range", f"bytes={start}-")
        if validator:
            request.add_header("If-Range", validator)
    try:
        answer = urllib.request.urlopen(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code != 416:
            raise
        if error.headers.get("Content-Range", "") == f"bytes */{start}":
            return  # nothing was missing
        part.write_bytes(b"")
        raise _Cut from error
    with answer:
        resumed = answer.status == 206 and answer.headers.get("Content-Range", "").startswith(f"bytes {start}-")
        done = start if resumed else 0
        length = answer.headers.get("Content-Length")
        total = done + int(length) if length else None
        # kept, so that halves of two files are never joined; a weak tag (W/...) does not promise the same bytes
        tag = answer.headers.get("ETag") or "W/"
        validator = answer.headers.get("Last-Modified", "") if tag.startswith("W/") else tag
        if not resumed:  # before its origin is written: a kill in between must not leave old bytes of new origin
            part.write_bytes(b"")
        _origin(part).write_text(json.dumps({"url": source.url, "validator": validator}), encoding="utf-8")
        free = shutil.disk_usage(part.parent).free
        if total is not None and total - done > free:
            raise OSError(errno.ENOSPC, f"{_size(total - done)} are needed and {_size(free)} are free")
        with part.open("ab") as file:
            progress(done, total)
            while chunk := answer.read(CHUNK):
                file.write(chunk)
                done += len(chunk)
                progress(done, total)
            file.flush()
            os.fsync(file.fileno())
    if total is not None and done < total:
        raise _Cut


def _origin(part: Path) -> Path:
    """The file that says where a part comes from."""
    return part.with_name(f"{part.name}.json")


def _validator(part: Path, source: Source) -> str | None:
    """What tells the server's file from a later one; None if the part must be begun anew."""
    try:
        known = json.loads(_origin(part).read_text(encoding="utf-8"))
        return str(known["validator"]) if known["url"] == source.url else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


@contextlib.contextmanager
def _exclusive(part: Path) -> Iterator[None]:
    """Make the part if need be, and wait until no other process writes it."""
    try:
        import fcntl
    except ImportError:  # Windows refuses a second writer by itself
        part.touch()
        yield
        return
    while True:
        with part.open("ab") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            # whoever had it before may have renamed or deleted it, and a third one begun anew
            try:
                same = os.path.samestat(os.fstat(file.fileno()), part.stat())
            except FileNotFoundError:
                same = False
            if same:
                yield
                return


def _reason(error: Exception) -> str:
    if isinstance(error, urllib.error.HTTPError):
        return f"the server answers {error.code} ({error.reason})"
    if isinstance(error, urllib.error.URLError):
        return f"cannot be reached ({error.reason}); is there a network?"
    return str(error) or type(error).__name__


def _size(count: int) -> str:
    return f"{count / 1e6:.1f} MB"
