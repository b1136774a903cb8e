"""Experiment files: where they are found, and where in them a key stands.

Imports neither torch nor Lightning, so that a wrong file name is answered at once.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from dsrnss import strict_yaml
from dsrnss.errors import ConfigError, UsageError
from dsrnss.paths import expanded

PACKAGED = Path(__file__).parents[1] / "configs"
"""The experiment files that come with the package."""

_OPTIONS = ("--config", "-c")


@dataclass(frozen=True)
class ExperimentFile:
    """One experiment file as it was read.

    Args:
        path: Where it lies.
        content: The parsed YAML, a mapping.
        lines: Dotted key -> line number, counted from 1.
    """

    path: Path
    content: dict[str, Any]
    lines: dict[str, int]

    def nulls(self) -> list[str]:
        """The keys that are said to be null."""
        return [key for key in self.lines if self.value(key) is None]

    def value(self, key: str) -> Any:
        """The value of a dotted key, None if it is not there."""
        value: Any = self.content
        for part in key.split("."):
            value = value.get(part) if isinstance(value, dict) else None
        return value


def packaged_names() -> list[str]:
    """Names of the packaged experiments, relative to `configs/`."""
    return sorted(path.relative_to(PACKAGED).as_posix() for path in PACKAGED.rglob("*.yaml"))


def short_name(path: Path) -> str:
    """What to type for an experiment file: a packaged one needs no folder in front."""
    return path.relative_to(PACKAGED).as_posix() if path.is_relative_to(PACKAGED) else str(path)


def resolve(name: str) -> Path:
    """Find an experiment file: as a path first, then among the packaged ones, with or without `configs/` in front.

    Raises:
        UsageError: If there is none, naming the nearest ones.
    """
    path = expanded(name)
    if path.is_file():
        return path
    parts = path.parts[1:] if path.parts[:1] == ("configs",) else path.parts
    inside = PACKAGED.joinpath(*parts)
    for candidate in (inside, inside.with_name(inside.name + ".yaml")):
        if parts and not path.is_absolute() and candidate.is_file():
            return candidate
    if path.is_dir():
        raise UsageError(f"'{name}' is a folder; --config expects a YAML file in it.{_nearest(name)}")
    raise UsageError(f"Experiment file '{name}' not found, neither here nor among the packaged ones.{_nearest(name)}")


def _nearest(name: str) -> str:
    stem = name.removeprefix("configs/")
    beside = [str(path) for path in sorted(Path(name).parent.glob("*.yaml"))] if Path(name).parent.is_dir() else []
    names = packaged_names()
    close = get_close_matches(name, beside, n=1) or get_close_matches(stem, names, n=1, cutoff=0.5)
    guess = f" Did you mean '{close[0]}'?" if close else ""
    return f"{guess}\nPackaged: {', '.join(names)}."


def split_arguments(argv: Sequence[str]) -> tuple[list[Path], list[str]]:
    """Take the experiment files out of a command line.

    Args:
        argv: Arguments of `fit` and the like.

    Returns:
        The files in their order, and the other arguments.

    Raises:
        UsageError: If a file cannot be found, or `--config` is the last word.
    """
    paths: list[Path] = []
    rest: list[str] = []
    words = iter(argv)
    for word in words:
        option, equals, value = word.partition("=")
        if option not in _OPTIONS:
            rest.append(word)
            continue
        name = value if equals else next(words, "")
        if not name:
            raise UsageError(f"{option} expects an experiment file.\nPackaged: {', '.join(packaged_names())}.")
        paths.append(resolve(name))
    return paths, rest


def read(path: Path) -> ExperimentFile:
    """Read an experiment file.

    Raises:
        UsageError: If it is not a YAML mapping, naming the line.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
        content, lines = strict_yaml.load(text, str(path))
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: not a text file in UTF-8: {error}.") from error
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}.") from error
    except ConfigError as error:
        raise UsageError(str(error)) from error
    if not isinstance(content, dict):
        raise UsageError(f"{path}: an experiment is a mapping of keys (trainer, model, data), this file is not.")
    return ExperimentFile(path, content, lines)


def experiment_name(paths: Sequence[Path]) -> str:
    """Name of an experiment, after its files: `synthnight/adapt` for `configs/synthnight/adapt.yaml`.

    Further files add their own names: `synthnight/adapt+dacs` with `baselines/dacs.yaml` behind it. The `config.yaml`
    that a run leaves in its folder has the name of that run's experiment.
    """
    if not paths:
        return "unnamed"
    more = "".join(f"+{path.stem}" for path in paths[1:])
    parts = paths[0].resolve().with_suffix("").parts
    if "lightning_logs" in parts and parts[-1] == "config":
        return ("/".join(parts[parts.index("lightning_logs") + 1 : -2]) or "unnamed") + more
    if "configs" in parts:
        start = len(parts) - parts[::-1].index("configs")
        return "/".join(parts[start:]) + more
    return parts[-1] + more
