"""SynthNight written to disk in the official layouts of Cityscapes and Dark Zurich, as a stand-in for both."""

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from dsrnss.data.base import Size, histogram
from dsrnss.data.parallel import Progress, parallel_map
from dsrnss.data.prepare import write_statistics
from dsrnss.data.synthnight import NIGHT_PRESETS, generate
from dsrnss.data.synthnight.generator import LARGEST, SMALLEST
from dsrnss.data.writing import write_error
from dsrnss.errors import ConfigError, DataError, did_you_mean
from dsrnss.labels import CITYSCAPES

LAYOUTS = ("cityscapes_darkzurich",)
MARKER = "synthnight.json"
FRAMES_A_SEQUENCE = 20
_CITYSCAPES_SIZE = (1024, 2048)
_DARK_ZURICH_SIZE = (1080, 1920)
Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Plan:
    """What is written.

    Attributes:
        folder: Where it is written.
        size: (height, width) of the Cityscapes pictures.
        seed: Seed of all scenes.
        night: Severity of the night.
    """

    folder: Path
    size: Size
    seed: int
    night: str

    @property
    def night_size(self) -> Size:
        """(height, width) of the Dark Zurich pictures: to those of Cityscapes as the official ones are."""
        height, width = (
            round(night * size / day)
            for night, size, day in zip(_DARK_ZURICH_SIZE, self.size, _CITYSCAPES_SIZE, strict=True)
        )
        return height, width


@dataclass(frozen=True)
class Job:
    """One scene: its place in the layout (`part`), the number of its files there, and its scene in SynthNight."""

    part: str
    number: int
    split: str
    index: int


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
    """Write SynthNight as `<out>/Cityscapes` and `<out>/DarkZurich`; use `DATA_DIR=<out>` afterwards.

    Everything is written into a hidden folder beside `out`, which takes its name when all is done. The same arguments
    give the same files, whatever the number of processes.

    Args:
        out: Folder to make.
        layout: `cityscapes_darkzurich`.
        source: Labelled day scenes of Cityscapes train.
        target: Night pictures of Dark Zurich train, each with a day reference.
        val: Labelled scenes of Cityscapes val (day) and of Dark Zurich val (night, with references).
        test: Unlabelled pictures of Dark Zurich test, with references.
        size: (height, width) of the Cityscapes pictures, at most 1024 x 2048; None: the official 1024 x 2048. Dark
            Zurich keeps its official proportion to it: 1080 x 1920 at full size, 540 x 960 at half.
        seed: Seed of all scenes.
        night: Severity of the night, a name of `NIGHT_PRESETS`.
        workers: Processes; None: one a core.
        progress: Called with (scenes done, scenes in all).
        overwrite: Whether to replace an earlier output of this function.

    Returns:
        Number of scenes of each part.

    Raises:
        ConfigError: If an argument has a value that cannot be.
        DataError: If `out` is in use, or cannot be written.
    """
    final = Path(out).expanduser().absolute()
    size = _CITYSCAPES_SIZE if size is None else (int(size[0]), int(size[1]))
    _check(layout, size, seed, night, (source, target, val, test))
    _check_free(final, overwrite)
    draft = final.with_name(f".{final.name}.partial")
    plan = Plan(draft, size, seed, night)
    jobs = _jobs(source, target, val, test)
    try:
        if draft.exists():
            shutil.rmtree(draft)
        draft.mkdir(parents=True)
        counts = parallel_map(write_scene, plan, jobs, workers=workers, progress=progress)
        _finish(plan, jobs, counts)
        _replace(draft, final)
    except OSError as error:
        raise write_error(Path(error.filename or final), error) from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return {part: sum(job.part == part for job in jobs) for part in WRITERS}


