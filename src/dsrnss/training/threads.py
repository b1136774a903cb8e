"""How many CPU threads are fastest here: on shared or small machines one often beats two."""

import time
from collections.abc import Callable, Iterable

import torch

from dsrnss.machine import available_cores


def thread_candidates() -> list[int]:
    """1, 2, 4, ... up to the cores of this machine."""
    cores = available_cores()
    return sorted({1, cores, *(2**i for i in range(cores.bit_length()) if 2**i <= cores)})


def fastest_thread_count(work: Callable[[], object], candidates: Iterable[int] | None = None) -> int:
    """Time a piece of work with several thread counts, and set the fastest.

    Args:
        work: Called twice for each count; the second call is timed.
        candidates: Thread counts; by default `thread_candidates`.

    Returns:
        The count now set for torch.
    """
    seconds = {}
    for count in candidates or thread_candidates():
        torch.set_num_threads(count)
        work()
        start = time.perf_counter()
        work()
        seconds[count] = time.perf_counter() - start
    best = min(seconds, key=lambda count: seconds[count])
    torch.set_num_threads(best)
    return best
