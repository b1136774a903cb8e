"""Progress of a run over all its steps, with its time left; lines instead of a bar where there is no terminal."""

import sys
import time
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ProgressBar
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import TimeRemainingColumn as TimeLeftColumn

from dsrnss.reporting.progress import rough_duration

LINE_SECONDS = 30.0
"""Seconds between two lines where there is no terminal."""


class RunProgress(ProgressBar):
    """Counts optimiser steps while training, and batches of pictures in evaluation.

    Args:
        console: Where to show it; standard error by default.
    """

    def __init__(self, console: Console | None = None) -> None:
        super().__init__()
        self.console = console or Console(stderr=True)
        self._enabled = True
        self._progress: Progress | None = None
        self._tasks: dict[str, TaskID] = {}
        self._began = self._told = time.monotonic()
        self._first_step = 0

    def disable(self) -> None:
        """Say nothing; Lightning asks this of all processes but the first."""
        self._enabled = False

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Show the bar of the whole run."""
        self._began = self._told = time.monotonic()
        self._first_step = trainer.global_step
        self._show("train", self._steps(trainer), trainer.global_step)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Move the bar and show the newest figures."""
        figures = {key: value for key, value in self.get_metrics(trainer, pl_module).items() if key != "v_num"}
        loss = outputs.get("loss") if isinstance(outputs, dict) else outputs
        if loss is not None and not any(key.endswith("loss") for key in figures):
            figures.setdefault("loss", float(loss))
        text = "  ".join(f"{key} {value:.4g}" for key, value in figures.items() if isinstance(value, int | float))
        self._move("train", trainer.global_step, text)
        if time.monotonic() - self._told > LINE_SECONDS:
            self._told = time.monotonic()
            self._line(trainer, text)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Show a bar for the pictures."""
        batches = trainer.num_sanity_val_batches if trainer.sanity_checking else trainer.num_val_batches
        self._show("validate", sum(map(float, batches)))

    def on_validation_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:
        """Move the bar."""
        self._move("validate")

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Hide the bar."""
        self._hide("validate")

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Show a bar for the pictures."""
        self._show("test", sum(map(float, trainer.num_test_batches)))

    def on_test_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:
        """Move the bar."""
        self._move("test")

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Show a bar for the pictures."""
        self._show("predict", sum(map(float, trainer.num_predict_batches)))

    def on_predict_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:
        """Move the bar."""
        self._move("predict")

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Leave the terminal as it was."""
        self._stop()

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Leave the terminal as it was, and say how the training went."""
        if stage == "fit" and self._enabled and "train" in self._tasks and not self.console.is_terminal:
            self._line(trainer, "")
        self._stop()

    @staticmethod
    def _steps(trainer: Trainer) -> float:
        return float(trainer.max_steps if trainer.max_steps > 0 else trainer.estimated_stepping_batches)

    def _show(self, name: str, total: float, completed: int = 0) -> None:
        if not self._enabled:
            return
        if self._progress is None:
            self._progress = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                TimeLeftColumn(),
                TextColumn("{task.fields[figures]}"),
                console=self.console,
                disable=not self.console.is_terminal,
            )
            self._progress.start()
        # an endless run has no total, and rich then shows a pulse
        known = total if total < sys.maxsize else None
        self._tasks[name] = self._progress.add_task(name, total=known, completed=completed, figures="")

    def _move(self, name: str, completed: int | None = None, figures: str = "") -> None:
        if self._progress is not None and name in self._tasks:
            advance = 1 if completed is None else None
            self._progress.update(self._tasks[name], completed=completed, advance=advance, figures=figures)

    def _hide(self, name: str) -> None:
        if self._progress is not None and name in self._tasks:
            self._progress.remove_task(self._tasks.pop(name))

    def _line(self, trainer: Trainer, text: str) -> None:
        if not self._enabled or self.console.is_terminal:
            return
        done, total = trainer.global_step, self._steps(trainer)
        seconds = time.monotonic() - self._began
        left = (total - done) * seconds / max(done - self._first_step, 1)
        ends = f", {rough_duration(left)} left" if done < total else f" in {seconds:.0f} s"
        self.console.print(f"step {done}/{total:.0f}{ends}  {text}".rstrip(), highlight=False, soft_wrap=True)

    def _stop(self) -> None:
        if self._progress is not None:
            self._progress.stop()
            self._progress = None
            self._tasks.clear()