def write_scene(plan: Plan, job: Job) -> npt.NDArray[np.int64]:
    """Render one scene and write its files; returns the (num_classes,) pixels of its label.

    Raises:
        DataError: If a file cannot be written.
    """
    try:
        return WRITERS[job.part](plan, job)
    except OSError as error:
        raise write_error(Path(error.filename or plan.folder), error) from error


def raw_ids(labels: Pixels) -> Pixels:
    """Train ids -> raw ids of Cityscapes; ignored pixels become 0, 'unlabeled'."""
    table = np.zeros(256, np.uint8)
    for raw, train in CITYSCAPES.raw_ids.items():
        table[train] = raw
    return table[labels]


def _write_cityscapes(plan: Plan, job: Job) -> npt.NDArray[np.int64]:
    scene = generate(job.split, job.index, seed=plan.seed, size=plan.size, reference=False)
    part = job.part.rpartition("/")[2]
    city = f"synthcity{job.number // FRAMES_A_SEQUENCE:02d}"
    stem = f"{city}_{job.number % FRAMES_A_SEQUENCE:06d}_000019"
    root = plan.folder / "Cityscapes"
    _save(scene.image, root / "leftImg8bit" / part / city / f"{stem}_leftImg8bit.png")
    truth = root / "gtFine" / part / city
    _save(raw_ids(scene.label), truth / f"{stem}_gtFine_labelIds.png")
    _save(scene.label, truth / f"{stem}_gtFine_labelTrainIds.png")
    _save(CITYSCAPES.colorize(scene.label), truth / f"{stem}_gtFine_color.png")
    return histogram(scene.label, CITYSCAPES.num_classes)


def _write_train_pair(plan: Plan, job: Job) -> npt.NDArray[np.int64]:
    image, label, reference = _night_scene(plan, job)
    frame, pictures = _frame(job), plan.folder / "DarkZurich" / "rgb_anon" / "train"
    _save(image, pictures / "night" / _sequence(job) / f"{frame}_rgb_anon.png")
    day = _day_frame(job)
    _save(reference, pictures / "day" / day.partition("_")[0] / f"{day}_rgb_anon.png")
    return histogram(label, CITYSCAPES.num_classes)


def _write_evaluation_pair(plan: Plan, job: Job) -> npt.NDArray[np.int64]:
    image, label, reference = _night_scene(plan, job)
    root, part = plan.folder / "DarkZurich", job.part.rpartition("/")[2]
    frame, sequence = _frame(job), _sequence(job)
    _save(image, root / "rgb_anon" / part / "night" / sequence / f"{frame}_rgb_anon.png")
    _save(reference, root / "rgb_anon" / f"{part}_ref" / "day" / f"{sequence}_ref" / f"{frame}_ref_rgb_anon.png")
    if part == "val":
        truth = root / "gt" / part / "night" / sequence
        valid = np.zeros_like(label)
        maps = {"labelTrainIds": label, "labelIds": raw_ids(label), "labelColor": CITYSCAPES.colorize(label)}
        for kind, pixels in {**maps, "invIds": valid, "invGray": valid}.items():
            _save(pixels, truth / f"{frame}_gt_{kind}.png")
    return histogram(label, CITYSCAPES.num_classes)


WRITERS: dict[str, Callable[[Plan, Job], npt.NDArray[np.int64]]] = {
    "Cityscapes/train": _write_cityscapes,
    "Cityscapes/val": _write_cityscapes,
    "DarkZurich/train": _write_train_pair,
    "DarkZurich/val": _write_evaluation_pair,
    "DarkZurich/test": _write_evaluation_pair,
}


def _jobs(source: int, target: int, val: int, test: int) -> list[Job]:
    parts = {
        "Cityscapes/train": ("source", 0, source),
        # Cityscapes val shows other scenes of the same city
        "Cityscapes/val": ("source", source, val),
        "DarkZurich/train": ("target", 0, target),
        "DarkZurich/val": ("val", 0, val),
        "DarkZurich/test": ("test", 0, test),
    }
    return [Job(part, n, split, first + n) for part, (split, first, number) in parts.items() for n in range(number)]


