"""What an experiment says before and after its run: what is rarely meant, the scores, the next command."""

import logging
import math
import sys
from pathlib import Path
from typing import Any

from lightning.pytorch.callbacks import Callback
from rich.console import Console

from dsrnss.console import counted, next_step
from dsrnss.data.multi_source import MultiSource
from dsrnss.experiment import files as experiments
from dsrnss.experiment import slurm
from dsrnss.experiment.cli import ExperimentCLI
from dsrnss.models.class_path import own_classes
from dsrnss.models.segmentor import Segmentor
from dsrnss.training import checkpoints
from dsrnss.training.callbacks.history import DataWait
from dsrnss.training.callbacks.predictions import PredictionWriter
from dsrnss.training.callbacks.result_files import ResultFiles, print_results
from dsrnss.training.callbacks.stopping import Stopped
from dsrnss.training.callbacks.submissions import SubmissionWriter
from dsrnss.training.schedule import ScheduleConfig

_log = logging.getLogger(__name__)
MUCH_WAITING = 0.2
SHOWN_FAULTS = 5


def before_fit(cli: ExperimentCLI) -> None:
    """Say what is allowed but rarely meant."""
    model, steps = cli.config["model"], cli.config["trainer"]["max_steps"]
    begun = cli.ckpt_path or cli.weights_alone
    if begun is None and model.get("weights") == "random" and model.get("backbone_weights") == "random":
        _log.info("the network starts from random weights (model.weights and model.backbone_weights: random).")
    warmup = getattr(cli.model, "schedule_config", ScheduleConfig(0)).warmup
    if steps <= warmup:
        _log.info("all %d steps lie in the warm-up of the learning rate (%d steps).", steps, warmup)
    _say_without_classes(cli.model)
    source = getattr(cli.datamodule, "source", None)
    if isinstance(source, MultiSource):
        _log.info("the classes of the sources, by name:\n%s", source.mapping_table())
    if cli.ckpt_path is not None and (done := checkpoints.steps_done(cli.ckpt_path)) >= steps:
        _log.info(
            "the checkpoint is at step %d of %d: nothing is left to train. --trainer.max_steps goes further, "
            "--model.weights FILE starts a new run from these weights.",
            done,
            steps,
        )


def _say_without_classes(model: Any) -> None:
    """Say which part is on but has no classes to work on; the model knows its label space, the configuration not."""
    method = getattr(model, "method", None)
    if method is not None and method.config.feature_distance.weight and method.reference is None:
        _log.info(
            "the label space has no group 'feature_distance': the feature distance is off "
            "(model.feature_distance.weight 0 says so)."
        )


def after(cli: ExperimentCLI) -> int:
    """Print the scores, where files were written, and the command to type next.

    Returns:
        The exit code: 1 if a test server would reject the archive that was written.
    """
    _print_results(cli)
    _say_next(cli)
    return int(any(writer.faults for writer in _submissions(cli)))


def stopped(cli: ExperimentCLI, stop: Stopped) -> None:
    """Say where a run stopped and how it goes on; a job of SLURM is put back into its queue by SIGUSR1."""
    last = cli.last_checkpoint if cli.command == "fit" else None
    if last is None or not last.is_file():
        _log.info("stopped by %s; nothing was saved.", stop.signal.name)
        return
    _log.info("stopped by %s after step %d; saved %s.", stop.signal.name, cli.trainer.global_step, last)
    if stop.signal.name == "SIGUSR1" and cli.run_folder is not None:
        slurm.put_back(cli.run_folder)
    config = [word for file in cli.files for word in ("--config", experiments.short_name(file.path))]
    next_step(["dsrnss", "fit", *config, "--ckpt_path", "last"])


def _say_waiting(cli: ExperimentCLI) -> None:
    """Which share of the training went into waiting for data, and what to do if it was much."""
    callbacks: list[Callback] = cli.trainer.callbacks  # type: ignore[attr-defined]
    share = next((callback.share for callback in callbacks if isinstance(callback, DataWait)), math.nan)
    if not math.isnan(share):
        advice = " More --data.workers, or a cache_dir for the sets, would help." if share > MUCH_WAITING else ""
        print(f"\nWaited for data {share:.0%} of the training time.{advice}", file=sys.stderr)


def _print_results(cli: ExperimentCLI) -> None:
    """The IoU of every class, a column for each set that was measured."""
    results = getattr(cli.model, "results", {})
    if cli.command in ("validate", "test") and results:
        print_results(Console(), results, cli.model.label_space)
    for callback in cli.trainer.callbacks:  # type: ignore[attr-defined]
        if isinstance(callback, ResultFiles) and callback.failure is not None:
            raise callback.failure
        if isinstance(callback, ResultFiles) and callback.folder is not None:
            print(f"\nWrote {callback.folder}", file=sys.stderr)


def _submissions(cli: ExperimentCLI) -> list[SubmissionWriter]:
    callbacks: list[Callback] = cli.trainer.callbacks  # type: ignore[attr-defined]
    return [callback for callback in callbacks if isinstance(callback, SubmissionWriter)]


def say_submission(writer: SubmissionWriter) -> None:
    """Say which archive was written, and what a server would reject in it."""
    faults = writer.faults
    verdict = counted(len(faults), "fault") if faults else "nothing wrong"
    print(f"\nWrote {writer.path}: {counted(writer.pictures, 'picture')}, {verdict}", file=sys.stderr)
    for fault in faults[:SHOWN_FAULTS]:
        _log.info("%s", fault)
    if len(faults) > SHOWN_FAULTS:
        _log.info("and %d more: `dsrnss data validate-submission` names all.", len(faults) - SHOWN_FAULTS)


def _say_next(cli: ExperimentCLI) -> None:
    config = [word for file in cli.files for word in ("--config", experiments.short_name(file.path))]
    if cli.command == "predict":
        callbacks: list[Callback] = cli.trainer.callbacks  # type: ignore[attr-defined]
        written = sum(callback.written for callback in callbacks if isinstance(callback, PredictionWriter))
        print(f"\nWrote {counted(written, 'label map')} to {cli.predictions}", file=sys.stderr)
        for writer in _submissions(cli):
            say_submission(writer)
            next_step(["dsrnss", "data", "validate-submission", writer.path])
            return
    if cli.command != "fit":
        next_step(_segmenting(cli, cli.ckpt_path or cli.weights_alone or "CHECKPOINT"))
        return
    _say_waiting(cli)
    if cli.run_folder is not None:
        print(f"\nWrote {cli.run_folder}", file=sys.stderr)
    last = cli.last_checkpoint
    if last is not None and last.is_file():
        next_step(
            ["dsrnss", "validate", *config, "--ckpt_path", last],
            _segmenting(cli, last),
        )


def _segmenting(cli: ExperimentCLI, checkpoint: str | Path) -> list[str | Path]:
    """The command that segments by a checkpoint; it imports nothing of the user's unless it is told to."""
    student = getattr(cli.model, "student", None)
    paths = own_classes(student.config).values() if isinstance(student, Segmentor) else ()
    imports = [word for name in sorted({path.rpartition(".")[0] for path in paths}) for word in ("--import", name)]
    return ["dsrnss", "segment", "PHOTO.jpg", "--model", checkpoint, *imports, "--out", "out"]
