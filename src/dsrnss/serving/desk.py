"""One request is computed at a time, a few may wait, and none takes longer than its time.

A single thread computes, so that the memory in use is that of one request whatever the number of visitors. A network's
pass cannot be stopped from outside: who asked is answered when the time is over, and the work ends at its next step.
"""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotDoneError
from contextlib import contextmanager
from typing import TypeVar

from dsrnss.errors import RefusedError

T = TypeVar("T")
_STOPPED = "The server is being stopped."


class Turn:
    """A place in the queue, and its time.

    Args:
        executor: What computes.
        seconds: From now on.
        closed: Set when the server ends.
    """

    def __init__(self, executor: ThreadPoolExecutor, seconds: float, closed: threading.Event) -> None:
        self._executor, self._seconds, self._closed = executor, seconds, closed
        self._start = time.monotonic()
        self.future: Future[object] | None = None

    def check(self) -> None:
        """Called between the steps of the work.

        Raises:
            RefusedError: If the time is over, or the server ends.
        """
        if self._closed.is_set():
            raise RefusedError(_STOPPED, 503)
        if self.remaining() <= 0:
            raise self._over()

    def elapsed(self) -> float:
        """Seconds since the request came."""
        return time.monotonic() - self._start

    def remaining(self) -> float:
        """Seconds that are left."""
        return self._seconds - self.elapsed()

    def run(self, work: Callable[["Turn"], T]) -> T:
        """Wait for the other requests, then compute; what `work` raises is raised here.

        Args:
            work: Given this turn; it calls `check` between its steps.

        Raises:
            RefusedError: If the time is over.
        """

        def begin() -> T:
            self.check()
            return work(self)

        self.check()
        try:
            future = self._executor.submit(begin)
        except RuntimeError as error:  # it was shut down
            raise RefusedError(_STOPPED, 503) from error
        self.future = future  # type: ignore[assignment]
        try:
            return future.result(timeout=max(0.0, self.remaining()))
        except NotDoneError as error:
            future.cancel()
            raise self._over() from error
        except CancelledError as error:
            raise RefusedError(_STOPPED, 503) from error

    def _over(self) -> RefusedError:
        return RefusedError(f"This took longer than the {self._seconds:g} s that are allowed here.", 503)


class Desk:
    """The queue.

    Args:
        waiting: Requests that may wait while one is computed.
        seconds: That a request may take, waiting included.
    """

    def __init__(self, waiting: int, seconds: float) -> None:
        self.waiting, self.seconds = waiting, seconds
        self._inside, self._lock, self._closed = 0, threading.Lock(), threading.Event()
        self._executor = ThreadPoolExecutor(1, "serve")

    @property
    def inside(self) -> int:
        """Requests that wait or are computed."""
        return self._inside

    @contextmanager
    def admitted(self) -> Iterator[Turn]:
        """Take a place in the queue before an upload is read; work that goes on longer than the block keeps it.

        Raises:
            RefusedError: If there is none.
        """
        with self._lock:
            if self._inside > self.waiting:
                raise RefusedError("The server is busy: too many others wait already. Try again in a minute.", 503)
            self._inside += 1
        turn = Turn(self._executor, self.seconds, self._closed)
        try:
            yield turn
        finally:
            if turn.future is None:
                self._leave()
            else:
                turn.future.add_done_callback(lambda _: self._leave())

    def _leave(self) -> None:
        with self._lock:
            self._inside -= 1

    def close(self, *, wait: bool = True) -> None:
        """End: who waits is refused, what is computed ends at its next step.

        Args:
            wait: For that step.
        """
        self._closed.set()
        self._executor.shutdown(wait=wait, cancel_futures=True)
