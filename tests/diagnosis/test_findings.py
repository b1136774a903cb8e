"""Bug reports do not tell who sent them."""

from pathlib import Path

import pytest

from dsrnss.diagnosis import findings
from dsrnss.diagnosis.findings import Finding, without_person


@pytest.fixture(autouse=True)
def _alice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/alice")
    monkeypatch.setattr(findings.getpass, "getuser", lambda: "alice")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("/home/alice/.cache/dsrnss, 3 GB free", "~/.cache/dsrnss, 3 GB free"),
        ("/home/alice", "~"),
        ("/home/alice2/x", "/home/alice2/x"),
        ("/scratch/alice/data", "/scratch/USER/data"),
        ("malice of alice-in-chains", "malice of alice-in-chains"),
        ("Python 3.11", "Python 3.11"),
    ],
)
def test_home_and_name(text: str, told: str) -> None:
    assert without_person(text) == told


def test_root_is_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/root")
    monkeypatch.setattr(findings.getpass, "getuser", lambda: "root")
    assert without_person("/root/x of the root folder") == "~/x of the root folder"


def test_a_number_without_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody() -> str:
        raise KeyError("uid 1234")

    monkeypatch.setattr(findings.getpass, "getuser", nobody)
    assert Finding("cache", str(Path("/home/alice/c")), advice="see /home/alice").impersonal() == {
        "name": "cache",
        "value": "~/c",
        "state": "fine",
        "advice": "see ~",
    }
