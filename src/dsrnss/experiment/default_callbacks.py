"""The callbacks that a command brings along, unless the experiment names its own of that kind."""

from pathlib import Path
from typing import Any

from lightning.pytorch.callbacks import Callback, LearningRateMonitor, ProgressBar

from dsrnss.training.callbacks.history import DataWait
from dsrnss.training.callbacks.predictions import PredictionWriter
from dsrnss.training.callbacks.result_files import ResultFiles
from dsrnss.training.callbacks.run_progress import RunProgress
from dsrnss.training.callbacks.run_record import RunRecord
from dsrnss.training.callbacks.submissions import SubmissionWriter


def default_callbacks(
    command: str, given: list[Callback], trainer: Any, *, logs: bool, name: str, root: Path, submission: str | None
) -> list[Callback]:
    """The callbacks of a run.

    Args:
        command: `fit`, `validate`, `test` or `predict`.
        given: Those that the experiment names; they come first.
        trainer: The trainer's settings.
        logs: Whether there is a logger.
        name: Of the experiment.
        root: The folder that holds `lightning_logs`.
        submission: The benchmark whose server the predictions are for.
    """
    callbacks = list(given)
    kinds = {kind for kind in (ProgressBar, LearningRateMonitor) for c in given if isinstance(c, kind)}
    if trainer.get("enable_progress_bar") is not False and ProgressBar not in kinds:
        callbacks.append(RunProgress())
    if command == "fit" and logs and LearningRateMonitor not in kinds:
        callbacks.append(LearningRateMonitor("step"))
    if command == "fit":
        callbacks.append(DataWait())
    if command == "fit" and logs:
        callbacks.append(RunRecord())
    if command == "test":
        callbacks.append(ResultFiles(root / "results" / name))
    if command == "predict":
        callbacks.append(PredictionWriter(predictions_folder(root, name)))
        if submission is not None:
            callbacks.append(SubmissionWriter(predictions_folder(root, name) / f"{submission}.zip", submission))
    return callbacks


def predictions_folder(root: Path, name: str) -> Path:
    """Where `predict` writes the label maps of an experiment."""
    return root / "predictions" / name
