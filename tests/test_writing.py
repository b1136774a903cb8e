"""Files that are written whole or not at all, whoever writes them."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from dsrnss.errors import OutputError
from dsrnss.inference.sources import PictureFinder
from dsrnss.writing import abandoned, atomic, draft_of, prepare_file, prepare_folder, write_atomically


def test_a_file_appears_when_it_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file.txt"
    with atomic(path) as draft:
        draft.write_text("whole")
        assert not path.exists()
    assert path.read_text() == "whole"
    assert list(path.parent.iterdir()) == [path]


def test_an_error_leaves_the_old_file_and_no_draft(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError), atomic(path) as draft:
        draft.write_text("half")
        _ = 1 / 0
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (errno.ENOSPC, "disk is full"), (errno.EACCES, "No permission"), (errno.EROFS, "read-only"),
        (errno.EDQUOT, "quota"), (errno.EIO, "Input/output error"),
    ],
)  # fmt: skip
def test_the_reason_is_told_in_plain_words(tmp_path: Path, number: int, said: str) -> None:
    with pytest.raises(OutputError, match=rf"Cannot write '.*file\.txt': .*{said}"), atomic(tmp_path / "file.txt"):
        raise OSError(number, "Input/output error")


def test_a_folder_is_tried_before_work_is_spent_on_it(tmp_path: Path) -> None:
    assert prepare_folder(tmp_path / "a" / "b").is_dir()
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"file' is a file"):
        prepare_folder(tmp_path / "file")
    with pytest.raises(OutputError, match="Cannot write"):
        prepare_folder(tmp_path / "file" / "below")


def test_home_is_expanded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    write_atomically("~/a/file", b"1")
    assert prepare_folder("~/out") == tmp_path / "out"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "out"]
    (tmp_path / "out" / "x_labels.png").write_bytes(b"1")
    assert PictureFinder(out=Path("~/out")).find([tmp_path / "out"]) == []


def dead_process() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


@pytest.mark.parametrize("name", ["a.png", "a.b.png", "a", "ü b.png"])
def test_what_a_killed_process_has_left_goes_when_something_is_written_beside_it(tmp_path: Path, name: str) -> None:
    path, mine = tmp_path / name, f"-{os.getpid()}"
    left = draft_of(path).name.replace(mine, f"-{dead_process()}")
    elsewhere = draft_of(path).name.replace(mine, "x-1")  # of another machine, where it may still be written
    running = draft_of(path).name.replace(mine, f"-{os.getppid()}")
    for draft in (left, elsewhere, running):
        (tmp_path / draft).write_bytes(b"half")
    (tmp_path / ".hidden.png").write_bytes(b"mine")
    assert abandoned(tmp_path, name) == abandoned(tmp_path) == [tmp_path / left]
    write_atomically(tmp_path / "other", b"1")
    assert {file.name for file in tmp_path.iterdir()} == {elsewhere, running, ".hidden.png", "other"}


def test_a_name_may_be_as_long_as_the_file_system_allows(tmp_path: Path) -> None:
    name = "ü" * 125 + ".png"
    write_atomically(tmp_path / name, b"1")
    assert [file.name for file in tmp_path.iterdir()] == [name]


def test_a_file_is_tried_and_stays_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "old.json").write_text("old")
    assert prepare_file(tmp_path / "old.json").read_text() == "old"
    assert not prepare_file(tmp_path / "new" / "file.json").exists()
    with pytest.raises(OutputError, match=r"new' is a folder"):
        prepare_file(tmp_path / "new")
    with pytest.raises(OutputError, match=r"old\.json' is a file"):
        prepare_file(tmp_path / "old.json" / "x")
