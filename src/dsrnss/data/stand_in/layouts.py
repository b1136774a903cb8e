"""SynthNight written to disk in the official layouts, as a stand-in for the real data sets."""

import json
import shutil
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from dsrnss.data.base import Size
from dsrnss.data.parallel import Progress, parallel_map
from dsrnss.data.sets.preparation import write_statistics
from dsrnss.data.stand_in.writers import (
    CITYSCAPES_SIZE,
    Counts,
    Job,
    Plan,
    bdd_name,
    bdd_part,
    city_stem,
    day_frame,
    frame,
    sequence,
    write_scene,
)
from dsrnss.data.synthnight import NIGHT_PRESETS
from dsrnss.data.synthnight.generator import LARGEST, SMALLEST
from dsrnss.errors import ConfigError, DataError, did_you_mean
from dsrnss.paths import expanded
from dsrnss.writing import abandoned, draft_of, output_error

MARKER = "synthnight.json"
_SCENES = {
    "Cityscapes/train": ("source", "source"),
    "Cityscapes/val": ("source", "val"),
    "DarkZurich/train": ("target", "target"),
    "DarkZurich/val": ("val", "val"),
    "DarkZurich/test": ("test", "test"),
    "ACDC/train": ("target", "target"),
    "ACDC/val": ("val", "val"),
    "ACDC/test": ("test", "test"),
    "NighttimeDrivingTest/test": ("val", "val"),
    "bdd100k/night": ("val", "val"),
}
"""Part -> split of SynthNight that its scenes come from, and the number that says how many."""
LAYOUTS: dict[str, tuple[str, ...]] = {
    "cityscapes_darkzurich": (
        "Cityscapes/train",
        "Cityscapes/val",
        "DarkZurich/train",
        "DarkZurich/val",
        "DarkZurich/test",
        "NighttimeDrivingTest/test",
        "ACDC/val",
        "bdd100k/night",
    ),
    "cityscapes_acdc": ("Cityscapes/train", "Cityscapes/val", "ACDC/train", "ACDC/val", "ACDC/test"),
}
"""The parts that the experiments of each name read."""


def synthesize(
    out: str | Path,
    layout: str = "cityscapes_darkzurich",
    source: int = 50,
    target: int = 50,
    val: int = 10,
    test: int = 4,
    size: Size | None = None,
    seed: int = 0,
    night: str = "city",
    workers: int | None = None,
    progress: Progress | None = None,
    overwrite: bool = False,
) -> dict[str, int]:
    """Write SynthNight as the data sets of some experiments, `<out>/Cityscapes` and others; then `DATA_DIR=<out>`.

    Everything is written into a hidden folder beside `out`, which takes its name when all is done; what a run that was
    killed has left there is removed by the next one. The same arguments give the same files, whatever the number of
    processes.

    Args:
        out: Folder to make.
        layout: `cityscapes_darkzurich` or `cityscapes_acdc`: all sets that the experiments of that name train,
            validate, test and predict on.
        source: Labelled day scenes of Cityscapes train.
        target: Night pictures of Dark Zurich (ACDC) train, each with a day reference.
        val: Labelled scenes of each set that is evaluated: Cityscapes val (day), and by night Dark Zurich val and ACDC
            val (with references), Nighttime Driving and BDD100k-night.
        test: Unlabelled pictures of Dark Zurich (ACDC) test, with references.
        size: (height, width) of the Cityscapes pictures, at most 1024 x 2048; None: the official 1024 x 2048. The other
            sets keep their official proportion to it: Dark Zurich is 1080 x 1920 at full size, 540 x 960 at half.
        seed: Seed of all scenes.
        night: Severity of the night, a name of `NIGHT_PRESETS`.
        workers: Processes; None: one a core.
        progress: Called with (scenes done, scenes in all).
        overwrite: Whether to replace an earlier output of this function.

    Returns:
        Number of scenes of each part.

    Raises:
        ConfigError: If an argument has a value that cannot be.
        DataError: If `out` is in use.
        OutputError: If it cannot be written.
    """
    final = expanded(out).absolute()
    size = CITYSCAPES_SIZE if size is None else (int(size[0]), int(size[1]))
    _check(layout, size, seed, night, (source, target, val, test))
    _tidy_up(final)
    _check_free(final, overwrite)
    draft = draft_of(final)
    plan = Plan(draft, size, seed, night)
    jobs = _jobs(layout, {"source": source, "target": target, "val": val, "test": test})
    try:
        draft.mkdir(parents=True)
        counts = parallel_map(write_scene, plan, jobs, workers=workers, progress=progress)
        _finish(plan, jobs, counts)
        _replace(draft, final)
    except OSError as error:
        raise output_error(final, error) from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return {part: sum(job.part == part for job in jobs) for part in LAYOUTS[layout]}


