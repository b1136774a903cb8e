"""Checkpoint files survive failed writes, and runs get folders of their own."""

from pathlib import Path

import pytest
import torch

from dsrnss.errors import CheckpointError, OutputError
from dsrnss.training import checkpoints


class Unsavable:
    def __reduce__(self) -> str:
        raise OSError("no space left")


def test_a_failed_write_keeps_the_old_checkpoint(tmp_path: Path) -> None:
    writer, path = checkpoints.AtomicCheckpointIO(), tmp_path / "last.ckpt"
    writer.save_checkpoint({"step": 1}, path)
    with pytest.raises(OutputError, match="no space"):
        writer.save_checkpoint({"step": Unsavable()}, path)
    assert torch.load(path) == {"step": 1}
    assert [file.name for file in tmp_path.iterdir()] == ["last.ckpt"]


def test_runs_are_numbered(tmp_path: Path) -> None:
    names = [checkpoints.claim_run(tmp_path, "a/b").name for _ in range(3)]
    assert names == ["version_0", "version_1", "version_2"]
    assert checkpoints.claim_run(tmp_path, "c").name == "version_0"
    assert checkpoints.claim_run(tmp_path, "a/b", main_process=False).name == "version_2"


def test_newest_complete_checkpoint_is_last(tmp_path: Path) -> None:
    writer = checkpoints.AtomicCheckpointIO()
    for step in range(3):
        folder = checkpoints.claim_run(tmp_path, "e") / "checkpoints"
        writer.save_checkpoint({"step": step}, folder / "last.ckpt")
    (folder / "last.ckpt").write_bytes(b"PK\x03\x04 torn")
    assert torch.load(checkpoints.find_last(tmp_path, "e")) == {"step": 1}


def test_folder_of_the_callback_is_searched(tmp_path: Path) -> None:
    checkpoints.AtomicCheckpointIO().save_checkpoint({}, tmp_path / "mine" / "x.ckpt")
    assert checkpoints.find_last(tmp_path, "e", [tmp_path / "mine"]).name == "x.ckpt"


def test_no_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"no checkpoint of 'e' in .*lightning_logs/e"):
        checkpoints.find_last(tmp_path, "e")
