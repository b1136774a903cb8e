"""What a run ran on."""

import platform
from pathlib import Path

import lightning
import torch

import dsrnss
from dsrnss.data.parallel import available_cores


def machine() -> dict[str, str]:
    """What the run ran on."""
    return {
        "processor": _processor(),
        "cores": str(available_cores()),
        "system": f"{platform.system()} {platform.machine()}",
        "Python": platform.python_version(),
        "dsrnss": dsrnss.__version__,
        "torch": torch.__version__,
        "lightning": lightning.__version__,
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or "unknown"
