"""What the library logs is a notice of the command line, and silent where no command runs."""

import logging

import pytest

from dsrnss import cli, console
from dsrnss.commands import demo

LOG = logging.getLogger("dsrnss.some.module")


def test_a_command_shows_what_the_library_logs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    def run(_: object) -> int:
        LOG.debug("not this")
        LOG.info("%s of [%d] is left out", "a", 2)
        LOG.warning("take care")
        return 0

    monkeypatch.setattr(demo, "run", run)
    for _ in range(2):  # a second command says nothing twice, and has a stderr of its own
        assert cli.main(["demo"]) == 0
        assert capsys.readouterr().err == "note: a of [2] is left out\nwarning: take care\n"
    assert caplog.messages == ["a of [2] is left out", "take care"] * 2


def test_one_handler_is_enough(capsys: pytest.CaptureFixture[str]) -> None:
    with console.showing_log(), console.showing_log():
        LOG.info("once")
    assert capsys.readouterr().err == "note: once\n"


def test_the_library_alone_prints_no_notes(capsys: pytest.CaptureFixture[str]) -> None:
    with console.showing_log():
        pass
    LOG.info("for nobody")
    assert capsys.readouterr().err == ""
