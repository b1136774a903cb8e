"""Whether a command line would be understood: by the real parsers, without running anything."""

import re
from collections.abc import Sequence
from itertools import dropwhile
from pathlib import Path
from typing import Any

from pages import ROOT

from dsrnss.cli import build_parser
from dsrnss.commands import experiment
from dsrnss.data import AdaptationDataModule
from dsrnss.errors import UsageError
from dsrnss.experiment import arguments
from dsrnss.experiment import files as experiments
from dsrnss.experiment.cli import ExperimentCLI
from dsrnss.training.task import AdaptationTask

READERS = ("own.yaml", "my.yaml", "stored.yaml", "run/config.yaml", "RUN/config.yaml")
"""Experiments that a reader has written, or a command before."""
FREE = ("cd", "cp", "curl", "done", "export", "for", "git", "http.server", "npm", "sbatch", "source", "tensorboard")
"""Words that are no program of ours."""
BEFORE = ("do", "srun")
"""Words that may stand before a program."""


class Parsed(ExperimentCLI):
    """An experiment that is read, and not built."""

    def before_instantiate_classes(self) -> None:
        """Look neither at the machine nor for checkpoints."""

    def instantiate_classes(self) -> None:
        """Build nothing."""


def check_experiment(command: str, words: Sequence[str], *more: Path) -> Any:
    """Read `dsrnss fit ...` as the command line does, with further files behind those it names.

    Raises:
        UsageError: If an option or a key is wrong.
    """
    words = ["synthnight/adapt.yaml" if word in READERS else word for word in words]
    paths, rest = experiments.split_arguments(words)
    files = [experiments.read(path) for path in [*paths, *more]]
    return Parsed(command, AdaptationTask, AdaptationDataModule, files, arguments.translate(rest))


def check(words: Sequence[str]) -> None:
    """See that a command line is one that its program takes.

    Raises:
        UsageError: If a word of it is wrong.
    """
    words = list(words[1:] if words[0] in BEFORE else words)
    words = [*dropwhile(lambda word: word.startswith("--"), words)]  # of srun
    if words[:1] == ["torchrun"]:
        words = words[words.index("-m") + 1 :]
    if not words:
        return
    program, rest = words[0], words[1:]
    if program == "python" and rest[0] == "tools/run.py":
        program, rest = "dsrnss", rest[1:]
    elif program == "python" and rest[0] == "-m":
        program, rest = rest[1], rest[2:]
    if program == "dsrnss":
        _dsrnss(rest)
    elif program == "python":
        _script(rest)
    elif program == "make":
        _make(rest)
    elif program == "pip":
        _pip(rest)
    elif program not in FREE:
        raise UsageError(f"Unknown program '{program}'.")


def _dsrnss(words: list[str]) -> None:
    if words and words[0] in experiment.COMMANDS:
        if words[1:] and "--help" not in words and "--help-all" not in words:
            check_experiment(words[0], words[1:])
        return
    try:
        build_parser().parse_args(words)
    except SystemExit as stop:  # --help
        assert not stop.code


def _script(words: list[str]) -> None:
    script = ROOT / words[0]
    if not script.is_file():
        raise UsageError(f"There is no script '{words[0]}'.")
    text = script.read_text(encoding="utf-8")
    if "parse_known_args" in text:
        return  # the rest is for the command that it runs
    for word in words[1:]:
        if word.startswith("--") and f'"{word}"' not in text:
            raise UsageError(f"'{words[0]}' has no option '{word}'.")


def _make(words: list[str]) -> None:
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    for word in words:
        if "=" not in word and word not in targets:
            raise UsageError(f"The Makefile has no target '{word}'.")


def _pip(words: list[str]) -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    extras = re.findall(r"^(\w+) = \[", text.partition("[project.optional-dependencies]")[2], re.MULTILINE)
    for group in re.findall(r"(?:dsrnss|\.)\[([^\]]*)\]", " ".join(words)):
        for extra in group.split(","):
            if extra not in extras:
                raise UsageError(f"dsrnss has no extra '{extra}'.")
