"""What is installed, what it can do, and which command lacks what."""

import importlib.util
import re
import subprocess
import sys
from collections.abc import Callable
from importlib import metadata
from typing import NamedTuple

from dsrnss import machine
from dsrnss.diagnosis.findings import Finding
from dsrnss.errors import ConfigError
from dsrnss.optional import optional

_PATIENCE = 300.0
_CODECS = (("libx264", "w", "H.264"), ("ffv1", "w", "labels without loss"))
_READ = ("h264", "hevc", "vp9", "av1", "mpeg4", "mjpeg")
_REQUIREMENT = re.compile(r"([\w.-]+)(?:\[[\w,]+\])?\s*([^;]*)")


class Use(NamedTuple):
    """What a use of the program needs beyond the rest.

    Attributes:
        command: What is typed.
        modules: What it imports.
        install: What `pip install` is given.
    """

    command: str
    modules: tuple[str, ...]
    install: str


BASE = ("torch", "torchvision", "lightning", "jsonargparse", "numpy", "cv2", "PIL", "jinja2", "safetensors")
"""Modules without which hardly anything works."""
USES = (
    Use("demo, adapt, fit, test, segment", BASE, "dsrnss"),
    Use("segment of videos and cameras", ("av",), "'dsrnss[video]'"),
    Use("segment --model FILE.onnx", ("onnxruntime",), "onnxruntime"),
    Use("export --format onnx", ("onnx", "onnxscript", "onnxruntime"), "'dsrnss[onnx]'"),
    Use("export --format openvino", ("onnx", "onnxscript", "openvino"), "'dsrnss[onnx]' openvino"),
    Use("backbones timm/NAME, adapt --network lite0", ("timm",), "'dsrnss[timm]'"),
    Use("serve", ("gradio",), "'dsrnss[serve]'"),
    Use("completion SHELL", ("shtab",), "shtab"),
)


def installed(module: str) -> bool:
    """Whether a module is there, without importing it."""
    return importlib.util.find_spec(module) is not None


def libraries() -> list[Finding]:
    """Each library that the package asks for, and its version."""
    try:
        asked = metadata.requires("dsrnss") or []
    except metadata.PackageNotFoundError:
        return [Finding("dsrnss", "not installed", "note", "`pip install -e .` in its folder tells what it needs")]
    found = []
    for name, wanted in (_asked(text) for text in asked if "extra ==" not in text):
        version = machine.version(name)
        if version is None:
            found.append(Finding(name, "not installed", "missing", f"pip install '{name}{wanted}'"))
        elif not _fits(version, wanted):
            found.append(Finding(name, version, "missing", f"pip install '{name}{wanted}'"))
        else:
            found.append(Finding(name, version))
    return found


def _asked(requirement: str) -> tuple[str, str]:
    match = _REQUIREMENT.match(requirement)
    return (match[1], match[2].strip()) if match else (requirement, "")


def _fits(version: str, wanted: str) -> bool:
    try:
        from packaging.specifiers import InvalidSpecifier, SpecifierSet
        from packaging.version import InvalidVersion
    except ModuleNotFoundError:  # lightning brings it
        return True
    try:
        return SpecifierSet(wanted).contains(version, prereleases=True)
    except (InvalidSpecifier, InvalidVersion):  # a version of somebody's own
        return True


def commands() -> list[Finding]:
    """Which uses of the program work, and what the others lack."""
    found = []
    for use in USES:
        lacking = [name for name in use.modules if not installed(name)]
        if lacking:
            told = f"lacks {', '.join(lacking)}"
            found.append(Finding(use.command, told, "missing", f"pip install {use.install}"))
        else:
            found.append(Finding(use.command, "ready"))
    return found


def codecs() -> list[Finding]:
    """What PyAV reads and writes."""
    try:
        av = optional("av", "Videos need PyAV", "'dsrnss[video]'")
    except ConfigError:
        return [Finding("PyAV", "not installed", "missing", "pip install 'dsrnss[video]' for videos and cameras")]
    except Exception as error:  # a library of the system that it lacks
        return [Finding("PyAV", f"cannot be imported: {error}", "missing", "pip install --force-reinstall av")]
    found = [Finding("PyAV", f"{av.__version__}, FFmpeg {av.ffmpeg_version_info}")]
    for name, mode, what in _CODECS:
        there = _has(av.codec.Codec, name, mode)
        advice = "" if there else "pip install --force-reinstall --only-binary av av"
        found.append(Finding(f"write {what}", name, "fine" if there else "missing", advice))
    read = [name for name in _READ if _has(av.codec.Codec, name, "r")]
    return [*found, Finding("read", ", ".join(read))]


def _has(codec: Callable[[str, str], object], name: str, mode: str) -> bool:
    try:
        codec(name, mode)
    except Exception:  # whatever PyAV calls it in this release
        return False
    return True


def tried(gpu: bool) -> list[Finding]:
    """Import each library in a process of its own, and compute with torch.

    Args:
        gpu: Whether to compute on the GPU, too.
    """
    lines = {name: f"import {name}" for name in (*BASE, "av", "timm", "onnxruntime") if installed(name)}
    if "torch" in lines:
        lines["torch on the CPU"] = "import torch; (torch.ones(64, 64) @ torch.ones(64, 64)).sum().item()"
    if "torch" in lines and gpu:
        lines["torch on the GPU"] = (
            "import torch; (torch.ones(64, 64, device='cuda') @ torch.ones(64, 1).cuda()).sum().item()"
        )
    return [_tried(name, line) for name, line in lines.items()]


def _tried(name: str, line: str) -> Finding:
    try:
        done = subprocess.run([sys.executable, "-c", line], capture_output=True, text=True, timeout=_PATIENCE)
    except subprocess.TimeoutExpired:
        return Finding(name, f"no end within {_PATIENCE:.0f} s", "missing")
    if not done.returncode:
        return Finding(name, "works")
    said = done.stderr.strip().splitlines() or [f"ended with {done.returncode}"]
    return Finding(name, said[-1], "missing")
