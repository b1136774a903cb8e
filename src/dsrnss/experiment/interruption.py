"""Ctrl-C, handed on."""

import contextlib
from collections.abc import Iterator

from lightning.pytorch import Trainer


@contextlib.contextmanager
def interruptible(trainer: Trainer) -> Iterator[None]:
    """Hand Ctrl-C on, which Lightning turns into an exit of its own.

    Raises:
        KeyboardInterrupt: If the user stopped the trainer.
    """
    try:
        yield
    except SystemExit as stop:
        if trainer.interrupted:
            raise KeyboardInterrupt from stop
        raise
    if trainer.interrupted:
        raise KeyboardInterrupt
