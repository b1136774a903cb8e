"""Callbacks that follow a run."""

import math
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any

import lightning as L

from dsrnss.reporting.logs import FOLLOWED


class History(L.Callback):
    """Keeps smoothed curves of a run in memory, and reports every step.

    Args:
        on_step: Called after each training step with the newest loss.
        every: Steps between two points of a curve; each is the mean over the steps since the last.
        followed: Name of a curve -> name in the log.
    """

    def __init__(
        self,
        on_step: Callable[[float], None] = lambda _: None,
        every: int = 10,
        followed: Mapping[str, str] | None = None,
    ) -> None:
        self.on_step, self.every = on_step, every
        self.followed = dict(FOLLOWED if followed is None else followed)
        self.curves: dict[str, list[tuple[float, float]]] = defaultdict(list)
        self.scores: dict[str, list[tuple[int, float, float]]] = defaultdict(list)
        self._since: dict[str, list[float]] = defaultdict(list)

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Take the step's values."""
        values = trainer.callback_metrics
        for name, key in self.followed.items():
            if key in values and not math.isnan(values[key]):
                self._since[name].append(float(values[key]))
        if trainer.global_step % self.every == 0:
            for name, since in self._since.items():
                self.curves[name].append((trainer.global_step, sum(since) / len(since)))
            self._since.clear()
        if "train/loss" in values:  # not there while the first batches are skipped
            self.on_step(float(values["train/loss"]))

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Take the mean IoU of each validation set, if the whole of it was measured."""
        if trainer.sanity_checking and trainer.num_sanity_val_steps != float("inf"):
            return
        for name, result in getattr(pl_module, "results", {}).items():
            self.scores[name].append((trainer.global_step, result.mean_iou, result.mean_iou_dynamic_small))


class DataWait(L.Callback):
    """Measures which share of the training time goes into waiting for data.

    Attributes:
        share: Of the time since the second batch, 0 to 1; nan before it. Validation is left out.
    """

    def __init__(self) -> None:
        self._left: float | None = None
        self._began = self._waited = self._stepped = 0.0

    @property
    def share(self) -> float:
        """Waiting over waiting and stepping."""
        total = self._waited + self._stepped
        return self._waited / total if total else float("nan")

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """A batch has come."""
        self._began = time.perf_counter()
        if self._left is not None:
            self._waited += self._began - self._left

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """A step is done; the first one, which starts everything, is not counted."""
        now = time.perf_counter()
        if self._left is not None:
            self._stepped += now - self._began
        self._left = now

    def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Neither waiting nor stepping."""
        self._left = None
