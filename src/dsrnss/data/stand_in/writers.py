"""One scene of SynthNight, written with the names that it would have in each official layout."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from dsrnss.data.base import Size, histogram
from dsrnss.data.synthnight import generate
from dsrnss.data.synthnight.generator import LARGEST, SMALLEST
from dsrnss.errors import DataError
from dsrnss.labels import CITYSCAPES
from dsrnss.writing import output_error

FRAMES_A_SEQUENCE = 20
CITYSCAPES_SIZE = (1024, 2048)
_DARK_ZURICH_SIZE = (1080, 1920)
_BDD_SIZE = (720, 1280)
Pixels = npt.NDArray[np.uint8]
Counts = npt.NDArray[np.int64]


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

    def scaled(self, official: Size) -> Size:
        """(height, width) of another set: to those of Cityscapes as the official ones are."""
        height, width = (
            round(other * size / day) for other, size, day in zip(official, self.size, CITYSCAPES_SIZE, strict=True)
        )
        return height, width


@dataclass(frozen=True)
class Job:
    """One scene: its place in the layout (`part`), the number of its files there, and its scene in SynthNight."""

    part: str
    number: int
    split: str
    index: int

    @property
    def official_split(self) -> str:
        """The last word of the part, such as `train`."""
        return self.part.rpartition("/")[2]


def write_scene(plan: Plan, job: Job) -> Counts:
    """Render one scene and write its files; returns the (num_classes,) pixels of its label.

    Raises:
        OutputError: If a file cannot be written.
    """
    try:
        return WRITERS[job.part](plan, job)
    except OSError as error:
        raise output_error(Path(error.filename or plan.folder), error) from error


def raw_ids(labels: Pixels) -> Pixels:
    """Train ids -> raw ids of Cityscapes; ignored pixels become 0, 'unlabeled'."""
    table = np.zeros(256, np.uint8)
    for raw, train in CITYSCAPES.raw_ids.items():
        table[train] = raw
    return table[labels]


def city_stem(job: Job) -> tuple[str, str]:
    """City and name of a Cityscapes frame."""
    city = f"synthcity{job.number // FRAMES_A_SEQUENCE:02d}"
    return city, f"{city}_{job.number % FRAMES_A_SEQUENCE:06d}_000019"


def sequence(job: Job) -> str:
    """Name of the drive of a frame of Dark Zurich or ACDC."""
    return f"SYNT{_FIRST_SEQUENCE[job.part] + job.number // FRAMES_A_SEQUENCE:04d}"


def frame(job: Job) -> str:
    """Name of a frame of Dark Zurich or ACDC."""
    return f"{sequence(job)}_frame_{job.number % FRAMES_A_SEQUENCE + 1:06d}"


def day_frame(job: Job) -> str:
    """Name of the day frame of a training pair of Dark Zurich."""
    return f"SYNT{900 + job.number // FRAMES_A_SEQUENCE:04d}_frame_{job.number % FRAMES_A_SEQUENCE + 1:06d}"


def bdd_part(job: Job) -> str:
    """Part of BDD100k that a night picture lies in: one of seven in `val`, as the official ones."""
    return "val" if job.number % 7 == 6 else "train"


def bdd_name(job: Job) -> str:
    """Name of a picture of BDD100k."""
    return f"{job.number:08x}-{5_000_000 + job.number:08x}"


def _write_cityscapes(plan: Plan, job: Job) -> Counts:
    scene = generate(job.split, job.index, seed=plan.seed, size=plan.size, reference=False)
    city, stem = city_stem(job)
    root = plan.folder / "Cityscapes"
    _save(scene.image, root / "leftImg8bit" / job.official_split / city / f"{stem}_leftImg8bit.png")
    truth = root / "gtFine" / job.official_split / city
    _save(raw_ids(scene.label), truth / f"{stem}_gtFine_labelIds.png")
    _save(scene.label, truth / f"{stem}_gtFine_labelTrainIds.png")
    _save(CITYSCAPES.colorize(scene.label), truth / f"{stem}_gtFine_color.png")
    return histogram(scene.label, CITYSCAPES.num_classes)


def _write_dark_zurich_train(plan: Plan, job: Job) -> Counts:
    image, label, reference = _night_scene(plan, job, _DARK_ZURICH_SIZE)
    pictures = plan.folder / "DarkZurich" / "rgb_anon" / "train"
    _save(image, pictures / "night" / sequence(job) / f"{frame(job)}_rgb_anon.png")
    day = day_frame(job)
    _save(reference, pictures / "day" / day.partition("_")[0] / f"{day}_rgb_anon.png")
    return histogram(label, CITYSCAPES.num_classes)


def _write_dark_zurich(plan: Plan, job: Job) -> Counts:
    image, label, reference = _night_scene(plan, job, _DARK_ZURICH_SIZE)
    root, part, drive = plan.folder / "DarkZurich", job.official_split, sequence(job)
    _save(image, root / "rgb_anon" / part / "night" / drive / f"{frame(job)}_rgb_anon.png")
    _save(reference, root / "rgb_anon" / f"{part}_ref" / "day" / f"{drive}_ref" / f"{frame(job)}_ref_rgb_anon.png")
    if part != "test":
        _save_truth(label, root / "gt" / part / "night" / drive / f"{frame(job)}_gt")
    return histogram(label, CITYSCAPES.num_classes)


def _write_acdc(plan: Plan, job: Job) -> Counts:
    image, label, reference = _night_scene(plan, job, _DARK_ZURICH_SIZE)
    root, part, drive = plan.folder / "ACDC", job.official_split, sequence(job)
    pictures = root / "rgb_anon" / "night"
    _save(image, pictures / part / drive / f"{frame(job)}_rgb_anon.png")
    _save(reference, pictures / f"{part}_ref" / drive / f"{frame(job)}_rgb_ref_anon.png")
    if part != "test":
        _save_truth(label, root / "gt" / "night" / part / drive / f"{frame(job)}_gt")
    return histogram(label, CITYSCAPES.num_classes)


def _write_nighttime_driving(plan: Plan, job: Job) -> Counts:
    image, label, _ = _night_scene(plan, job, _DARK_ZURICH_SIZE)
    # its ground truth has no terrain and no motorcycle
    label = np.where(np.isin(label, [9, 17]), np.uint8(255), label)
    root, name = plan.folder / "NighttimeDrivingTest", f"{job.number // 1000 + 1:02d}_frame_{job.number % 1000:04d}"
    _save(image, root / "leftImg8bit" / "test" / "night" / f"{name}_leftImg8bit.png")
    truth = root / "gtCoarse_daytime_trainvaltest" / "test" / "night"
    _save(label, truth / f"{name}_gtCoarse_labelTrainIds.png")
    _save(raw_ids(label), truth / f"{name}_gtCoarse_labelIds.png")
    return histogram(label, CITYSCAPES.num_classes)


def _write_bdd100k(plan: Plan, job: Job) -> Counts:
    image, label, _ = _night_scene(plan, job, _BDD_SIZE)
    root, part = plan.folder / "bdd100k", bdd_part(job)
    _save(image, root / "images" / "10k" / part / f"{bdd_name(job)}.jpg")
    _save(label, root / "labels" / "sem_seg" / "masks" / part / f"{bdd_name(job)}.png")
    return histogram(label, CITYSCAPES.num_classes)


WRITERS: dict[str, Callable[[Plan, Job], Counts]] = {
    "Cityscapes/train": _write_cityscapes,
    "Cityscapes/val": _write_cityscapes,
    "DarkZurich/train": _write_dark_zurich_train,
    "DarkZurich/val": _write_dark_zurich,
    "DarkZurich/test": _write_dark_zurich,
    "ACDC/train": _write_acdc,
    "ACDC/val": _write_acdc,
    "ACDC/test": _write_acdc,
    "NighttimeDrivingTest/test": _write_nighttime_driving,
    "bdd100k/night": _write_bdd100k,
}
_FIRST_SEQUENCE = {
    "DarkZurich/train": 0,
    "DarkZurich/val": 500,
    "DarkZurich/test": 700,
    "ACDC/train": 1000,
    "ACDC/val": 1500,
    "ACDC/test": 1700,
}


def _night_scene(plan: Plan, job: Job, official: Size) -> tuple[Pixels, Pixels, Pixels]:
    """Image, label and reference at the size of a set, which may be higher than what SynthNight renders."""
    height, width = plan.scaled(official)
    shrink = min(1.0, LARGEST[0] / height, LARGEST[1] / width)
    size = (max(SMALLEST[0], round(height * shrink)), max(SMALLEST[1], round(width * shrink)))
    scene = generate(job.split, job.index, seed=plan.seed, size=size, night=plan.night)
    if scene.reference is None:
        raise DataError(f"SynthNight made no reference for scene {job.index} of '{job.split}'.")

    def fit(pixels: Pixels, how: Image.Resampling) -> Pixels:
        return np.asarray(Image.fromarray(pixels).resize((width, height), how))

    smooth = Image.Resampling.BILINEAR
    return fit(scene.image, smooth), fit(scene.label, Image.Resampling.NEAREST), fit(scene.reference, smooth)


def _save_truth(label: Pixels, stem: Path) -> None:
    valid = np.zeros_like(label)
    maps = {"labelTrainIds": label, "labelIds": raw_ids(label), "labelColor": CITYSCAPES.colorize(label)}
    for kind, pixels in {**maps, "invIds": valid, "invGray": valid}.items():
        _save(pixels, stem.with_name(f"{stem.name}_{kind}.png"))


def _save(pixels: Pixels, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".jpg":
        Image.fromarray(pixels).save(path, quality=92)
    else:
        # night noise hardly shrinks: level 1 takes half of the time of level 6
        Image.fromarray(pixels).save(path, compress_level=1)
