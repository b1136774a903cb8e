"""Freed memory stays in the process: large temporaries on the CPU are not mapped anew each time."""

import ctypes
import os
import platform

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD, _M_MMAP_MAX = -1, -2, -3, -4  # malloc.h of glibc
_TOP_PAD = 2**26
_LARGEST = 2**25
"""Bytes above which a block can be told to be mapped: no number above it is taken."""
_MUCH = 2**30
"""Freed bytes that may stay in the heap from one training step to the next."""
_keeps = False


class _Counts(ctypes.Structure):
    """What glibc's `mallinfo2` returns."""

    _names = "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost"
    _fields_ = tuple((name, ctypes.c_size_t) for name in _names.split())


def keep_freed_memory(*, largest_too: bool = True) -> bool:
    """Let the C library take memory from the heap and give none of it back before the process ends.

    By default it maps each large tensor and unmaps it when it is freed, and the system clears every page of the next
    one: a fifth of the CPU time of a training step, or of inference.

    Args:
        largest_too: Also blocks above 32 MiB. In a training, whose tensors are of all sizes and live for as long, they
            leave holes in the heap: they save a tenth of the time and cost a quarter of the memory.

    Returns:
        Whether that is so now: not where the C library is not glibc, another allocator was loaded before it, or the
        environment has settings for it (`MALLOC_...`, `GLIBC_TUNABLES`), which count.
    """
    global _keeps
    told = any(name.startswith("MALLOC_") or name in ("GLIBC_TUNABLES", "LD_PRELOAD") for name in os.environ)
    if told or platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    settings = {_M_TRIM_THRESHOLD: -1, _M_TOP_PAD: _TOP_PAD}  # -1: never
    settings |= {_M_MMAP_MAX: 0} if largest_too else {_M_MMAP_THRESHOLD: _LARGEST}
    _keeps = all(mallopt(name, value) for name, value in settings.items())
    return _keeps


def give_back_what_is_much() -> bool:
    """Give freed memory that `keep_freed_memory` has kept back to the system, if it is more than 1 GiB.

    Between two training steps, when little is in use: the holes that one stage leaves do not fit what the next one
    needs, and the peak would be that of both. Below, clearing the pages again would cost more than they are worth.

    Returns:
        Whether any was given back.
    """
    libc = ctypes.CDLL(None) if _keeps else None
    if libc is None or not hasattr(libc, "mallinfo2"):  # glibc 2.33
        return False
    libc.mallinfo2.restype = _Counts
    return bool(libc.mallinfo2().fordblks > _MUCH and libc.malloc_trim(0))
