"""All that is looked at, in the order in which it is told."""

import locale
import os
import platform
import sys

from dsrnss import __version__, machine
from dsrnss.diagnosis import libraries, places
from dsrnss.diagnosis.findings import Finding, gigabytes

_VARIABLES = ("CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS", "DATA_DIR", "DSRNSS_CACHE", "HF_HOME", "SLURM_JOB_ID")

Diagnosis = dict[str, list[Finding]]
"""Heading -> what was found below it."""


def examine(*, deep: bool = False) -> Diagnosis:
    """Look at everything.

    Args:
        deep: Whether to import each library and to compute with torch, which takes up to a minute.
    """
    found_gpus = machine.gpus()
    diagnosis = {
        "Machine": _machine(),
        "GPU": _gpu(found_gpus),
        "Libraries": libraries.libraries(),
        "Video": libraries.codecs(),
        "Disks": places.disks(),
        "Caches": places.caches(),
        "Data sets": places.data_sets(),
        "Environment": [Finding(name, os.environ[name]) for name in _VARIABLES if name in os.environ],
        "Commands": libraries.commands(),
    }
    if deep:
        diagnosis["Tried"] = libraries.tried(bool(found_gpus))
    return {title: found for title, found in diagnosis.items() if found}


def _machine() -> list[Finding]:
    size = machine.memory()
    encoding = locale.getpreferredencoding(False)
    return [
        Finding("system", platform.platform()),
        Finding("processor", processor := machine.processor(), "fine" if processor != "unknown" else "note"),
        Finding("cores", str(machine.available_cores())),
        Finding("memory", gigabytes(size) if size else "unknown"),
        Finding("Python", f"{platform.python_version()}, {sys.executable}"),
        Finding("dsrnss", __version__),
        Finding("encoding", encoding, *(("fine", "") if "utf" in encoding.lower() else ("note", "set PYTHONUTF8=1"))),
    ]


def _gpu(gpus: list[machine.Gpu]) -> list[Finding]:
    """The GPUs, and whether the torch that is installed can use them."""
    build = machine.torch_build()
    found = [Finding(gpu.name, f"{gigabytes(gpu.memory)}, driver {gpu.driver}") for gpu in gpus]
    if not gpus:
        metal = sys.platform == "darwin" and platform.machine() == "arm64"
        found.append(
            Finding("GPU", "Apple's") if metal else Finding("GPU", "none", "note", "networks are trained on the CPU")
        )
    if build is None:
        return [*found, Finding("torch", "not installed", "missing", "pip install torch torchvision")]
    blind = bool(gpus) and build == "the CPU alone"
    advice = "pip install --force-reinstall torch torchvision, from the index of https://pytorch.org/get-started"
    return [*found, Finding("torch is built for", build, "missing" if blind else "fine", advice if blind else "")]
