"""Downloads of published files: resumed, checked, and never half under the final name."""

import contextlib
import errno
import hashlib
import http.client
import json
import os
import re
import shutil
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

from dsrnss import __version__
from dsrnss.errors import DownloadError
from dsrnss.writing import output_error

Progress = Callable[[int, int | None], None]
"""Called with the bytes that are here and the bytes in all, None where the server does not say."""

CHUNK = 2**20
ATTEMPTS = 4
"""How often a connection that is cut before it has brought a chunk is taken up again."""
TIMEOUT = 30.0
"""Seconds without an answer."""
_PAGE = (b"<!doctype html", b"<html", b"<head", b"<?xml")
BLANK = b" \t\r\n\xef\xbb\xbf"
"""What a text may begin with."""
_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS)


@dataclass(frozen=True)
class Source:
    """One place of a file.

    Attributes:
        url: Its address.
        sha256: The checksum, or as many of its first hexadecimal digits as are published; empty if none is.
    """

    url: str
    sha256: str = ""

    @property
    def file_name(self) -> str:
        """What the file is called."""
        return PurePosixPath(unquote(urlsplit(self.url).path)).name


class _Cut(Exception):
    """The connection ended before the file did."""


class _SameMethod(urllib.request.HTTPRedirectHandler):
    """Asks for the head alone also where a server sends it on to, as Python does from 3.13 on."""

    def redirect_request(self, req: urllib.request.Request, *words: Any) -> urllib.request.Request | None:
        request = super().redirect_request(req, *words)
        if request is not None:
            request.method = req.get_method()
        return request


def download(
    places: Sequence[tuple[Source, Path]], progress: Progress, check: Callable[[Path], None] | None = None
) -> Path:
    """Download a file from the first place that gives it.

    A download that was cut goes on where it stopped, also in another process; until it is complete it is called
    `NAME.part`. A second process waits for the first.

    Args:
        places: Places, and the file that each becomes.
        progress: Told of the bytes.
        check: Looks at the complete file before it gets its name, and raises `DownloadError` if it is not what was
            wanted; then it is deleted.

    Raises:
        DownloadError: If no place gives it: a line for each says why.
        OutputError: If it cannot be written, such as on a full disk.
    """
    failures = []
    for source, path in places:
        try:
            return _download(source, path, progress, check)
        except (DownloadError, OSError, http.client.HTTPException) as error:
            if isinstance(error, OSError) and error.errno in _DISK:
                raise output_error(path, error) from error
            failures.append(f"  {source.url}: {_reason(error)}")
    raise DownloadError("\n".join(failures))


def length(url: str) -> int | None:
    """Bytes of the file at an address; None if the server does not say, or does not answer."""
    try:
        with urllib.request.build_opener(_SameMethod).open(_request(url, "HEAD"), timeout=TIMEOUT) as answer:
            return int(answer.headers["Content-Length"])
    except (OSError, http.client.HTTPException, TypeError, ValueError):
        return None


def sha256(path: Path) -> str:
    """The checksum of a file, in hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def is_page(start: bytes) -> bool:
    """Whether a file that begins so is a web page, as servers send in the place of what they do not give."""
    return start.lstrip(BLANK).lower().startswith(_PAGE)


def _download(source: Source, path: Path, progress: Progress, check: Callable[[Path], None] | None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part")
    with _exclusive(part):
        if path.is_file():  # another process was faster
            part.unlink()
            return path
        stalled = 0
        while True:
            before = part.stat().st_size
            try:
                _continue(source, part, progress)
                break
            except DownloadError:
                if not before:
                    part.unlink()
                raise
            except (_Cut, http.client.IncompleteRead, ConnectionError, TimeoutError) as error:
                here = part.stat().st_size
                stalled = 0 if here - before >= CHUNK else stalled + 1
                if stalled >= ATTEMPTS or (here == before and stalled > 1):
                    raise DownloadError(f"the connection was cut after {size_in_words(here)}") from error
        try:
            if source.sha256 and not sha256(part).startswith(source.sha256):
                raise DownloadError("the checksum is wrong; what was downloaded is deleted")
            if check is not None:
                check(part)
        except DownloadError:
            _origin(part).unlink(missing_ok=True)
            part.unlink()
            raise
        part.replace(path)
        _origin(part).unlink(missing_ok=True)
    return path


def _request(url: str, method: str = "GET") -> urllib.request.Request:
    return urllib.request.Request(url, headers={"User-Agent": f"dsrnss/{__version__}"}, method=method)


def _continue(source: Source, part: Path, progress: Progress) -> None:
    """Ask for what is missing of the file and append it."""
    request = _request(source.url)
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
        resumed = _resumed(answer, start)
        done = start if resumed else 0
        # looked at before anything is overwritten: a page must not cost the part that is here
        chunk = answer.read(CHUNK)
        html = answer.headers.get_content_type() == "text/html" and chunk.startswith(b"<")
        if not resumed and (html or is_page(chunk)):
            sent = f" from '{answer.url}'" if answer.url != source.url else ""
            raise DownloadError(f"a web page (HTML) came{sent} instead of the file: the server may want a login")
        # kept, so that halves of two files are never joined; a weak tag (W/...) does not promise the same bytes
        tag = answer.headers.get("ETag") or "W/"
        validator = answer.headers.get("Last-Modified", "") if tag.startswith("W/") else tag
        if not resumed:  # before its origin is written: a kill in between must not leave old bytes of new origin
            part.write_bytes(b"")
        _origin(part).write_text(json.dumps({"url": source.url, "validator": validator}), encoding="utf-8")
        total = int(resumed[1]) if resumed and resumed[1] else _announced(answer, done)
        free = shutil.disk_usage(part.parent).free
        if total is not None and total - done > free:
            raise OSError(errno.ENOSPC, f"{size_in_words(total - done)} are needed and {size_in_words(free)} are free")
        with part.open("ab") as file:
            progress(done, total)
            while chunk:
                file.write(chunk)
                done += len(chunk)
                progress(done, total)
                chunk = answer.read(CHUNK)
            file.flush()
            os.fsync(file.fileno())
    if total is not None and done < total:
        raise _Cut


def _resumed(answer: Any, start: int) -> re.Match[str] | None:
    """What matches if an answer goes on from `start`; its group is the length of the whole file, if that is known."""
    span = answer.headers.get("Content-Range", "")
    return re.fullmatch(rf"bytes {start}-\d+/(?:(\d+)|\*)", span) if answer.status == 206 else None


def _announced(answer: Any, done: int) -> int | None:
    """Bytes that there are at the end of an answer, None if it does not say."""
    length = answer.headers.get("Content-Length")
    return done + int(length) if length else None


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
        wanted = ": it wants a login" if error.code in (401, 403, 407) else ""
        return f"the server answers {error.code} ({error.reason}){wanted}"
    if isinstance(error, urllib.error.URLError):
        return f"cannot be reached ({error.reason}); is there a network?"
    return str(error) or type(error).__name__


def size_in_words(count: float) -> str:
    """Bytes as people read them."""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"
