"""This machine and what is installed on it, told without importing torch."""

import importlib.util
import os
import platform
import re
import subprocess
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from threadpoolctl import ThreadpoolController

from dsrnss import __version__

_ASKED = "name,memory.total,driver_version"
_PATIENCE = 10.0
"""Seconds that a driver may take to answer."""


@dataclass(frozen=True)
class Gpu:
    """A GPU that its driver knows.

    Attributes:
        name: Of the model.
        memory: Bytes.
        driver: Its version.
    """

    name: str
    memory: int
    driver: str


def available_cores() -> int:
    """Number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@cache
def _pools() -> ThreadpoolController:
    return ThreadpoolController()


def one_blas_thread() -> AbstractContextManager[Any]:
    """Let numpy's products of matrices use one thread, from this call until the context ends, if it is used as one.

    Threads that wait for each other cost small products ten times their work, as soon as cores are busy with something
    else; and how many there are decides the last digits.
    """
    limited: AbstractContextManager[Any] = _pools().limit(limits=1, user_api="blas")
    return limited


def processor() -> str:
    """The model of the processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or "unknown"


def memory() -> int | None:
    """Bytes of memory that this process may use: the machine's, or what its container allows; None: not known."""
    try:
        machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # another system
        return None
    for limit in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            machine = min(machine, int(Path(limit).read_text(encoding="ascii")))
        except (OSError, ValueError):  # no such limit, or "max"
            continue
    return machine


def gpus() -> list[Gpu]:
    """The GPUs of NVIDIA that are here, as their driver tells."""
    words = ["nvidia-smi", f"--query-gpu={_ASKED}", "--format=csv,noheader,nounits"]
    try:
        told = subprocess.run(words, capture_output=True, text=True, timeout=_PATIENCE, check=True).stdout
    except (OSError, subprocess.SubprocessError):  # no driver, or one that does not answer
        return []
    rows = [[cell.strip() for cell in line.split(",")] for line in told.splitlines()]
    return [
        Gpu(name, int(size) * 2**20 if size.isdigit() else 0, driver)
        for name, size, driver in (row for row in rows if len(row) == 3)
    ]


def version(distribution: str) -> str | None:
    """Which version of a library is installed, None: it is not."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def torch_build() -> str | None:
    """What torch was built for: `CUDA 13.0`, `ROCm 6.4` or `the CPU alone`; None: it is not installed."""
    spec = importlib.util.find_spec("torch")
    if spec is None or spec.origin is None:
        return None
    try:  # importing torch takes seconds
        text = (Path(spec.origin).parent / "version.py").read_text(encoding="utf-8")
    except OSError:
        return "unknown"
    built = re.findall(r"^(cuda|hip)\b.*= '([\d.]+)", text, re.MULTILINE)
    names = {"cuda": "CUDA", "hip": "ROCm"}
    return ", ".join(f"{names[kind]} {number}" for kind, number in built) or "the CPU alone"


def summary() -> dict[str, str]:
    """What a run ran on: property -> value as shown."""
    found = {
        "processor": processor(),
        "cores": str(available_cores()),
        "GPU": ", ".join(gpu.name for gpu in gpus()),
        "system": f"{platform.system()} {platform.machine()}",
        "Python": platform.python_version(),
        "dsrnss": __version__,
        **{name: version(name) or "" for name in ("torch", "lightning")},
    }
    return {name: value for name, value in found.items() if value}
