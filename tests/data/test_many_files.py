"""Folders of very many files: listing them takes a time that grows as they do, not as their square."""

import os
import time
import tracemalloc
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dsrnss.data import DarkZurich, Folder
from dsrnss.data.checking.quick import quick_check
from dsrnss.data.picture_cache import PictureCache

NUMBER = 8000
"""Far below a second where it grows as it should; 8000 squared are 64 million."""


def links(folder: Path, names: Iterable[str], mode: str = "RGB") -> None:
    """Many names of one picture."""
    folder.mkdir(parents=True)
    picture = folder / "picture.seed"
    Image.new(mode, (16, 8)).save(picture, "PNG")
    for name in names:
        os.link(picture, folder / name)
    picture.unlink()


def dark_zurich(root: Path) -> DarkZurich:
    frames = [f"A_frame_{number:06d}" for number in range(NUMBER)]
    links(root / "rgb_anon/train/night/A", (f"{frame}_rgb_anon.png" for frame in frames))
    links(root / "rgb_anon/train/day/A", (f"{frame}_rgb_anon.png" for frame in frames))
    table = root / "corresp/train/night/A/A_ref_day.csv"
    table.parent.mkdir(parents=True)
    table.write_text("".join(f"train/night/A/{frame},train/day/A/{frame}\n" for frame in frames))
    return DarkZurich("train", root)


def dark_zurich_val(root: Path) -> DarkZurich:
    frames = [f"A_frame_{number:06d}" for number in range(NUMBER)]
    links(root / "rgb_anon/val/night/A", (f"{frame}_rgb_anon.png" for frame in frames))
    links(root / "rgb_anon/val_ref/day/A_ref", (f"{frame}_ref_rgb_anon.png" for frame in frames))
    links(root / "gt/val/night/A", (f"{frame}_gt_labelTrainIds.png" for frame in frames), "L")
    return DarkZurich("val", root, references=True)


def own_pictures(root: Path) -> Folder:
    links(root / "images", (f"{number}.png" for number in range(NUMBER)))
    links(root / "refs", (f"day{number}.png" for number in range(NUMBER)))
    (root / "pairs.csv").write_text("".join(f"{number},day{number}\n" for number in range(NUMBER)))
    return Folder(root, pairs_file="pairs.csv")


@pytest.mark.parametrize("make", [dark_zurich, dark_zurich_val, own_pictures])
def test_a_run_starts_soon_whatever_the_number_of_files(tmp_path, make):
    dataset = make(tmp_path)
    tracemalloc.start()
    started = time.process_time()
    dataset.verify()
    quick_check(dataset)
    seconds = time.process_time() - started
    memory = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(dataset) == NUMBER
    assert all(entry.reference is not None for entry in dataset.entries)
    assert seconds < 6
    assert memory < 5000 * NUMBER


def test_a_copy_of_a_picture_does_not_list_all_others(tmp_path, monkeypatch):
    root = tmp_path / "set"
    root.mkdir()
    cache, listed = PictureCache(tmp_path / "cache", root, None), []
    iterdir = Path.iterdir
    monkeypatch.setattr(Path, "iterdir", lambda folder: [listed.append(folder), iterdir(folder)][1])
    for number in range(20):
        (root / f"{number}.png").write_bytes(b"x")
        cache.copy(root / f"{number}.png", None, "rgb", lambda: np.zeros((1, 1, 3), np.uint8))
    assert len(listed) <= 2