def _night_scene(plan: Plan, job: Job) -> tuple[Pixels, Pixels, Pixels]:
    """Image, label and reference at the size of Dark Zurich, which is higher than what SynthNight renders."""
    height, width = plan.night_size
    shrink = min(1.0, LARGEST[0] / height, LARGEST[1] / width)
    size = (max(SMALLEST[0], round(height * shrink)), max(SMALLEST[1], round(width * shrink)))
    scene = generate(job.split, job.index, seed=plan.seed, size=size, night=plan.night)
    if scene.reference is None:
        raise DataError(f"SynthNight made no reference for scene {job.index} of '{job.split}'.")

    def fit(pixels: Pixels, how: Image.Resampling) -> Pixels:
        return np.asarray(Image.fromarray(pixels).resize((width, height), how))

    smooth = Image.Resampling.BILINEAR
    return fit(scene.image, smooth), fit(scene.label, Image.Resampling.NEAREST), fit(scene.reference, smooth)


def _sequence(job: Job) -> str:
    first = {"train": 0, "val": 500, "test": 700}[job.part.rpartition("/")[2]]
    return f"SYNT{first + job.number // FRAMES_A_SEQUENCE:04d}"


def _frame(job: Job) -> str:
    return f"{_sequence(job)}_frame_{job.number % FRAMES_A_SEQUENCE + 1:06d}"


def _day_frame(job: Job) -> str:
    return f"SYNT{900 + job.number // FRAMES_A_SEQUENCE:04d}_frame_{job.number % FRAMES_A_SEQUENCE + 1:06d}"


def _finish(plan: Plan, jobs: list[Job], counts: list[npt.NDArray[np.int64]]) -> None:
    """Write what belongs to all scenes: statistics, pairs, and the marker that says where they come from."""
    rows, pairs = [], dict[str, list[str]]()
    for job, row in zip(jobs, counts, strict=True):
        if job.part == "Cityscapes/train":
            city = f"synthcity{job.number // FRAMES_A_SEQUENCE:02d}"
            stem = f"{city}_{job.number % FRAMES_A_SEQUENCE:06d}_000019"
            rows.append((f"gtFine/train/{city}/{stem}_gtFine_labelTrainIds.png", row))
        elif job.part == "DarkZurich/train":
            day = _day_frame(job)
            line = f"train/night/{_sequence(job)}/{_frame(job)},train/day/{day.partition('_')[0]}/{day}\n"
            pairs.setdefault(_sequence(job), []).append(line)
    if rows:
        write_statistics(plan.folder / "Cityscapes", rows)
    for sequence, lines in pairs.items():
        path = plan.folder / "DarkZurich" / "corresp" / "train" / "night" / sequence / f"{sequence}_ref_day.csv"
        path.parent.mkdir(parents=True)
        path.write_text("".join(lines))
    about = {"what": "synthetic scenes made by `dsrnss data synthesize`, not the real data sets"}
    options = {key: value for key, value in asdict(plan).items() if key != "folder"}
    (plan.folder / MARKER).write_text(json.dumps({**about, **options}, indent=1) + "\n")


def _save(pixels: Pixels, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    # night noise hardly shrinks: level 1 takes half of the time of level 6
    Image.fromarray(pixels).save(path, compress_level=1)


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
        raise write_error(final, error) from error
    if not (final / MARKER).is_file():
        raise DataError(f"'{final}' is not empty, and not an earlier output of this command: choose a new folder.")
    if not overwrite:
        raise DataError(f"'{final}' holds an earlier output: choose a new folder, or give --overwrite.")


def _replace(draft: Path, final: Path) -> None:
    old = final.with_name(f".{final.name}.old.{os.getpid()}")
    if final.exists():
        final.replace(old)
    draft.replace(final)
    shutil.rmtree(old, ignore_errors=True)
