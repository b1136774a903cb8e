"""Files that are written whole or not at all, whoever writes them."""

import errno
from pathlib import Path

import pytest

from dsrnss.errors import OutputError
from dsrnss.inference.sources import PictureFinder
from dsrnss.writing import atomic, prepare_folder, write_atomically


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
