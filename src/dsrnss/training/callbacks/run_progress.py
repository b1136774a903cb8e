"""Progress of a run over all its steps, with its time left; lines instead of a bar where there is no terminal."""

import math
import sys
import time
from contextlib import ExitStack
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ProgressBar
from rich.console import Console

from dsrnss.progress import ProgressDisplay

_FIGURE_SECONDS = 1.0
"""Between two looks at the numbers of a training."""


class RunProgress(ProgressBar):
    """Counts optimiser steps while training, and batches of pictures in evaluation.

    Args:
        console: Where to show it; standard error by default.
    """

    def __init__(self, console: Console | None = None) -> None:
        super().__init__()
        self._console, self._enabled = console, True
        self._display: ProgressDisplay | None = None
        self._asked, self._figures = -math.inf, dict[str, float]()
        self._shown = ExitStack()

    def disable(self) -> None:
        """Say nothing; Lightning asks this of all processes but the first."""
        self._enabled = False

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Show the bar of the whole run."""
        steps = trainer.max_steps if trainer.max_steps > 0 else trainer.estimated_stepping_batches
        self._begin("step", float(steps), trainer.global_step)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Move the bar and show the newest figures, now and then: a GPU is waited for by whoever asks for them."""
        if self._display is None:
            return
        now = time.monotonic()
        if now - self._asked >= _FIGURE_SECONDS or trainer.global_step == trainer.max_steps:
            self._asked, self._figures = now, self._newest(trainer, pl_module, outputs)
        self._display.reach(trainer.global_step, figures=self._figures)

    def _newest(self, trainer: Trainer, pl_module: LightningModule, outputs: Any) -> dict[str, float]:
        metrics = self.get_metrics(trainer, pl_module)
        figures = {key: v for key, v in metrics.items() if key != "v_num" and isinstance(v, int | float)}
        loss = outputs.get("loss") if isinstance(outputs, dict) else outputs
        if loss is not None and not any(key.endswith("loss") for key in figures):
            figures["loss"] = float(loss)
        return figures

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Say how the training went."""
        self._end()

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Show a bar for the pictures."""
        batches = trainer.num_sanity_val_batches if trainer.sanity_checking else trainer.num_val_batches
        self._begin("validate", sum(map(float, batches)))

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Show a bar for the pictures."""
        self._begin("test", sum(map(float, trainer.num_test_batches)))

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Show a bar for the pictures."""
        self._begin("predict", sum(map(float, trainer.num_predict_batches)))

    def on_validation_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:
        """Move the bar."""
        self._advance()

    def on_test_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:
        """Move the bar."""
        self._advance()

    def on_predict_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:
        """Move the bar."""
        self._advance()

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Hide the bar."""
        self._end(quiet=True)

    on_test_end = on_predict_end = on_validation_end

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Leave the terminal as it was."""
        self._stop()

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Leave the terminal as it was."""
        self._stop()

    def _begin(self, name: str, total: float, completed: int = 0) -> None:
        if not self._enabled:
            return
        if self._display is None:
            self._display = self._shown.enter_context(ProgressDisplay(console=self._console))
        # an endless run has no total
        self._display.begin(name, total if total < sys.maxsize else None, completed)

    def _advance(self) -> None:
        if self._display is not None:
            self._display.advance()

    def _end(self, *, quiet: bool = False) -> None:
        if self._display is not None:
            self._display.end(quiet=quiet)

    def _stop(self) -> None:
        self._shown.close()
        self._display = None
