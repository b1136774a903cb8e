"""Commands that are killed at any moment, and run again: what they write is what an undisturbed run writes."""

import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from videos import encode

KILLS = int(os.environ.get("DSRNSS_KILLS", "1"))
"""Moments at which each command is killed; `DSRNSS_KILLS=20 pytest tests/commands/test_kill.py` is the long version."""


def contents(folder: Path) -> dict[str, str]:
    """Hash of every file below a folder, hidden ones too; in a summary, times are no content."""
    found = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        data = path.read_bytes()
        if path.name == "summary.json":
            summary = json.loads(data)
            for record in (summary, *summary["pictures"], *summary["videos"]):
                del record["seconds"]
            data = json.dumps(summary).encode()
        found[path.relative_to(folder).as_posix()] = hashlib.sha256(data).hexdigest()
    return found


def changed(folder: Path, before: dict[str, str]) -> bool:
    """Whether a command that runs has written something yet; a draft may go while it is looked at."""
    try:
        return contents(folder) != before
    except FileNotFoundError:
        return True


def cityscapes(root: Path) -> None:
    """Twelve pictures with raw ids."""
    rng = np.random.default_rng(0)
    for number in range(12):
        stem = f"c_{number:06d}_000019"
        for folder, ending in (("leftImg8bit/train/c", "leftImg8bit.png"), ("gtFine/train/c", "gtFine_labelIds.png")):
            (root / folder).mkdir(parents=True, exist_ok=True)
            pixels = rng.integers(7, 34, (256, 512), np.uint8)
            Image.fromarray(pixels).save(root / folder / f"{stem}_{ending}")


def photographs(root: Path) -> None:
    (root / "photos").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for number in range(8):
        pixels = rng.integers(0, 255, (200, 400, 3), np.uint8)
        Image.fromarray(pixels).save(root / "photos" / f"{number}.png")


def pairs(root: Path) -> None:
    """Ten pictures with references, and an empty folder for their flows."""
    rng = np.random.default_rng(0)
    for folder in ("own/images", "own/refs"):
        (root / folder).mkdir(parents=True)
        for number in range(10):
            Image.fromarray(rng.integers(0, 255, (200, 400, 3), np.uint8)).save(root / folder / f"{number}.png")


def clip(root: Path) -> None:
    """Three chunks."""
    encode(root / "clip.mp4", range(0, 5600, 40), size=(160, 90))
    photographs(root)


def nothing(root: Path) -> None:
    root.mkdir()


SYNTHESIZE = "data synthesize out/set --source 3 --target 3 --val 1 --test 1 --size 128 256 --workers 2 --overwrite"
COMMANDS: dict[str, tuple[Callable[[Path], None], str]] = {
    "prepare": (cityscapes, "data prepare cityscapes out --workers 2"),
    "segment": (photographs, "segment out/photos --out out/results"),
    "beside": (photographs, "segment out/photos --out out/photos"),
    "align": (pairs, "data align out/own --store out/store --workers 2"),
    "video": (clip, "segment out/clip.mp4 out/photos --smooth 0.3 --out out/results"),
    "synthesize": (nothing, SYNTHESIZE),
}


def ended(process: subprocess.Popen) -> bool:
    """Whether no process of the command's group is left, soon."""
    for _ in range(100):
        try:
            os.killpg(process.pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.1)
    return False


@pytest.mark.slow
@pytest.mark.parametrize("name", COMMANDS)
def test_a_killed_command_is_run_again_as_if_nothing_had_been(command, finished, tmp_path, name):
    prepare, line = COMMANDS[name]
    out = tmp_path / "out"
    prepare(tmp_path / "given")
    shutil.copytree(tmp_path / "given", out)
    before, started = contents(out), time.monotonic()
    with command(*line.split()) as process:
        while process.poll() is None and not changed(out, before):
            time.sleep(0.02)
        first = time.monotonic() - started
        process.communicate(timeout=300)
    whole = time.monotonic() - started
    assert process.returncode == 0
    expected = contents(out)
    assert len(expected) > len(before)
    moments = random.Random(name)
    for _ in range(KILLS):
        shutil.rmtree(out)
        shutil.copytree(tmp_path / "given", out)
        for _ in range(2):  # what the second run finds was left by a killed one
            with command(*line.split()) as process:
                time.sleep(moments.uniform(0.9 * first, whole))
                process.send_signal(signal.SIGKILL)
            assert ended(process), "its worker processes still run"
            left = {path: mark for path, mark in contents(out).items() if not hidden(path)}
            assert left.items() <= expected.items(), "half-written under a final name"
        assert finished(*line.split()).returncode == 0
        assert contents(out) == expected


def hidden(path: str) -> bool:
    return any(part.startswith(".") for part in Path(path).parts)


def test_two_runs_into_one_folder_do_not_disturb_each_other(command, tmp_path):
    photographs(tmp_path / "out")
    for line in ("segment out/photos --out out/results", SYNTHESIZE):
        both = [command(*line.split()) for _ in range(2)]
        said = [process.communicate(timeout=300)[1].decode() for process in both]
        # of two that replace the same folder, the slower one may find it taken
        codes = sorted(process.returncode for process in both)
        assert codes == [0, 0] or (line == SYNTHESIZE and codes == [0, 1]), said
        assert not any("Traceback" in text or "bug" in text for text in said), said
    assert len([*(tmp_path / "out" / "results").iterdir()]) == 3 * 8 + 1
    assert (tmp_path / "out" / "set" / "synthnight.json").is_file()
    assert not [path for path in contents(tmp_path / "out") if hidden(path)]
