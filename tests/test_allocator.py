"""Freed memory that is kept."""

import os
import platform
import subprocess
import sys

import pytest

_PROGRAM = """
import mmap, resource, torch
from dsrnss.allocator import keep_freed_memory
kept = keep_freed_memory()
for _ in range(20):  # glibc before 2.38 leaves a few holes at first
    torch.ones(2**22)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(4):
    torch.ones(2**22)
pages = 4 * 2**24 // mmap.PAGESIZE
print(kept, (resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) / pages)
"""


def _run(**environment: str) -> tuple[str, float]:
    env = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")} | environment
    done = subprocess.run([sys.executable, "-c", _PROGRAM], env=env, capture_output=True, text=True, check=True)
    kept, share = done.stdout.split()
    return kept, float(share)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is another")
def test_a_large_tensor_takes_the_pages_of_the_one_before() -> None:
    kept, share = _run()
    assert kept == "True"
    assert share < 0.1


def test_what_the_environment_says_counts() -> None:
    assert _run(MALLOC_TOP_PAD_="131072")[0] == "False"
