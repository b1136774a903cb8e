"""Checkpoint files of a run: written so that a kill never leaves half of one, found again by `--ckpt_path last`."""

import logging
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO
from lightning.fabric.utilities.rank_zero import rank_zero_only

from dsrnss.errors import CheckpointError, did_you_mean
from dsrnss.models.weights import damage, kind_of, list_weights, read_checkpoint
from dsrnss.models.weights.files import CONFIG_FILE
from dsrnss.writing import atomic, output_error

LOGS = "lightning_logs"
_log = logging.getLogger(__name__)


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes beside the target, then renames.

    Lightning's own goes through the system's temporary folder: on another disk its last step is a copy, and a kill
    during the copy destroys the only checkpoint.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Write a checkpoint.

        Args:
            checkpoint: What `torch.save` takes.
            path: The file; a URL is left to Lightning.
            storage_options: Passed on for a URL.

        Raises:
            OutputError: If the file cannot be written.
        """
        if "://" in str(path):
            super().save_checkpoint(checkpoint, path, storage_options)
            return
        with atomic(path) as draft, draft.open("wb") as file:
            torch.save(checkpoint, file)
            file.flush()
            os.fsync(file.fileno())


def is_sound(path: Path) -> bool:
    """Whether a checkpoint was written to its end and has not changed since."""
    return path.is_file() and not damage(path)


def steps_done(path: str | Path) -> int:
    """Optimiser steps behind a checkpoint; 0 where it does not say."""
    return int(read_checkpoint(Path(path), mmap=True).get("global_step", 0))


def find_last(root: Path, experiment: str, folders: Iterable[Path] = ()) -> Path:
    """The newest complete checkpoint of an experiment.

    Args:
        root: The trainer's `default_root_dir`, which holds `lightning_logs`.
        experiment: Name of the experiment; its runs are `lightning_logs/<experiment>/version_*`.
        folders: Further folders that hold checkpoints.

    Raises:
        CheckpointError: If there is none, saying where it was looked for.
    """
    runs = root / LOGS / experiment
    found = list(runs.glob("version_*/checkpoints/*.ckpt"))
    places = [runs, *folders]
    for folder in places[1:]:
        found += folder.glob("*.ckpt")
    for path in sorted(found, key=lambda path: path.stat().st_mtime_ns, reverse=True):
        if not (what := damage(path)):
            return path
        _log.warning("%s is damaged and left out: %s.", path, what)
    others = sorted({str(path) for path in (root / LOGS).rglob("*.ckpt")})
    more = f" Checkpoints of other experiments: {', '.join(others[:5])}." if others else ""
    raise CheckpointError(
        f"ckpt_path: last: no checkpoint of '{experiment}' in {' or '.join(map(str, places))}.{more}\n"
        "Train first, without ckpt_path; or name a file; or say by trainer.default_root_dir where "
        f"'{LOGS}' is."
    )


def locate(path: str) -> Path | None:
    """Find what the user named as a checkpoint.

    Args:
        path: A file, a folder, a name of `dsrnss weights list` or an address.

    Returns:
        The checkpoint of a run of this package; None for weights alone, which `load_pretrained` reads.

    Raises:
        CheckpointError: If there is no such file, or it was not written to its end.
    """
    file = Path(path)
    if file.is_file():
        if what := damage(file):
            raise CheckpointError(
                f"'{path}' is not a complete checkpoint: {what}. Copy it again, or take an older one."
            )
        return file if kind_of(file) == "run" else None
    if "://" in path or path in list_weights() or (file / CONFIG_FILE).is_file():
        return None
    if file.is_dir():
        inside = sorted(map(str, file.rglob("*.ckpt")))
        raise CheckpointError(f"ckpt_path: '{path}' is a folder.{did_you_mean(path, inside)}")
    beside = sorted(map(str, file.parent.glob("*.ckpt"))) if file.parent.is_dir() else []
    raise CheckpointError(
        f"Checkpoint '{path}' not found.{did_you_mean(path, beside, show_all=bool(beside))} "
        "'last' takes the newest one of the experiment."
    )


def is_main_process() -> bool:
    """Whether this is the first process of a run, which writes its files; known before the processes meet."""
    return getattr(rank_zero_only, "rank", 0) == 0


def claim_run(root: Path, experiment: str, *, main_process: bool = True) -> Path:
    """Make the folder of a new run, `lightning_logs/<experiment>/version_N`.

    Args:
        root: The trainer's `default_root_dir`.
        experiment: Name of the experiment.
        main_process: Only this one makes a folder; the other processes of a run take the newest.

    Raises:
        OutputError: If it cannot be made.
    """
    runs = root / LOGS / experiment
    number = max((int(path.name[8:]) for path in runs.glob("version_*") if path.name[8:].isdigit()), default=-1)
    if not main_process:
        return runs / f"version_{max(number, 0)}"
    while True:
        number += 1
        folder = runs / f"version_{number}"
        try:
            folder.mkdir(parents=True)
        except FileExistsError:  # another run took it at the same moment
            continue
        except OSError as error:
            raise output_error(folder, error) from error
        return folder
