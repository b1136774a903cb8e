"""What is installed, and which command lacks what."""

import pytest

from dsrnss.diagnosis import libraries


def told(monkeypatch: pytest.MonkeyPatch, *asked: str) -> dict[str, libraries.Finding]:
    monkeypatch.setattr(libraries.metadata, "requires", lambda _: list(asked))
    return {one.name: one for one in libraries.libraries()}


def test_versions_and_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    found = told(monkeypatch, "numpy>=2.0", "nosuchthing>=3", "rich>=999", "jsonargparse[signatures]<5,>=4.40")
    assert found["numpy"].state == found["jsonargparse"].state == "fine"
    assert found["nosuchthing"].advice == "pip install 'nosuchthing>=3'"
    assert found["rich"].state == "missing"
    assert found["rich"].advice == "pip install 'rich>=999'"


def test_extras_are_no_requirement(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not told(monkeypatch, "nosuchthing>=3; extra == 'video'")


def test_commands_name_what_they_lack(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libraries, "installed", lambda name: name not in ("av", "torch"))
    found = {one.name: one for one in libraries.commands()}
    video = next(one for name, one in found.items() if "videos" in name)
    assert (video.value, video.advice) == ("lacks av", "pip install 'dsrnss[video]'")
    base = next(one for name, one in found.items() if "fit" in name)
    assert base.value == "lacks torch"
    assert found["segment --model FILE.onnx"].state == "fine"


def test_a_library_that_cannot_be_imported_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    found = libraries._tried("broken", "raise ImportError('libGL.so.1: cannot open shared object file')")
    assert found.state == "missing"
    assert "libGL.so.1" in found.value
    assert libraries._tried("fine", "pass").state == "fine"
