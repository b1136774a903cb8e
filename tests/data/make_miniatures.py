"""Tiny fake copies of all data sets, each in its official layout: `python tests/data/make_miniatures.py OUT`.

The red of a picture says which sample it is, so that tests see what was paired with what: night = n, its day = 100 + n.
"""

import json
import sys
from pathlib import Path

import numpy as np
from PIL import Image

SIZE = (18, 32)


def save(path: Path, value: int, mode: str = "RGB", size: tuple[int, int] = SIZE) -> Path:
    """Write a picture (or, by mode L, a label) of one value."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.full((*size, 3) if mode == "RGB" else size, value, np.uint8)
    Image.fromarray(pixels).save(path, quality=100) if path.suffix == ".jpg" else Image.fromarray(pixels).save(path)
    return path


def label(path: Path, value: int = 10) -> Path:
    """Write a label of one value."""
    return save(path, value, "L")


def cityscapes(out: Path) -> Path:
    """Two train, one val, one test picture; the labels as shipped, without the preparation."""
    root = out / "Cityscapes"
    for split, city, number in (("train", "aachen", 1), ("train", "ulm", 2), ("val", "bonn", 3), ("test", "berlin", 4)):
        stem = f"{city}_{number:06d}_000019"
        save(root / f"leftImg8bit/{split}/{city}/{stem}_leftImg8bit.png", number)
        if split != "test":
            label(root / f"gtFine/{split}/{city}/{stem}_gtFine_labelIds.png", 26)
    return root


def dark_zurich(out: Path) -> Path:
    """Two pairs of train by night and one by twilight, one of val, one of test."""
    root = out / "DarkZurich"
    pictures, drive, day = root / "rgb_anon", "GOPR0351", "GOPR0345"
    for time, numbers in (("night", (1, 2)), ("twilight", (3,))):
        lines = []
        for n in numbers:
            save(pictures / f"train/{time}/{drive}/{drive}_frame_{n:06d}_rgb_anon.png", n)
            save(pictures / f"train/day/{day}/{day}_frame_{80 + n:06d}_rgb_anon.png", 100 + n)
            lines.append(f"train/{time}/{drive}/{drive}_frame_{n:06d},train/day/{day}/{day}_frame_{80 + n:06d}\n")
        table = root / f"corresp/train/{time}/{drive}/{drive}_ref_day.csv"
        table.parent.mkdir(parents=True, exist_ok=True)
        table.write_text("".join(lines))
    for split, n in (("val", 5), ("test", 6)):
        save(pictures / f"{split}/night/GOPR0356/GOPR0356_frame_{n:06d}_rgb_anon.png", n)
        save(pictures / f"{split}_ref/day/GOPR0356_ref/GOPR0356_frame_{n:06d}_ref_rgb_anon.png", 100 + n)
    for kind, value in (("labelTrainIds", 10), ("labelIds", 23), ("invIds", 0)):
        label(root / f"gt/val/night/GOPR0356/GOPR0356_frame_000005_gt_{kind}.png", value)
    return root


def nighttime_driving(out: Path) -> Path:
    """Two labelled pictures."""
    root = out / "NighttimeDrivingTest"
    for n in (1, 2):
        save(root / f"leftImg8bit/test/night/01_frame_{n:04d}_leftImg8bit.png", n)
        label(root / f"gtCoarse_daytime_trainvaltest/test/night/01_frame_{n:04d}_gtCoarse_labelTrainIds.png")
    return root


def acdc(out: Path, conditions: tuple[str, ...] = ("fog", "night", "rain", "snow")) -> Path:
    """One picture of each split and condition, with its reference."""
    root = out / "ACDC"
    for place, condition in enumerate(conditions):
        for n, split in enumerate(("train", "val", "test"), 3 * place):
            drive = f"GOPR04{place:02d}"
            frame = f"{drive}/{drive}_frame_{n:06d}"
            save(root / f"rgb_anon/{condition}/{split}/{frame}_rgb_anon.png", n)
            save(root / f"rgb_anon/{condition}/{split}_ref/{frame}_rgb_ref_anon.png", 100 + n)
            if split != "test":
                label(root / f"gt/{condition}/{split}/{frame}_gt_labelTrainIds.png", place)
    return root


def bdd100k(out: Path, release: str = "new") -> Path:
    """Four pictures in train and val, of which `train/a1` and `val/b1` were taken by night; no list, no attributes."""
    root = out / "bdd100k"
    pictures, truth, ending = {
        "new": ("images/10k", "labels/sem_seg/masks", ".png"),
        "old": ("seg/images", "seg/labels", "_train_id.png"),
    }[release]
    for part, names in (("train", ("a1", "a2")), ("val", ("b1", "b2"))):
        for n, name in enumerate(names):
            save(root / f"{pictures}/{part}/{name}.jpg", 10 * n)
            label(root / f"{truth}/{part}/{name}{ending}", n)
    return root


def bdd100k_list(root: Path) -> Path:
    """The list of the night pictures."""
    path = root / "night.txt"
    path.write_text("seg/images/train/a1.jpg\nseg/images/val/b1.jpg\n")
    return path


def bdd100k_attributes(root: Path) -> None:
    """BDD's label JSON with the time of day."""
    for part, letter in (("train", "a"), ("val", "b")):
        times = {f"{letter}1.jpg": "night", f"{letter}2.jpg": "daytime", "elsewhere.jpg": "night"}
        path = root / f"labels/sem_seg/polygons/sem_seg_{part}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps([{"name": n, "attributes": {"timeofday": t}} for n, t in times.items()]))


def folder(out: Path) -> Path:
    """Three classes with raw values, nested pictures of several types, labels and references for all."""
    root = out / "mine"
    for n, (stem, ending) in enumerate((("a/1", ".png"), ("a/2", ".JPG"), ("b/c/1", ".bmp"))):
        save(root / f"images/{stem}{ending}", n)
        label(root / f"labels/{stem}.png", 7 * n)
        save(root / f"refs/{stem}.jpg", 100 + n)
    rows = [{"name": "ground", "raw": 0}, {"name": "thing", "raw": 7}, {"name": "sky", "raw": [14, 15]}]
    (root / "labels.yaml").write_text(json.dumps({"classes": rows, "large_static": ["ground", "sky"]}))
    return root


MAKERS = {
    "Cityscapes": cityscapes,
    "DarkZurich": dark_zurich,
    "NighttimeDriving": nighttime_driving,
    "ACDC": acdc,
    "BDD100kNight": bdd100k,
    "Folder": folder,
}

if __name__ == "__main__":
    for make in MAKERS.values():
        print(make(Path(sys.argv[1])))
