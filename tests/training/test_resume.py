"""A run with every part on, killed in the middle, goes on as if nothing had happened, to the last digit."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from runs import command, losses, run_whole


def _kill_after_checkpoint(folder: Path, step: int, *more: str) -> None:
    folder.mkdir()
    process = subprocess.Popen(command(folder, *more), cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline and process.poll() is None:
        if any(folder.rglob("last.ckpt")) and len(_losses_so_far(folder)) >= step:
            break
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, "the run ended before it could be killed"


def _losses_so_far(folder: Path) -> list[str]:
    return [line for file in folder.rglob("metrics.csv") for line in file.read_text().splitlines()[1:]]


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 1])
def test_killed_run_resumes_exactly(tmp_path: Path, workers: int) -> None:
    more = ("--data.workers", str(workers))
    run_whole(tmp_path / "whole", *more)
    expected = losses(tmp_path / "whole")
    assert sorted(expected) == list(range(8))
    assert len({tuple(row.items()) for row in expected.values()}) == 8, (
        "the steps differ, or the comparison says nothing"
    )
    _kill_after_checkpoint(tmp_path / "killed", 2, *more)
    run_whole(tmp_path / "killed", "--ckpt_path", "last", *more)
    newest = max((tmp_path / "killed").rglob("metrics.csv"), key=lambda path: path.stat().st_mtime)
    assert min(losses(newest.parent)) > 0, "it went on and did not start again"
    resumed = losses(tmp_path / "killed")
    common = sorted(set(resumed) & set(expected))
    assert common[-1] == 7
    assert {step: resumed[step] for step in common} == {step: expected[step] for step in common}