def _jobs(layout: str, numbers: dict[str, int]) -> list[Job]:
    jobs, used = list[Job](), dict[str, int]()
    for part in LAYOUTS[layout]:
        split, number = _SCENES[part]
        # no two parts show the same scene
        first = used.get(split, 0)
        used[split] = first + numbers[number]
        jobs += [Job(part, n, split, first + n) for n in range(numbers[number])]
    return jobs


def _finish(plan: Plan, jobs: list[Job], counts: list[Counts]) -> None:
    """Write what belongs to all scenes: statistics, pairs, times of day, and the marker of where they come from."""
    rows = []
    for job, row in zip(jobs, counts, strict=True):
        if job.part == "Cityscapes/train":
            city, stem = city_stem(job)
            rows.append((f"gtFine/train/{city}/{stem}_gtFine_labelTrainIds.png", row))
    if rows:
        write_statistics(plan.folder / "Cityscapes", rows)
    _write_pairs(plan, [job for job in jobs if job.part == "DarkZurich/train"])
    _write_times(plan, [job for job in jobs if job.part == "bdd100k/night"])
    about = {"what": "synthetic scenes made by `dsrnss data synthesize`, not the real data sets"}
    options = {key: value for key, value in asdict(plan).items() if key != "folder"}
    (plan.folder / MARKER).write_text(json.dumps({**about, **options}, indent=1) + "\n")


def _write_pairs(plan: Plan, jobs: list[Job]) -> None:
    pairs = dict[str, list[str]]()
    for job in jobs:
        day = day_frame(job)
        line = f"train/night/{sequence(job)}/{frame(job)},train/day/{day.partition('_')[0]}/{day}\n"
        pairs.setdefault(sequence(job), []).append(line)
    for drive, lines in pairs.items():
        path = plan.folder / "DarkZurich" / "corresp" / "train" / "night" / drive / f"{drive}_ref_day.csv"
        path.parent.mkdir(parents=True)
        path.write_text("".join(lines))


def _write_times(plan: Plan, jobs: list[Job]) -> None:
    for part in {bdd_part(job) for job in jobs}:
        times = [
            {"name": f"{bdd_name(job)}.jpg", "attributes": {"timeofday": "night"}}
            for job in jobs
            if bdd_part(job) == part
        ]
        path = plan.folder / "bdd100k" / "labels" / "sem_seg" / "polygons" / f"sem_seg_{part}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(times))


def _check(layout: str, size: Size, seed: int, night: str, numbers: tuple[int, ...]) -> None:
    if layout not in LAYOUTS:
        raise ConfigError(f"Unknown layout '{layout}'.{did_you_mean(layout, LAYOUTS)}")
    if night not in NIGHT_PRESETS:
        raise ConfigError(f"Unknown night '{night}'.{did_you_mean(night, list(NIGHT_PRESETS))}")
    if not all(low <= side <= high for low, side, high in zip(SMALLEST, size, LARGEST, strict=True)):
        raise ConfigError(
            f"size {size[0]}x{size[1]} (height x width) is not between {SMALLEST[0]}x{SMALLEST[1]} and "
            f"{LARGEST[0]}x{LARGEST[1]}."
        )
    if seed < 0 or min(numbers) < 0:
        raise ConfigError("seed and the numbers of scenes must be 0 or more.")
    if not sum(numbers):
        raise ConfigError("Nothing to write: all numbers of scenes are 0.")


def _check_free(final: Path, overwrite: bool) -> None:
    try:
        if not final.exists() or (final.is_dir() and not any(final.iterdir())):
            return
    except OSError as error:
        raise output_error(final, error) from error
    if not (final / MARKER).is_file():
        raise DataError(f"'{final}' is not empty, and not an earlier output of this command: choose a new folder.")
    if not overwrite:
        raise DataError(f"'{final}' holds an earlier output: choose a new folder, or overwrite=True.")


def _tidy_up(final: Path) -> None:
    """Remove what killed runs have left, and bring back an earlier output that one of them was about to replace."""
    for old in abandoned(final.parent, _old(final).name):
        if final.exists():
            shutil.rmtree(old, ignore_errors=True)
        else:
            with suppress(OSError):  # another run was faster
                old.replace(final)
    for draft in abandoned(final.parent, final.name):
        shutil.rmtree(draft, ignore_errors=True)


def _old(final: Path) -> Path:
    return final.with_name(f"{final.name}.old")


def _replace(draft: Path, final: Path) -> None:
    old = draft_of(_old(final))
    if final.exists():
        final.replace(old)
    draft.replace(final)
    shutil.rmtree(old, ignore_errors=True)
