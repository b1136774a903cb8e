"""Freed memory that is kept."""

import os
import platform
import subprocess
import sys

import pytest

_PROGRAM = """
import mmap, resource, sys, torch
from dsrnss.allocator import keep_freed_memory
kept, size = keep_freed_memory(largest_too=sys.argv[1] == "True"), int(sys.argv[2])
for _ in range(20):  # glibc before 2.38 leaves a few holes at first
    torch.ones(size)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(4):
    torch.ones(size)
pages = 4 * 4 * size // mmap.PAGESIZE
print(kept, (resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) / pages)
"""
LARGE, LARGEST = 2**22, 2**24
"""Elements of 16 and of 64 MiB."""


def _run(largest_too: bool = True, size: int = LARGE, **environment: str) -> tuple[str, float]:
    env = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")} | environment
    command = [sys.executable, "-c", _PROGRAM, str(largest_too), str(size)]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
    kept, share = done.stdout.split()
    return kept, float(share)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is another")
@pytest.mark.parametrize(("largest_too", "size"), [(True, LARGE), (True, LARGEST), (False, LARGE)])
def test_a_large_tensor_takes_the_pages_of_the_one_before(largest_too: bool, size: int) -> None:
    kept, share = _run(largest_too, size)
    assert kept == "True"
    assert share < 0.1


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is another")
def test_the_largest_can_be_given_back() -> None:
    kept, share = _run(False, LARGEST)
    assert kept == "True"
    assert share > 0.001, "mapped anew, also where pages are of 2 MiB"


_HOLES = """
import sys, torch
from dsrnss.allocator import give_back_what_is_much, keep_freed_memory
def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096 / 2**30
keep_freed_memory(largest_too=False)
blocks = [torch.ones(2**22) for _ in range(int(sys.argv[1]))]
del blocks[::2], blocks[:-1]
before = resident()
print(give_back_what_is_much(), before - resident())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is another")
@pytest.mark.parametrize(("blocks", "expected"), [(80, True), (40, False)])
def test_much_that_is_free_can_be_given_back(blocks: int, expected: bool) -> None:
    """80 blocks of 16 MiB, the last of which is still held: nothing below it would go by itself."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    command = [sys.executable, "-c", _HOLES, str(blocks)]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
    given, gib = done.stdout.split()
    assert given == str(expected)
    assert (float(gib) > 0.9) == expected


def test_what_the_environment_says_counts() -> None:
    assert _run(MALLOC_TOP_PAD_="131072")[0] == "False"
