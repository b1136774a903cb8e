"""What `dsrnss serve` makes of its options; tests/serving/test_server.py runs it."""

import socket
import sys
from pathlib import Path
from typing import Any

import pytest

from dsrnss.cli import main
from dsrnss.serving import server
from dsrnss.serving.guard import Access


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """What would be served."""
    found: list[tuple[Any, ...]] = []
    monkeypatch.delenv("DSRNSS_AUTH", raising=False)
    monkeypatch.setattr(server, "check_library", lambda: None)
    monkeypatch.setattr(server, "serve", lambda *args: found.append(args))
    return found


def test_limits_and_loopback(served: list, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--max-pixels", "1000", "--max-upload-mb", "2", "--max-frames", "3", "--queue", "4", "--timeout", "5"]
    assert main(["serve", "--port", "0", "--device", "cpu", *options]) == 0
    ((service, access, _, _),) = served
    limits = service.limits
    assert (limits.max_pixels, limits.max_bytes, limits.max_frames) == (1000, 2 * 2**20, 3)
    assert (limits.waiting, limits.seconds) == (4, 5)
    assert access == Access(None, "", local=True)
    assert "demo model" in service.model
    assert not service.folder.exists()
    assert capsys.readouterr() == ("Stopped.\n", "")


def test_ways_to_give_a_password(
    served: list, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "auth").write_text("anna:pass:word\n", encoding="utf-8")
    monkeypatch.setenv("DSRNSS_AUTH", "berta:secret")
    for words in (["--auth", "carla:x"], ["--auth", f"@{tmp_path}/auth"], []):
        assert main(["serve", "--port", "0", "--device", "cpu", *words]) == 0
    assert [args[1] for args in served] == [
        Access("carla", "x"), Access("anna", "pass:word"), Access("berta", "secret"),
    ]  # fmt: skip
    assert capsys.readouterr().err.count("other users of this machine see the password") == 1


def test_an_open_server_without_password_is_noted(served: list, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", "--port", "0", "--device", "cpu", "--host", "0.0.0.0"]) == 0
    assert "--auth asks for a password" in capsys.readouterr().err
    assert not served[0][1].local


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["--auth", "anna"], 2, "expected USER:PASSWORD"),
        (["--auth", "@missing"], 1, "'missing' cannot be read: No such file or directory."),
        (["--port", "70000"], 2, "from 0 to 65535"),
        (["--queue", "-1"], 2, "0 or more"),
        (["--host", "203.0.113.1"], 1, "Cannot listen on 203.0.113.1, port 7860"),
        (["--port", "0", "--model", "missing.ckpt"], 1, "missing.ckpt"),
    ],
)
def test_wrong_options(
    served: list, capsys: pytest.CaptureFixture[str], words: list[str], code: int, told: str
) -> None:
    assert main(["serve", *words]) == code
    assert told in capsys.readouterr().err
    assert not served


def test_a_port_in_use_is_named(served: list, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        assert main(["serve", "--port", str(other.getsockname()[1])]) == 1
    assert "--port 0 takes a free one" in capsys.readouterr().err


def test_a_missing_gradio_is_named_with_its_extra(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "gradio", None)
    assert main(["serve", "--port", "0"]) == 1
    assert capsys.readouterr().err == (
        "error: The web page needs gradio, which is not installed: pip install 'dsrnss[serve]'.\n"
    )
