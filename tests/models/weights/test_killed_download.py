"""`dsrnss weights fetch`, killed at any moment and run several times at once, against a server on this machine."""

import hashlib
import http.server
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from dsrnss import downloading
from dsrnss.downloading import Source
from dsrnss.errors import CheckpointError
from dsrnss.models.weights import download, resolve
from dsrnss.models.weights.registry import Entry
from dsrnss.paths import cache_folder

CONTENT = np.random.default_rng(0).bytes(3_000_000)
DIGEST = hashlib.sha256(CONTENT).hexdigest()
CHUNK = 50_000

_FETCH = """
import sys
from dsrnss import downloading
from dsrnss.cli import main
from dsrnss.downloading import Source
from dsrnss.models.weights.registry import REGISTRY, Entry
downloading.CHUNK = 10_000
REGISTRY["thing"] = Entry("thing", "a thing", "x", (Source(sys.argv[1], sys.argv[2]),))
sys.exit(main(["weights", "fetch", "thing"]))
"""


class _Slow(http.server.BaseHTTPRequestHandler):
    """Serves `content` in pieces with pauses, as of `tag`; with ranges."""

    content: ClassVar[bytes] = CONTENT
    tag: ClassVar[str] = '"one"'
    pause: ClassVar[float] = 0.01
    asked: ClassVar[list[str | None]] = []

    def do_GET(self) -> None:
        content, tag = self.content, self.tag
        self.asked.append(self.headers.get("Range"))
        start = 0
        if (wanted := self.headers.get("Range")) and self.headers.get("If-Range", tag) == tag:
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
        if start >= len(content):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(content)}")
            self.end_headers()
            return
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(content) - start))
        if tag:
            self.send_header("ETag", tag)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.end_headers()
        try:
            for begin in range(start, len(content), CHUNK):
                self.wfile.write(content[begin : begin + CHUNK])
                time.sleep(self.pause)
        except ConnectionError:  # whoever asked was killed
            pass

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("DSRNSS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(_Slow, "asked", [])
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Slow) as served:
        thread = threading.Thread(target=served.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{served.server_address[1]}/thing.pth"
        served.shutdown()
        thread.join()


def fetching(url: str, digest: str = DIGEST) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", _FETCH, url, digest], stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )


def finish(process: subprocess.Popen[bytes]) -> tuple[int, str]:
    said, _ = process.communicate(timeout=60)
    return process.returncode, said.decode()


@pytest.mark.parametrize("checksum", [DIGEST, ""])
def test_killed_at_any_moment(server: str, tmp_path: Path, checksum: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """At twenty moments in all; where no checksum is known, the server's file changes in between."""
    # each goes on where the last one stopped: together they must not reach the end before most were killed
    monkeypatch.setattr(_Slow, "pause", 0.05)
    rng = np.random.default_rng(1 if checksum else 2)
    final = tmp_path / "cache" / "thing" / "thing.pth"
    versions = [CONTENT] if checksum else [CONTENT, CONTENT[::-1]]
    killed = resumed = 0
    try:
        for number in range(10):
            _Slow.content, _Slow.tag = versions[number % len(versions)], f'"{number % len(versions)}"'
            process = fetching(server, checksum)
            # most of them while it downloads, some before
            deadline, before = time.monotonic() + 30, len(_Slow.asked)
            while number % 4 and len(_Slow.asked) == before and time.monotonic() < deadline:
                time.sleep(0.002)
            time.sleep(float(rng.uniform(0, 0.5)))
            process.send_signal(signal.SIGKILL)
            finish(process)
            killed += process.returncode == -signal.SIGKILL
            resumed += any(_Slow.asked[before:])
            if final.exists():
                assert final.read_bytes() in versions
                final.unlink()
        code, said = finish(fetching(server, checksum))
        assert code == 0, said
        assert final.read_bytes() == _Slow.content
        assert sorted(path.name for path in final.parent.iterdir()) == ["thing.pth"]
        assert killed >= 8
        assert resumed >= 1
    finally:
        _Slow.content, _Slow.tag = CONTENT, '"one"'


def test_several_at_once(server: str, tmp_path: Path) -> None:
    """One downloads, the others wait for it, also if it is killed."""
    processes = [fetching(server) for _ in range(4)]
    time.sleep(1.0)
    processes[0].send_signal(signal.SIGKILL)
    codes = [finish(process) for process in processes]
    assert all(code == 0 for code, _ in codes[1:]), codes
    folder = tmp_path / "cache" / "thing"
    assert hashlib.sha256((folder / "thing.pth").read_bytes()).hexdigest() == DIGEST
    assert [path.name for path in folder.iterdir()] == ["thing.pth"]
    assert sum(asked is None for asked in _Slow.asked) == 1  # whoever follows goes on where the first stopped


def test_several_at_once_of_which_all_get_a_wrong_file(server: str, tmp_path: Path) -> None:
    processes = [fetching(server, "0" * 8) for _ in range(3)]
    for code, said in map(finish, processes):
        assert code == 1
        assert "checksum is wrong" in said
    assert [path.name for path in (tmp_path / "cache" / "thing").iterdir()] == []


def test_old_bytes_are_never_taken_for_those_of_a_new_file(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed at the worst moment: the new file's answer is here, and not one byte of it."""
    monkeypatch.setattr(_Slow, "pause", 0)
    entry = Entry("thing", "a thing", "x", (Source(server),))
    path = download.target(entry, entry.sources[0])
    path.parent.mkdir(parents=True)
    path.with_name("thing.pth.part").write_bytes(CONTENT[::-1][:100_000])
    path.with_name("thing.pth.part.json").write_text(f'{{"url": "{server}", "validator": "\\"old\\""}}')

    class Killed(BaseException):
        pass

    def kill(*_: object) -> None:
        raise Killed

    monkeypatch.setattr(downloading.shutil, "disk_usage", kill)
    with pytest.raises(Killed):
        download.fetch(entry)
    monkeypatch.undo()
    os.environ["DSRNSS_CACHE"] = str(path.parents[1])
    monkeypatch.setattr(_Slow, "pause", 0)
    try:
        assert download.fetch(entry).read_bytes() == CONTENT
    finally:
        del os.environ["DSRNSS_CACHE"]


def test_without_a_mark_of_its_version_a_file_without_checksum_is_begun_anew(
    server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_Slow, "pause", 0)
    monkeypatch.setattr(_Slow, "tag", "")
    entry = Entry("thing", "a thing", "x", (Source(server),))
    path = download.target(entry, entry.sources[0])
    path.parent.mkdir(parents=True)
    path.with_name("thing.pth.part").write_bytes(CONTENT[::-1][:100_000])
    path.with_name("thing.pth.part.json").write_text(f'{{"url": "{server}", "validator": ""}}')
    assert download.fetch(entry).read_bytes() == CONTENT


def test_an_address_is_fetched_once_and_says_that_it_has_no_checksum(
    server: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "dsrnss")
    monkeypatch.setattr(_Slow, "pause", 0)
    path = resolve(server)
    assert path.read_bytes() == CONTENT
    assert path.is_relative_to(cache_folder())
    assert path.name == "thing.pth"
    assert f"No checksum is known for '{server}'" in caplog.text
    assert resolve(server) == path
    assert len(_Slow.asked) == 1
    assert resolve(f"{server}?version={'2' * 300}") != path  # another address, another file


@pytest.mark.parametrize("page", [b"<!DOCTYPE html><html>Sign in</html>", b"\n\n<html>"])
def test_an_address_of_a_page_is_named_and_not_kept(server: str, monkeypatch: pytest.MonkeyPatch, page: bytes) -> None:
    monkeypatch.setattr(_Slow, "content", page)
    with pytest.raises(CheckpointError, match=r"web page.*/resolve/.*/blob/"):
        resolve(server)
    assert not [path for path in cache_folder().rglob("*") if path.is_file()]


@pytest.mark.parametrize("end", ["", "..", "%2e%2e", "a/..", "%00.pth"])
def test_addresses_that_name_no_file(server: str, tmp_path: Path, end: str) -> None:
    address = f"{server.removesuffix('thing.pth')}{end}"
    with pytest.raises(CheckpointError, match=r"address of no file|No model at"):
        resolve(address)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_an_address_that_does_not_answer(server: str) -> None:
    with pytest.raises(CheckpointError, match=r"(?s)'http://127\.0\.0\.1:9/x\.pth' could not be downloaded"):
        resolve("http://127.0.0.1:9/x.pth")
