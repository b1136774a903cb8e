"""Limits of the machine and settings that do not go together are told as what they are, never as a bug."""

import errno
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from runs import command

from dsrnss import cli
from dsrnss.errors import (
    CheckpointError,
    ConfigError,
    DsrnssError,
    HardwareError,
    OutputError,
    TrainingError,
    UsageError,
)
from dsrnss.experiment import files, loggers
from dsrnss.experiment.failures import as_typed


@pytest.mark.parametrize(
    ("error", "kind", "says"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried"), HardwareError, "GPU's memory"),
        (MemoryError(), HardwareError, "fewer data.workers"),
        (
            RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes"),
            HardwareError,
            "memory",
        ),
        (RuntimeError("[pair.cc:545] Connection closed by peer"), TrainingError, "another process .* --ckpt_path last"),
        (RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed."), HardwareError, "fewer data.workers"),
        (RuntimeError("DataLoader worker (pid(s) 7) exited unexpectedly"), HardwareError, "ended by the system"),
        (
            RuntimeError("DataLoader worker (pid 7) is killed by signal: Bus error. It is possible ... shared memory."),
            HardwareError,
            r"/dev/shm.*--shm-size",
        ),
        (
            RuntimeError("unable to allocate shared memory(shm) for file </torch_1>: No space left on device (28)"),
            HardwareError,
            "data.workers: 0",
        ),
        (RuntimeError("[enforce fail at inline_container.cc:664] . unexpected pos 64 vs 0"), OutputError, "disk full"),
        (
            OSError(errno.ENOSPC, "No space left on device", "a.csv"),
            OutputError,
            "'a.csv': No space left.*disk is full",
        ),
        (
            RuntimeError("Error(s) in loading state_dict for X:\n\tMissing"),
            CheckpointError,
            "'last.ckpt' is of another",
        ),
        (ValueError("Expected more than 1 value per channel when training, got"), ConfigError, "batches of 2 and more"),
        (MisconfigurationException("no"), UsageError, "trainer: no"),
        (RuntimeError("You set `--ntasks=4` in your SLURM bash script"), UsageError, "trainer: You set"),
    ],
)
def test_what_stands_for_a_typed_error(error: Exception, kind: type[DsrnssError], says: str) -> None:
    typed = as_typed(error, "last.ckpt")
    assert isinstance(typed, kind)
    with pytest.raises(kind, match=says):
        raise typed


def test_a_bug_stays_a_bug() -> None:
    assert as_typed(RuntimeError("something else")) is None
    assert as_typed(ZeroDivisionError("division by zero")) is None


def _fit(folder: Path, *more: str, before: Callable[[], Any] | None = None, **environment: str) -> tuple[int, str]:
    folder.mkdir(exist_ok=True)
    words = command(folder, "--trainer.max_steps", "2", "--panels.every_n_steps", "0", *more)
    done = subprocess.run(
        words,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, **environment},
        preexec_fn=before,
        check=False,
    )
    return done.returncode, done.stderr


@pytest.mark.slow
def test_a_disk_that_is_full_while_saving(tmp_path: Path) -> None:
    def little_room() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))

    code, err = _fit(tmp_path / "run", "--model.network.head_channels", "64", before=little_room)
    assert code == 1 and "error: " in err and "Traceback" not in err, err
    assert not [path for path in (tmp_path / "run").rglob("*.ckpt")], "nothing half-written has a final name"
    assert not [path for path in (tmp_path / "run").rglob(".*.ckpt")], "nor is a draft left"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "variables", "code", "says"),
    [
        ((), {"SLURM_JOB_ID": "1", "SLURM_JOB_NAME": "n", "SLURM_NTASKS": "4"}, 2, "trainer: "),
        (
            ("--data.source_batch_size", "1", "--data.target_batch_size", "1", "--data.crop_size", "[8, 8]"),
            {},
            1,
            "crop",
        ),
        (("--seed_everything", "-1"), {}, 2, "seed"),
        (("--trainer.overfit_batches", "1"), {}, 2, "trainer.overfit_batches"),
        (("--trainer.accumulate_grad_batches", "0"), {}, 2, "trainer.accumulate_grad_batches"),
        (("--checkpoint.dirpath", "/proc/none"), {}, 1, "Cannot write to the output folder '/proc/none'"),
        (("--trainer.default_root_dir", "tiny.yaml"), {}, 1, "tiny.yaml"),
    ],
)
def test_settings_that_cannot_be(
    tmp_path: Path, words: tuple[str, ...], variables: dict[str, str], code: int, says: str
) -> None:
    found, err = _fit(tmp_path / "run", *words, **variables)
    assert found == code and says in err and "Traceback" not in err and "internal error" not in err, err


@pytest.mark.slow
def test_a_locale_that_is_not_utf8(tmp_path: Path) -> None:
    folder = tmp_path / "Übung"
    words = ("--trainer.default_root_dir", "Übung", "--trainer.limit_val_batches", "0")
    folder.mkdir()
    (folder / "Übung").mkdir()
    place = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    code, err = _fit(folder, *words, **place)
    assert code == 0, err
    assert (folder / "Übung/lightning_logs/tiny/version_0/config.yaml").is_file()


def test_a_key_given_twice_is_named_with_both_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("twice.yaml").write_text("trainer: {max_steps: 2}\nmodel:\n  weights: demo\ntrainer: {max_epochs: 1}\n")
    with pytest.raises(UsageError, match=r"twice\.yaml, line 4: .*'trainer'.*line 1"):
        files.read(Path("twice.yaml"))


def test_a_home_folder_is_found_without_a_shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    command(tmp_path)
    words = ["fit", "--config", "tiny.yaml", "--trainer.default_root_dir=~/runs", "--ckpt_path=~/none.ckpt"]
    assert cli.main(words) == 1
    assert cli.main([*words[:-1], "--trainer.max_steps", "1", "--trainer.limit_val_batches", "0"]) == 0
    assert (tmp_path / "home/runs/lightning_logs/tiny/version_0/checkpoints/last.ckpt").is_file()
    assert not (tmp_path / "~").exists()


def test_without_tensorboard_the_table_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    (only,) = loggers.default_loggers(tmp_path, "e", "version_0")
    assert type(only).__name__ == "CSVLogger"
