"""Signals: the step is finished, everything is saved, and the resumed run is the undisturbed one, to the last digit."""

import os
import signal
import subprocess
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from runs import command, losses, run_whole

from dsrnss.training.callbacks.stopping import StopOnSignal, Stopped

WAIT = 240
STEPS = 12
SLURM = {
    "SLURM_JOB_ID": "4711",
    "SLURM_NTASKS": "1",
    "SLURM_JOB_NAME": "night",
    "SLURM_PROCID": "0",
    "SLURM_LOCALID": "0",
    "SLURM_NODEID": "0",
    "SLURM_NODELIST": "localhost",
}


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> dict[int, dict[str, str]]:
    folder = tmp_path_factory.mktemp("whole")
    run_whole(folder, "--trainer.max_steps", str(STEPS))
    found = losses(folder)
    assert sorted(found) == list(range(STEPS))
    return found


def _start(folder: Path, *more: str, **environment: str) -> subprocess.Popen[str]:
    folder.mkdir(exist_ok=True)
    words = command(folder, "--trainer.max_steps", str(STEPS), "--checkpoint.every_n_train_steps", "1000", *more)
    return subprocess.Popen(
        words,
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
        start_new_session=True,
    )


def _wait_for_steps(folder: Path, steps: int) -> None:
    """Until so many panels are there, one for each step."""
    end = time.monotonic() + WAIT
    while len(list(folder.rglob("step_*.png"))) < steps:
        assert time.monotonic() < end, "the run did not come so far"
        time.sleep(0.02)


def _stop(process: subprocess.Popen[str], number: int, *, group: bool = False) -> tuple[int, str]:
    (os.killpg if group else os.kill)(process.pid, number)
    _, err = process.communicate(timeout=WAIT)
    return process.returncode, err


@pytest.mark.slow
@pytest.mark.parametrize(("name", "workers", "steps"), [("SIGTERM", 0, 2), ("SIGUSR1", 1, 3), ("SIGINT", 1, 5)])
def test_a_signal_saves_and_the_run_goes_on_exactly(
    tmp_path: Path, expected: dict[int, dict[str, str]], name: str, workers: int, steps: int
) -> None:
    number = getattr(signal, name)
    process = _start(tmp_path / "run", "--panels.every_n_steps", "1", "--data.workers", str(workers))
    _wait_for_steps(tmp_path / "run", steps)
    # as a terminal and SLURM do: to all processes of the group
    code, err = _stop(process, number, group=True)
    assert code == 128 + number, err
    (last,) = (tmp_path / "run").rglob("last.ckpt")
    done = torch.load(last, weights_only=True)["global_step"]
    assert steps <= done < STEPS, "it stopped after the step it was in"
    assert f"stopped by {name} after step {done}; saved" in err and "Traceback" not in err
    run_whole(tmp_path / "run", "--trainer.max_steps", str(STEPS), "--ckpt_path", "last")
    assert losses(tmp_path / "run") == expected


@pytest.mark.slow
def test_a_job_of_slurm_goes_on_where_it_was_put_back(tmp_path: Path, expected: dict[int, dict[str, str]]) -> None:
    tools = tmp_path / "bin"
    tools.mkdir()
    (tools / "scontrol").write_text(f'#!/bin/sh\necho "$@" >> "{tmp_path}/scontrol.log"\n')
    (tools / "scontrol").chmod(0o755)
    place = {**SLURM, "PATH": f"{tools}:{os.environ['PATH']}"}
    process = _start(tmp_path / "run", "--panels.every_n_steps", "1", **place)
    _wait_for_steps(tmp_path / "run", 2)
    code, err = _stop(process, signal.SIGUSR1)
    assert code == 128 + signal.SIGUSR1, err
    assert (tmp_path / "scontrol.log").read_text() == "requeue 4711\n"
    assert not list((tmp_path / "run").glob("**/hpc_ckpt*"))
    # another job begins anew, the same one goes on
    other = _start(tmp_path / "run", "--trainer.max_steps", "1", **{**place, "SLURM_JOB_ID": "4712"})
    _, err = other.communicate(timeout=WAIT)
    assert other.returncode == 0 and "goes on from" not in err, err
    again = _start(tmp_path / "run", **{**place, "SLURM_RESTART_COUNT": "1"})
    _, err = again.communicate(timeout=WAIT)
    assert again.returncode == 0 and "it goes on from" in err, err
    assert losses(tmp_path / "run")[STEPS - 1] == expected[STEPS - 1]


def test_a_second_one_stops_at_once(capfd: pytest.CaptureFixture[str]) -> None:
    saved: list[int] = []
    stopping: Any = StopOnSignal(lambda: saved.append(1))
    with pytest.raises(Stopped) as raised, stopping.listening():
        stopping.on_train_start(None, None)
        os.kill(os.getpid(), signal.SIGINT)
        assert "once more stops at once" in capfd.readouterr().err
        os.kill(os.getpid(), signal.SIGINT)
    assert raised.value.code == 130 and not saved


def test_accumulated_gradients_are_not_cut_off() -> None:
    saved: list[int] = []
    stopping: Any = StopOnSignal(lambda: saved.append(1))
    trainer = SimpleNamespace(accumulate_grad_batches=2, is_last_batch=False)
    with pytest.raises(Stopped), stopping.listening():
        stopping.on_train_start(None, None)
        os.kill(os.getpid(), signal.SIGTERM)
        for batch in range(3):
            stopping.on_train_batch_start(trainer, None, None, batch)
            stopping.on_train_batch_end(trainer, None, None, None, batch)
            assert len(saved) == (batch == 1), "at the end of a step"


def test_a_validation_is_left_at_once() -> None:
    saved: list[int] = []
    stopping: Any = StopOnSignal(lambda: saved.append(1))
    with pytest.raises(Stopped) as raised, stopping.listening():
        stopping.on_train_start(None, None)
        stopping.on_validation_start(None, None)
        stopping.on_validation_batch_end(None, None, None, None, 0)
        assert not saved
        os.kill(os.getpid(), signal.SIGTERM)
        stopping.on_validation_batch_end(None, None, None, None, 1)
    assert raised.value.code == 143 and saved == [1]


def test_the_handler_is_taken_away_again() -> None:
    before = signal.getsignal(signal.SIGTERM)
    stopping = StopOnSignal(lambda: None)
    with pytest.raises(Stopped) as raised, stopping.listening():
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(1)
    assert raised.value.code == 143
    assert signal.getsignal(signal.SIGTERM) == before
