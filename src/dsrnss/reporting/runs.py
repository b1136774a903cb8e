"""What runs have left behind: logs, settings, results of tests, and the numbers of the demo and of `adapt`."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from dsrnss import strict_yaml
from dsrnss.errors import DsrnssError, RunError
from dsrnss.labels import LabelSpace
from dsrnss.metrics import Scores
from dsrnss.paths import expanded
from dsrnss.reporting.logs import CHECKED, FOLLOWED, METRICS, Points, read_logs
from dsrnss.reporting.numbers import from_json, label_space_of
from dsrnss.reporting.scenes import Scene

SETTINGS, RECORD, NUMBERS, LOGS = "config.yaml", "run.json", "report.json", "lightning_logs"
TESTED = "_test"
"""End of the name of a folder of results, behind that of the checkpoint."""
_SEEDS = ("seed_everything", "model.seed", "data.seed", "seed")
_PLACES = ("ckpt_path", "trainer.default_root_dir", "checkpoint.dirpath", "trainer.logger", "CPU threads")
_VERSION = re.compile(r"version_\d+")
_EXPECTED = (
    "A run is the folder that `dsrnss fit`, `adapt` or `demo` has written (lightning_logs/EXPERIMENT/version_N, or "
    "that of --out), or the folder of results of `dsrnss test`; a folder that holds runs stands for all of them."
)


@dataclass(frozen=True)
class Result:
    """What was measured on a set.

    Attributes:
        scores: The scores.
        space: The classes.
        step: Training steps of the checkpoint; None: not known.
        scenes: Its worst and best pictures.
    """

    scores: Scores
    space: LabelSpace
    step: int | None = None
    scenes: Sequence[Scene] = ()


@dataclass(frozen=True)
class Run:
    """One run, and those that went on with it.

    Attributes:
        folder: Where it lies.
        name: What it is called.
        settings: Dotted key -> value, without seeds and places.
        seed: Of all draws; None: not known.
        continues: Whether it went on from a checkpoint.
        curves: Name in the log -> (step, value).
        results: Set -> what was measured on it.
        before: Set -> the same of the network before its adaptation.
        panels: Pictures of training steps, in order.
        machine: What it ran on.
        seconds: Phase -> seconds.
        finished: Whether it came to its end; None: not known.
    """

    folder: Path
    name: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    seed: int | None = None
    continues: bool = False
    curves: Mapping[str, Points] = field(default_factory=dict)
    results: Mapping[str, Result] = field(default_factory=dict)
    before: Mapping[str, Result] = field(default_factory=dict)
    panels: Sequence[Path] = ()
    machine: Mapping[str, str] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)
    finished: bool | None = None

    @property
    def steps(self) -> int | None:
        """Training steps that were logged or tested, None: not known."""
        logged = [
            int(points[-1][0]) + 1 for name, points in self.curves.items() if points and name.startswith("train/")
        ]
        tested = [result.step for result in self.results.values() if result.step]
        return max([*logged, *tested], default=None)

    @property
    def empty(self) -> bool:
        """Whether there is nothing to show."""
        return not (self.curves or self.results)


def find_runs(places: Sequence[str | Path]) -> list[Run]:
    """Read the runs that lie in some places.

    Args:
        places: Folders of runs, folders that hold such, folders of results, checkpoints.

    Raises:
        RunError: If one is not there, holds no run, holds an empty one, or a file in it is not what a run leaves.
    """
    found: list[Run] = []
    for place in places:
        folders = _folders(expanded(place))
        runs = [read_run(folder) for folder in folders]
        if all(run.empty for run in runs):
            raise RunError(
                f"'{place}' is an empty run: no number was logged and nothing was tested. It was stopped before its "
                "first logged step, or logs elsewhere (trainer.logger)."
            )
        found += [run for run in runs if not run.empty and run.folder not in [known.folder for known in found]]
    return _joined(found)


def _folders(place: Path) -> list[Path]:
    """The folders of runs that a place stands for."""
    if place.is_file():
        inside = [folder for folder in place.resolve().parents[:2] if _is_run(folder)]
        if place.suffix == ".ckpt" and inside:
            return inside[:1]
        raise RunError(f"'{place}' is a file, no run. {_EXPECTED}")
    if not place.is_dir():
        raise RunError(f"Run '{place}' not found. {_EXPECTED}")
    if _is_run(place) or any(_result_files(place)):
        return [place]
    below = {file.parent for name in (METRICS, RECORD) for file in place.rglob(name)}
    if not below:
        raise RunError(f"'{place}' holds no run. {_EXPECTED}")
    return sorted(below, key=_natural)


def _natural(path: Path) -> list[list[tuple[int, int, str]]]:
    """A key by which `version_10` comes behind `version_9`, and the folder `a+b` behind `a`."""
    split = [re.split(r"(\d+)", folder) for folder in path.parts]
    return [[(1, int(part), "") if part.isdigit() else (0, 0, part) for part in parts] for parts in split]


def _is_run(folder: Path) -> bool:
    kept = [name for name in (METRICS, RECORD, NUMBERS) if (folder / name).is_file()]
    return bool(kept) or ((folder / SETTINGS).is_file() and (folder / "checkpoints").is_dir())


def read_run(folder: Path, tested: Path | None = None) -> Run:
    """Read one run.

    Args:
        folder: Where it lies.
        tested: The folder of results to take; None: all of the run's own, the newest of each set.

    Raises:
        RunError: If a file in it is not what a run leaves.
    """
    if (folder / NUMBERS).is_file() and not (folder / METRICS).is_file():
        return _adapted(folder)
    settings, seed, continues = _settings(folder / SETTINGS, folder)
    record = _json(folder / RECORD) if (folder / RECORD).is_file() else {}
    results = [folder] if any(_result_files(folder)) else sorted(folder.glob(f"checkpoints/*{TESTED}"))
    with _understood(folder / RECORD):
        return Run(
            folder,
            _name(folder),
            settings,
            seed,
            continues,
            read_logs([folder / METRICS] if (folder / METRICS).is_file() else []),
            _results([tested] if tested else results),
            panels=sorted(folder.glob("panels/*.png")),
            machine=_machine(record),
            seconds={str(name): float(value) for name, value in record.get("seconds", {}).items()},
            finished=record.get("finished"),
        )


def _machine(record: Mapping[str, Any]) -> dict[str, str]:
    more = {name: record[name] for name in ("devices", "precision", "started") if name in record}
    return {str(name): str(value) for name, value in {**record.get("machine", {}), **more}.items()}


def _adapted(folder: Path) -> Run:
    """A run of the demo or of `adapt`, whose page has its numbers beside it."""
    content = _json(folder / NUMBERS)
    settings, seed, _ = _settings(folder / SETTINGS, folder)
    logs = sorted((folder / LOGS / "config").glob(f"version_*/{METRICS}"), key=_natural)
    with _understood(folder / NUMBERS):
        told = {str(name): value for name, value in content["settings"].items()}
        found = {key: _result(one, folder) for key, one in content["scores"].items() if "confusion" in one}
        place = str(content["test_set"]) or "night"
        return Run(
            folder,
            _name(folder),
            settings or _comparable(told, folder),
            int(told["seed"]) if seed is None and "seed" in told else seed,
            curves=read_logs(logs) or dict(map(_followed, content["curves"])),
            results={place: found["adapted"]} if "adapted" in found else {},
            before={place: found["source-only"]} if "source-only" in found else {},
            machine={str(name): str(value) for name, value in content["machine"].items()},
            seconds={str(name): float(value) for name, value in content["seconds"].items()},
            finished=True,
        )


def _followed(curve: Mapping[str, Any]) -> tuple[str, Points]:
    """A curve of a page, as a training logs it."""
    factor = 0.01 if curve["unit"] == "%" else 1.0
    name = {**FOLLOWED, **CHECKED}.get(curve["name"], str(curve["name"]))
    return name, [(float(step), factor * value) for step, value in curve["points"] if None not in (step, value)]


def _name(folder: Path) -> str:
    parts = folder.resolve().parts
    if LOGS in parts[:-1]:
        return "/".join(parts[len(parts) - parts[::-1].index(LOGS) :])
    return parts[-1]


# --- settings ---------------------------------------------------------------------------------------------------------


def _settings(file: Path, folder: Path) -> tuple[dict[str, Any], int | None, bool]:
    """What distinguishes the run from others, its seed, and whether it went on from a checkpoint."""
    if not file.is_file():
        return {}, None, False
    try:
        content, _ = strict_yaml.load(file.read_text(encoding="utf-8"), str(file))
    except (OSError, UnicodeDecodeError, DsrnssError) as error:
        raise RunError(f"The settings of a run cannot be read: {error}") from error
    if not isinstance(content, dict):
        raise RunError(f"'{file}' does not hold the settings of a run: expected a mapping of keys.")
    flat = dict(_flat(content))
    seed = flat.get("seed_everything")
    return _comparable(flat, folder), seed if isinstance(seed, int) else None, flat.get("ckpt_path") is not None


def _comparable(flat: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Settings without what differs between runs that are the same but for their seed."""
    kept = {key: value for key, value in flat.items() if key not in _SEEDS and not key.startswith(_PLACES)}
    own = str(folder.resolve())
    return {
        key: _VERSION.sub("version_N", v.replace(own, "RUN")) if isinstance(v, str) else v for key, v in kept.items()
    }


