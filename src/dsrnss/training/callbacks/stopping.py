"""Signals stop a run between two steps, with everything saved."""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import lightning as L

from dsrnss.data.workers import keep_workers
from dsrnss.training.processes import highest

SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGUSR1") if hasattr(signal, name))


class Stopped(SystemExit):
    """A run was stopped by a signal; the exit code is 128 and the signal's number, as a shell counts.

    Attributes:
        signal: The signal.
    """

    def __init__(self, signum: int) -> None:
        super().__init__(128 + signum)
        self.signal = signal.Signals(signum)


class StopOnSignal(L.Callback):
    """Ctrl-C, SIGTERM and SIGUSR1 let a training finish its step, save, and stop; a second one stops it at once.

    Outside of training there is nothing to save: the first one stops at once. Of several processes all stop in the same
    step, whichever was told to.

    Args:
        save: Called between two steps, when nothing of the training is half done.

    Attributes:
        saved: Whether all was saved for a stop.
    """

    def __init__(self, save: Callable[[], object]) -> None:
        self.save = save
        self.saved = False
        self._training = False
        self._pending: int | None = None

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Handle the signals inside the block; does nothing outside of the main thread, which alone may do so."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self._handle) for number in SIGNALS}
        try:
            yield
        finally:
            keep_workers(False)
            for number, handler in before.items():
                signal.signal(number, handler)

    def _handle(self, signum: int, frame: Any) -> None:
        if self._pending is not None or not self._training:
            self._training = False
            raise Stopped(signum)
        self._pending = signum
        keep_workers(True)
        # a handler may interrupt anything, printing included: only this is safe
        name = signal.Signals(signum).name
        with contextlib.suppress(OSError, ValueError, AttributeError):
            text = f"\nnote: {name}: stopping when this step is done and saved; once more stops at once.\n"
            os.write(sys.stderr.fileno(), text.encode())

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """From here on there is something to save."""
        self._training = True
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:  # Lightning has put its own in between
                signal.signal(number, self._handle)

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Nothing is half done any more."""
        self._training = False

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save, if a stop is wanted, at the end of an optimiser step: accumulated gradients are in no checkpoint."""
        if (batch_idx + 1) % trainer.accumulate_grad_batches == 0 or trainer.is_last_batch:
            self._save_if_wanted()

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Stop, if that was wanted and all is saved; by now the step's numbers are logged too."""
        self._stop_if_saved()

    def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Stop before a validation, if that was wanted and all is saved."""
        self._stop_if_saved()

    def on_validation_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Save and stop in the middle of a validation, if that is wanted; it is not made up for."""
        if self._training:
            self._save_if_wanted()
            self._stop_if_saved()

    def _save_if_wanted(self) -> None:
        if wanted := highest(self._pending or 0):
            self._pending = wanted
            self.save()
            self.saved = True

    def _stop_if_saved(self) -> None:
        if self._pending is not None and self.saved:
            self._training = False
            raise Stopped(self._pending)
