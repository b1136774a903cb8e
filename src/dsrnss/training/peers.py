"""Several processes that train together end together: one that has died is noticed by the others within a minute."""

import contextlib
import os
import threading
from collections.abc import Callable
from datetime import timedelta
from types import TracebackType
from typing import Any

import lightning as L
from torch import distributed
from torch._C._distributed_c10d import TCPStore

from dsrnss import console
from dsrnss.collectives import together
from dsrnss.training.processes import host_group

POLL = 2.0
"""Seconds between two looks at the others."""
SILENT = 20
"""So many looks without a sign of life mean death: counted in looks, so that Ctrl-Z suspends a run and ends none."""
PATIENCE = 8.0
"""Seconds in which a process that knows of another's end may end by itself, and say why."""
_TIMEOUT = timedelta(seconds=30)
_ENDED = "dsrnss/ended"


class Peers(L.Callback):
    """Ends this process where another one of the same run has ended or hangs.

    The others would wait for it inside an exchange: gloo notices a broken connection, NCCL waits for half an hour, and
    not every launcher looks after its processes. So each process counts up a number in the store in which they all met,
    and looks at the number of the next one. Inside the block (`with`) it knows how the run ended, and tells the others.

    Args:
        end: Called with a message where this process must end and does not; it ends it.
    """

    def __init__(self, end: Callable[[str], None] | None = None) -> None:
        self._end = end or _end
        self._stop = threading.Event()
        self._store: Any = None
        self._thread: threading.Thread | None = None

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Begin to watch, now that the processes have met."""
        if not together() or self._thread is not None or "MASTER_PORT" not in os.environ:
            return
        host_group()
        place = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
        self._store = TCPStore(*place, is_master=False, wait_for_workers=False, timeout=_TIMEOUT)
        self._thread = threading.Thread(target=self._watch, args=_place(), name="peers", daemon=True)
        self._thread.start()

    def __enter__(self) -> "Peers":
        """Itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let all end together; where an error ended this one, tell the others and see that it does end."""
        if self._thread is None:
            return
        if error is None:
            distributed.barrier(group=host_group())  # who leaves first may take the store along
            self._stop.set()
            self._thread.join()
            return
        self._stop.set()
        if isinstance(error, SystemExit):  # told to stop, which all agree on
            return
        rank, world = _place()
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        with contextlib.suppress(RuntimeError):  # the store has ended too
            self._store.compare_set(_ENDED, "", f"process {rank + 1} of {world} has ended: {first}")
        timer = threading.Timer(4 * PATIENCE, os._exit, [1])  # what is still in an exchange keeps a process from ending
        timer.daemon = True
        timer.start()

    def _watch(self, rank: int, world: int) -> None:
        follower, seen, silent = (rank + 1) % world, 0, 0
        while not self._stop.wait(POLL):
            try:
                self._store.add(f"dsrnss/alive/{rank}", 1)
                now = self._store.add(f"dsrnss/alive/{follower}", 0)
                silent = silent + 1 if now == seen else 0
                seen = now
                if silent >= SILENT:
                    self._store.compare_set(_ENDED, "", f"process {follower + 1} of {world} gives no sign of life")
                if not self._store.check([_ENDED]):
                    continue
                what = self._store.get(_ENDED).decode()
            except RuntimeError:
                what = "the process in which all met, or the launcher, has ended"
            if not self._stop.wait(PATIENCE):
                self._end(f"{what}. This is process {rank + 1}; it ends too. What is saved is whole.")
            return


def _place() -> tuple[int, int]:
    return distributed.get_rank(), distributed.get_world_size()


def _end(message: str) -> None:
    console.error(message)
    os._exit(1)
