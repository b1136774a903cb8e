"""What a run leaves of itself beside its curves: when, how long, on which machine, with which versions."""

import json
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import lightning as L

from dsrnss.machine import summary
from dsrnss.writing import write_atomically

RECORD = "run.json"


class RunRecord(L.Callback):
    """Writes `run.json` into the run's folder when training begins, and again when it ends or fails."""

    def __init__(self) -> None:
        self._content: dict[str, Any] = {}
        self._folder: str | None = None
        self._began = self._validating = self._validated = 0.0

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Write what is known before the first step."""
        self._began, self._validated = time.perf_counter(), 0.0
        self._folder = trainer.log_dir  # an exchange, which all processes must join
        self._content = {
            "started": datetime.now().astimezone().isoformat(timespec="seconds"),
            "first_step": trainer.global_step,
            "devices": f"{trainer.world_size} x {pl_module.device.type}",
            "precision": str(trainer.precision),
            "machine": summary(),
        }
        self._write(trainer, finished=False)

    def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Validation has a time of its own."""
        self._validating = time.perf_counter()

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Add it up; the check before the training is no part of it."""
        if self._began:
            self._validated += time.perf_counter() - self._validating

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Write how it went."""
        self._write(trainer, finished=trainer.global_step >= trainer.max_steps)

    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        """Write how far it came."""
        if self._content:
            self._write(trainer, finished=False)

    def _write(self, trainer: L.Trainer, *, finished: bool) -> None:
        if not trainer.is_global_zero or self._folder is None:
            return
        seconds = time.perf_counter() - self._began
        content = {
            **self._content,
            "last_step": trainer.global_step,
            "finished": finished,
            "seconds": {"training": seconds - self._validated, "validation": self._validated},
        }
        write_atomically(Path(self._folder) / RECORD, f"{json.dumps(content, indent=1)}\n".encode())
