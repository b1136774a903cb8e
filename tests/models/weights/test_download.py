"""Downloads are resumed, checked, and never half under their final name."""

import hashlib
import http.server
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

from dsrnss import downloading
from dsrnss.downloading import Source
from dsrnss.errors import CheckpointError, OutputError
from dsrnss.models.weights import download, resolve, resolving
from dsrnss.models.weights.registry import REGISTRY, Entry
from dsrnss.paths import cache_folder

CONTENT = bytes(range(256)) * 4000
DIGEST = hashlib.sha256(CONTENT).hexdigest()


class _Server(http.server.BaseHTTPRequestHandler):
    """Serves CONTENT with ranges; cuts each of the first `cuts` answers after `cut_after` bytes."""

    cuts: ClassVar[int] = 0
    cut_after: ClassVar[int] = 300_000
    etag: ClassVar[str] = '"one"'
    content: ClassVar[bytes] = CONTENT
    ranges: ClassVar[list[str | None]] = []

    def do_GET(self) -> None:
        asked = self.headers.get("Range")
        self.ranges.append(asked)
        if self.path.startswith("/missing"):
            self.send_error(404)
            return
        start = 0
        if asked and self.headers.get("If-Range", self.etag) == self.etag:
            start = int(asked.removeprefix("bytes=").removesuffix("-"))
        if start >= len(self.content):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(self.content)}")
            self.end_headers()
            return
        body = self.content[start:]
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", self.etag)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(self.content) - 1}/{len(self.content)}")
        self.end_headers()
        if type(self).cuts > 0:
            type(self).cuts -= 1
            body = body[: self.cut_after]
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("DSRNSS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(_Server, "cuts", 0)
    monkeypatch.setattr(_Server, "ranges", [])
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Server) as served:
        thread = threading.Thread(target=served.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{served.server_address[1]}"
        served.shutdown()
        thread.join()


def entry(*urls: str, sha256: str = DIGEST[:8]) -> Entry:
    return Entry("thing", "a thing", "mit_b0", tuple(Source(url, sha256) for url in urls))


def left_in_cache() -> list[str]:
    return sorted(path.name for path in cache_folder().rglob("*") if path.is_file())


def test_fetched_once(server: str) -> None:
    seen: list[tuple[int, int | None]] = []
    path = download.fetch(entry(f"{server}/a.pth"), lambda done, total: seen.append((done, total)))
    assert path.read_bytes() == CONTENT
    assert path == download.fetch(entry(f"{server}/a.pth")) == download.cached(entry(f"{server}/a.pth"))
    assert len(_Server.ranges) == 1
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert left_in_cache() == ["a.pth"]


def test_a_cut_connection_is_taken_up_again(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_Server, "cuts", 2)
    assert download.fetch(entry(f"{server}/a.pth")).read_bytes() == CONTENT
    assert _Server.ranges == [None, "bytes=300000-", "bytes=600000-"]


def test_the_next_call_goes_on_where_the_last_stopped(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_Server, "cuts", 1)
    monkeypatch.setattr(downloading, "ATTEMPTS", 1)
    with pytest.raises(CheckpointError, match=r"(?s)cut after 0\.3 MB.*Run the command again.*by hand"):
        download.fetch(entry(f"{server}/a.pth"))
    assert left_in_cache() == ["a.pth.part", "a.pth.part.json"]
    assert download.fetch(entry(f"{server}/a.pth")).read_bytes() == CONTENT
    assert _Server.ranges == [None, "bytes=300000-"]


def test_halves_of_two_files_are_never_joined(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_Server, "cuts", 1)
    monkeypatch.setattr(downloading, "ATTEMPTS", 1)
    with pytest.raises(CheckpointError):
        download.fetch(entry(f"{server}/a.pth", sha256=""))
    monkeypatch.setattr(_Server, "content", CONTENT[::-1])
    monkeypatch.setattr(_Server, "etag", '"two"')
    assert download.fetch(entry(f"{server}/a.pth", sha256="")).read_bytes() == CONTENT[::-1]


def test_a_complete_part_is_only_checked(server: str) -> None:
    source = entry(f"{server}/a.pth")
    download.fetch(source).rename(cache_folder() / "thing" / "a.pth.part")
    (cache_folder() / "thing" / "a.pth.part.json").write_text(f'{{"url": "{server}/a.pth", "validator": "\\"one\\""}}')
    assert download.fetch(source).read_bytes() == CONTENT
    assert _Server.ranges[-1] == f"bytes={len(CONTENT)}-"


def test_a_wrong_checksum_leaves_nothing(server: str) -> None:
    with pytest.raises(CheckpointError, match="checksum is wrong"):
        download.fetch(entry(f"{server}/a.pth", sha256="00000000"))
    assert left_in_cache() == []


def test_the_next_mirror_is_tried(server: str) -> None:
    path = download.fetch(entry(f"{server}/missing.pth", f"{server}/b.pth"))
    assert path.name == "b.pth"


def test_no_mirror_answers(server: str) -> None:
    with pytest.raises(CheckpointError) as error:
        download.fetch(entry(f"{server}/missing.pth", "http://127.0.0.1:9/b.pth", "http://name.invalid/c.pth"))
    for words in (
        "answers 404",
        "127.0.0.1:9/b.pth: cannot be reached",
        "name.invalid",
        "by hand",
        "thing/missing.pth",
    ):
        assert words in str(error.value)


def test_a_file_put_there_by_hand_is_checked(server: str) -> None:
    path = download.target(entry("http://name.invalid/c.pth"), Source("http://name.invalid/c.pth"))
    path.parent.mkdir(parents=True)
    path.write_bytes(CONTENT)
    assert download.fetch(entry("http://name.invalid/c.pth")) == path
    path.write_bytes(b"other")
    with pytest.raises(CheckpointError, match="damaged or another file"):
        download.fetch(entry("http://name.invalid/c.pth"))


def test_a_full_disk(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10, 10, 0))
    with pytest.raises(OutputError, match=r"(?s)disk is full.*DSRNSS_CACHE"):
        download.fetch(entry(f"{server}/a.pth"))


