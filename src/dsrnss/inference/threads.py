"""Stages of a pipeline in threads of their own: what comes before runs ahead, what comes after lags behind."""

import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import Generic, TypeVar

T = TypeVar("T")

_PATIENCE = 0.1
"""Seconds after which a waiting thread looks whether it is to stop."""


class _End:
    """What a thread has to say last: that it is done, or its error."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error


class _Stage(Generic[T]):
    """A thread and the bounded queue between it and the caller."""

    def __init__(self, length: int, name: str) -> None:
        self._items: queue.Queue[T | _End] = queue.Queue(length)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        raise NotImplementedError

    def _put(self, item: T | _End) -> bool:
        """Wait for room in the queue; False: the stage was told to stop."""
        while not self._stop.is_set():
            try:
                self._items.put(item, timeout=_PATIENCE)
                return True
            except queue.Full:
                continue
        return False

    def _end(self) -> None:
        self._stop.set()
        self._thread.join()


class ReadAhead(_Stage[T]):
    """An iterable that runs in a thread, some items ahead of whoever iterates over this.

    Its errors are raised where the item was to come. Leaving the block stops it.

    Args:
        items: What to run.
        ahead: So many items wait at most.
        newest: Of a source that does not wait, such as a camera: where the queue is full, its oldest item is dropped.

    Attributes:
        dropped: Items that were.

    Example:
        >>> with ReadAhead(range(3), 1) as numbers:
        ...     list(numbers)
        [0, 1, 2]
    """

    def __init__(self, items: Iterable[T], ahead: int, *, newest: bool = False) -> None:
        self._source, self._newest, self.dropped = items, newest, 0
        super().__init__(ahead, "read ahead")

    def __enter__(self) -> Iterator[T]:
        """The items."""
        return self._iterate()

    def __exit__(self, *_: object) -> None:
        """Stop the thread."""
        self._end()

    def _iterate(self) -> Iterator[T]:
        while True:
            item = self._items.get()
            if not isinstance(item, _End):
                yield item
            elif item.error is None:
                return
            else:
                raise item.error

    def _run(self) -> None:
        try:
            for item in self._source:
                if self._newest:
                    self._drop_oldest()
                if not self._put(item):
                    return
            self._put(_End())
        except BaseException as error:
            self._put(_End(error))

    def _drop_oldest(self) -> None:
        if self._items.full():
            try:
                self._items.get_nowait()
                self.dropped += 1
            except queue.Empty:
                pass


class WriteBehind(_Stage[T]):
    """A function that is called in a thread, some items behind whoever gives them to it.

    Its error is raised by the next `put`, or at the end of the block, which waits until all is done. Where the block
    ends by an error, what still waits is given up.

    Args:
        write: What to call with each item, in the order that they come.
        behind: So many items wait at most.

    Example:
        >>> with WriteBehind(print, 1) as writer:
        ...     writer.put("a")
        a
    """

    def __init__(self, write: Callable[[T], None], behind: int) -> None:
        self._write = write
        self._failed: BaseException | None = None
        super().__init__(behind, "write behind")

    def __enter__(self) -> "WriteBehind[T]":
        """Itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        """Wait until all is written.

        Raises:
            BaseException: What the function has raised.
        """
        if kind is None:
            self._put(_End())
            self._thread.join()
            if self._failed is not None:
                raise self._failed
        self._end()

    def put(self, item: T) -> None:
        """Give an item, waiting while too many wait.

        Raises:
            BaseException: What the function has raised for an earlier one.
        """
        if not self._put(item) and self._failed is not None:
            raise self._failed

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                item = self._items.get(timeout=_PATIENCE)
            except queue.Empty:
                continue
            if isinstance(item, _End):
                return
            try:
                self._write(item)
            except BaseException as error:
                self._failed = error
                self._stop.set()
