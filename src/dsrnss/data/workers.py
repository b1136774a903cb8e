"""Processes that load data: what stops a run is for the main process, which still wants its last batches."""

import multiprocessing
import os
import signal
import time
from typing import Any

from dsrnss.data.parallel import single_thread

_WANTED = multiprocessing.RawValue("b", 0)
"""Whether the main process was told to stop and has not done so yet; seen by the workers that it forks."""
_PATIENCE = 0.5
"""Seconds after a signal to the whole group until the main process has surely seen it too."""


def keep_workers(wanted: bool) -> None:
    """Let the workers outlive SIGTERM, or no longer.

    Args:
        wanted: Whether this process, told to stop, still needs them.
    """
    _WANTED.value = int(wanted)


def start_worker(_: int) -> None:
    """What a worker does before it loads anything."""
    for name in ("SIGINT", "SIGUSR1"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _end_unless_wanted)
    single_thread()


def _end_unless_wanted(signum: int, frame: Any) -> None:
    time.sleep(_PATIENCE)
    if not _WANTED.value:
        os._exit(128 + signum)