def test_a_cache_that_is_a_file(server: str, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("")
    with pytest.raises(CheckpointError, match="thing"):
        download.fetch(entry(f"{server}/a.pth"))


def test_file_addresses(server: str, tmp_path: Path) -> None:
    (tmp_path / "local.pth").write_bytes(CONTENT)
    assert download.fetch(entry((tmp_path / "local.pth").as_uri())).read_bytes() == CONTENT


def test_names_are_resolved(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(REGISTRY, "thing", entry(f"{server}/a.pth"))
    assert resolve("thing").read_bytes() == CONTENT
    with pytest.raises(CheckpointError, match="Did you mean 'mit_b5'"):
        resolve("mitb5")


def test_repositories_on_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub
    from huggingface_hub.errors import LocalEntryNotFoundError

    asked = []

    def snapshot(repository: str, allow_patterns: list[str]) -> str:
        asked.append((repository, allow_patterns[-1]))
        if allow_patterns[-1] == "pytorch_model.bin":
            (tmp_path / "pytorch_model.bin").write_bytes(b"x")
        return str(tmp_path)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot)
    assert resolve("nvidia/some-model") == tmp_path
    assert asked == [("nvidia/some-model", "model.safetensors"), ("nvidia/some-model", "pytorch_model.bin")]

    def offline(*_: Any, **__: Any) -> str:
        raise LocalEntryNotFoundError("no connection")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", offline)
    with pytest.raises(CheckpointError, match=r"(?s)cannot be reached.*https://huggingface.co/nvidia/some-model"):
        resolving.fetch_from_hub("nvidia/some-model")


def test_registry_is_in_order() -> None:
    for name, found in REGISTRY.items():
        assert name == found.name
        assert found.what
        assert found.paper
        for source in found.sources:
            assert source.url.startswith("https://")
            assert source.sha256 in source.file_name
            assert len(source.sha256) in (0, 8)
