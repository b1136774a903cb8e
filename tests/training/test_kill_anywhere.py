"""Runs killed at any moment: what they leave is sound, and the run that goes on ends as the undisturbed one."""

import os
import random
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from runs import command, losses, run_whole

from dsrnss.training.checkpoints import damage

STEPS = 8
KILLS = int(os.environ.get("DSRNSS_KILLS", "3"))
"""More of them: DSRNSS_KILLS=20 pytest tests/training/test_kill_anywhere.py."""
MORE = ("--trainer.max_steps", str(STEPS), "--panels.every_n_steps", "3")


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(_same, one, other))
    return bool(one == other)


def _newest(folder: Path) -> Path:
    return max(folder.rglob("last.ckpt"), key=lambda path: path.stat().st_mtime_ns)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, float]:
    folder = tmp_path_factory.mktemp("whole")
    begun = time.monotonic()
    run_whole(folder, *MORE)
    return folder, time.monotonic() - begun


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(KILLS))
def test_fit(tmp_path: Path, whole: tuple[Path, float], seed: int) -> None:
    folder, seconds = whole
    moment = random.Random(seed).uniform(0.2, 1.0) * seconds
    (tmp_path / "run").mkdir()
    process = subprocess.Popen(
        command(tmp_path / "run", *MORE),
        cwd=tmp_path / "run",
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    time.sleep(moment)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    for path in (tmp_path / "run").rglob("*.ckpt"):
        assert path.name.startswith(".") or not damage(path), "nothing half-written has a final name"
    left = any(path.name == "last.ckpt" for path in (tmp_path / "run").rglob("*.ckpt"))
    run_whole(tmp_path / "run", *MORE, *(("--ckpt_path", "last") if left else ()))
    ours, theirs = (torch.load(_newest(where), weights_only=True) for where in (tmp_path / "run", folder))
    for part in ("global_step", "state_dict", "optimizer_states", "lr_schedulers", "AdaptationDataModule"):
        assert _same(ours[part], theirs[part]), part
    expected = losses(folder)
    for step, row in losses(tmp_path / "run").items():
        assert row == expected[step]
