"""One way to do the same thing to many items in several processes."""

import multiprocessing
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from dsrnss.errors import DataError
from dsrnss.machine import available_cores, one_blas_thread

Shared = TypeVar("Shared")
Item = TypeVar("Item")
Result = TypeVar("Result")
Array = npt.NDArray[np.int64]
Progress = Callable[[int, int], None]
"""Called with (items done, items in all)."""

_CHUNK = 16
"""So many terms of a sum are added up where they were computed."""
_job: tuple[Callable[[Any, Any], Any], Any] | None = None


def single_thread() -> None:
    """Keep the numeric libraries of a worker process to one thread; the processes are the parallelism."""
    import cv2
    import torch

    cv2.setNumThreads(0)
    torch.set_num_threads(1)
    one_blas_thread()


def _start(function: Callable[[Any, Any], Any], shared: Any) -> None:
    global _job
    _job = (function, shared)
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    single_thread()


def _leave_with_parent() -> None:
    """End this process when the one that started it was killed: it would wait for work for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _call(item: Any) -> Any:
    if _job is None:
        raise RuntimeError("A worker process was not started by parallel_map.")
    function, shared = _job
    return function(shared, item)


def parallel_map(
    function: Callable[[Shared, Item], Result],
    shared: Shared,
    items: Sequence[Item],
    *,
    workers: int | None = None,
    progress: Progress | None = None,
) -> list[Result]:
    """Compute `function(shared, item)` for every item, in the order of the items.

    Args:
        function: A function of a module (it must be picklable); its errors come through unchanged.
        shared: What all calls need; sent to each process once.
        items: The items.
        workers: Number of processes; 0 or 1: this process does the work. None: one a core.
        progress: Called after each item, in order.

    Raises:
        DataError: If a process is killed, which mostly means that the memory ran out.
    """
    total, results = len(items), list[Result]()
    workers = min(available_cores() if workers is None else workers, total)
    if workers <= 1:
        for item in items:
            results.append(function(shared, item))
            if progress:
                progress(len(results), total)
        return results
    context = multiprocessing.get_context()
    try:
        with ProcessPoolExecutor(workers, context, _start, (function, shared)) as pool:
            for result in pool.map(_call, items, chunksize=max(1, min(16, total // (workers * 8)))):
                results.append(result)
                if progress:
                    progress(len(results), total)
    except BrokenProcessPool as error:
        raise DataError(
            f"A worker process died at item {len(results) + 1} of {total}: perhaps out of memory; try fewer workers."
        ) from error
    return results


def parallel_sum(
    function: Callable[[Shared, Item], Array],
    shared: Shared,
    items: Sequence[Item],
    *,
    progress: Progress | None = None,
) -> Array:
    """The sum of `function(shared, item)` over all items, without ever holding all of its terms.

    Args:
        function: A function of a module (it must be picklable); its errors come through unchanged.
        shared: What all calls need; sent to each process once.
        items: The items, at least one.
        progress: Called now and then with (chunks of items done, chunks in all).

    Raises:
        DataError: If a process is killed, which mostly means that the memory ran out.
    """
    chunks = [items[start : start + _CHUNK] for start in range(0, len(items), _CHUNK)]
    total: Array = np.sum(parallel_map(_sum, (function, shared), chunks, progress=progress), axis=0)
    return total


def _sum(job: tuple[Callable[[Any, Any], Array], Any], items: Sequence[Any]) -> Array:
    function, shared = job
    total = function(shared, items[0])
    for item in items[1:]:
        total += function(shared, item)
    return total