def _flat(content: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in content.items():
        if isinstance(value, dict) and value:
            yield from _flat(value, f"{before}{key}.")
        else:
            yield f"{before}{key}", json.dumps(value) if isinstance(value, list | dict) else value


# --- results ----------------------------------------------------------------------------------------------------------


def _result_files(folder: Path) -> Iterator[Path]:
    """The files of results in a folder, which has one for each set."""
    for file in sorted(folder.glob("*.json")):
        if file.name not in (RECORD, NUMBERS) and file.with_suffix(".csv").is_file():
            yield file


def _results(folders: Sequence[Path]) -> dict[str, Result]:
    """Set -> its newest result, in the order of the experiment."""
    found: dict[str, tuple[int, str, Result]] = {}
    for file in (file for folder in folders for file in _result_files(folder)):
        content = _json(file)
        with _understood(file):
            name, created = str(content["set"]), str(content.get("created", ""))
            if name not in found or found[name][1] <= created:
                found[name] = int(content.get("number", 0)), created, _result(content, file.parent)
    ordered = sorted(found.items(), key=lambda item: item[1][0])
    return {name: result for name, (_, _, result) in ordered}


def _result(content: Mapping[str, Any], folder: Path) -> Result:
    space = label_space_of(content)
    scenes = [Scene.read(one, folder) for one in content.get("scenes", ())]
    step = content.get("step")
    return Result(from_json(content, space), space, None if step is None else int(step), scenes)


def _json(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RunError(f"'{file}' cannot be read: {error}.") from error
    if not isinstance(content, dict):
        raise RunError(f"'{file}' is not what a run leaves: expected a JSON object.")
    return content


@contextmanager
def _understood(file: Path) -> Iterator[None]:
    """Inside, what a file lacks becomes a `RunError` that names it."""
    try:
        yield
    except RunError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError, DsrnssError) as error:
        what = f"it has no {error}" if isinstance(error, KeyError) else str(error)
        raise RunError(
            f"'{file}' is not what this version of dsrnss writes: {what}. Make it again (`dsrnss test`, `adapt` or "
            "`demo`), or take its folder away."
        ) from error


# --- runs that went on ------------------------------------------------------------------------------------------------


def _joined(runs: Sequence[Run]) -> list[Run]:
    """Runs with those that went on with them as one: beside each other, of the same settings and seed."""
    found: list[Run] = []
    for run in runs:
        first = next((one for one in reversed(found) if run.continues and _same(one, run)), None)
        if first is None:
            found.append(run)
        else:
            found[found.index(first)] = _merged(first, run)
    return found


def _same(one: Run, other: Run) -> bool:
    beside = one.folder.parent == other.folder.parent
    return beside and one.seed == other.seed and one.settings == other.settings


def _merged(first: Run, later: Run) -> Run:
    curves = {
        name: [*((s, v) for s, v in first.curves.get(name, []) if not points or s < points[0][0]), *points]
        for name, points in later.curves.items()
    }
    seconds = {name: first.seconds.get(name, 0) + value for name, value in later.seconds.items()}
    return replace(
        later,
        continues=first.continues,
        curves={**first.curves, **curves},
        results={**first.results, **later.results},
        panels=[*first.panels, *later.panels],
        machine=later.machine or first.machine,
        seconds=seconds or first.seconds,
    )
