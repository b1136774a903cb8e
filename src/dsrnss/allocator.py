"""Freed memory stays in the process: large temporaries on the CPU are not mapped anew each time."""

import ctypes
import os
import platform

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4  # malloc.h of glibc
_TOP_PAD = 2**26


def keep_freed_memory() -> bool:
    """Let the C library take all memory from the heap and give none of it back before the process ends.

    By default it maps each large tensor and unmaps it when it is freed, and the system clears every page of the next
    one: a fifth of the CPU time of a training step, or of inference.

    Returns:
        Whether that is so now: not where the C library is not glibc, another allocator was loaded before it, or the
        environment has settings for it (`MALLOC_...`, `GLIBC_TUNABLES`), which count.
    """
    told = any(name.startswith("MALLOC_") or name in ("GLIBC_TUNABLES", "LD_PRELOAD") for name in os.environ)
    if told or platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    settings = {_M_MMAP_MAX: 0, _M_TRIM_THRESHOLD: -1, _M_TOP_PAD: _TOP_PAD}  # -1: never
    return all(mallopt(name, value) for name, value in settings.items())
