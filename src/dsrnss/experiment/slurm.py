"""Jobs that SLURM puts back into its queue: their checkpoints stay with their run, and the run goes on from them.

Lightning would write `hpc_ckpt_N.ckpt` into `default_root_dir`, from where any later job there resumes, whatever its
experiment.
"""

import logging
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.fabric.plugins.environments.torchelastic import TorchElasticEnvironment

from dsrnss.training.checkpoints import LOGS, is_sound

JOB_FILE = "slurm_job"
"""Holds the number of the job, in the folder of its run; `requeued` on a second line once it was put back."""

_log = logging.getLogger(__name__)


def job_id() -> str | None:
    """The number of the SLURM job that this process belongs to; None outside of one."""
    if not SLURMEnvironment.detect():
        return None
    array, task = os.environ.get("SLURM_ARRAY_JOB_ID"), os.environ.get("SLURM_ARRAY_TASK_ID")
    return f"{array}_{task}" if array and task else os.environ.get("SLURM_JOB_ID")


def environment(plugins: Sequence[Any]) -> list[SLURMEnvironment]:
    """The trainer's plugin for the tasks of a job, unless it has one or `torchrun` starts the processes of each task.

    Args:
        plugins: That the trainer has.
    """
    given = any(isinstance(plugin, SLURMEnvironment) for plugin in plugins)
    return [] if given or TorchElasticEnvironment.detect() else [SLURMEnvironment(auto_requeue=False)]


def remember(run: Path) -> None:
    """Note in the folder of a run which job it belongs to; nothing outside of SLURM."""
    if job := job_id():
        (run / JOB_FILE).write_text(f"{job}\n", encoding="utf-8")


def put_back(run: Path) -> None:
    """Ask SLURM to run the job of a run again, and note that."""
    job = job_id()
    if job is None:
        return
    try:
        subprocess.run(["scontrol", "requeue", job], check=True, capture_output=True, timeout=60)
    except (OSError, subprocess.SubprocessError) as error:
        _log.warning("SLURM job %s could not be put back into the queue (%s); the checkpoint is saved.", job, error)
        return
    (run / JOB_FILE).write_text(f"{job}\nrequeued\n", encoding="utf-8")
    _log.info("SLURM job %s is back in the queue; it will go on from this checkpoint.", job)


def checkpoint_of_this_job(root: Path, experiment: str) -> Path | None:
    """The checkpoint that a job goes on from, if it ran before and was put back; None for a job that runs first.

    Args:
        root: The folder that holds `lightning_logs`.
        experiment: Name of the experiment; a job may run several.
    """
    job = job_id()
    restarted = os.environ.get("SLURM_RESTART_COUNT", "0") not in ("", "0")
    found: list[Path] = []
    for file in (root / LOGS / experiment).glob(f"version_*/{JOB_FILE}"):
        lines = file.read_text(encoding="utf-8").split()
        if lines and lines[0] == job and (restarted or "requeued" in lines):
            found += file.parent.glob("checkpoints/*.ckpt")
    newest = sorted(found, key=lambda path: path.stat().st_mtime_ns, reverse=True)
    return next((path for path in newest if is_sound(path)), None)
