"""The commands in several processes, as `torchrun` and Lightning's launcher start them."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from runs import command, losses

from dsrnss.commands.segment.sharing import Place

WAIT = 400
SHORT = ("--trainer.max_steps", "3", "--trainer.log_every_n_steps", "1", "--trainer.num_sanity_val_steps", "0")


class TestPlace:
    def test_alone(self) -> None:
        assert Place.of({}) == (0, 1, 0)

    def test_torchrun(self) -> None:
        assert Place.of({"RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1", "SLURM_PROCID": "0"}) == (5, 8, 1)

    def test_srun(self) -> None:
        job = {"SLURM_PROCID": "0", "SLURM_NTASKS": "4", "SLURM_LOCALID": "0"}
        assert Place.of(job) == (0, 1, 0), "the script of a job is one process, whatever its number of tasks"
        assert Place.of({**job, "SLURM_STEP_NUM_TASKS": "4", "SLURM_PROCID": "3", "SLURM_LOCALID": "1"}) == (3, 4, 1)

    @pytest.mark.parametrize("world", [1, 2, 3, 7])
    def test_everything_is_done_once(self, world: int) -> None:
        shares = [Place(rank, world).share(range(5)) for rank in range(world)]
        assert sorted(item for share in shares for item in share) == [0, 1, 2, 3, 4]


def _torchrun(words: list[str]) -> list[str]:
    """The words of a command behind the interpreter, in two processes."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    return [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", port, *words]


def _start(words: list[str], folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        words, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def _run(words: list[str], folder: Path) -> tuple[int, str, str]:
    process = _start(words, folder)
    out, err = process.communicate(timeout=WAIT)
    return process.returncode, out, err


def _alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.slow
class TestFit:
    def test_torchrun_and_the_launcher_train_alike(self, tmp_path: Path) -> None:
        folders = [tmp_path / "launcher", tmp_path / "torchrun"]
        for folder in folders:
            folder.mkdir()
        words = command(folders[0], *SHORT, "--trainer.devices", "2")
        code, _, err = _run(words, folders[0])
        assert code == 0 and "Traceback" not in err, err[-3000:]
        words = command(folders[1], *SHORT)
        code, _, err = _run(_torchrun(words[1:]), folders[1])
        assert code == 0 and "Traceback" not in err, err[-3000:]
        one, other = map(losses, folders)
        assert sorted(one) == [0, 1, 2] and one == other
        versions = [sorted(path.name for path in folder.glob("lightning_logs/*/*")) for folder in folders]
        assert versions == [["version_0"], ["version_0"]]
        record = json.loads(next(folders[1].rglob("run.json")).read_text())
        assert record["devices"] == "2 x cpu" and record["finished"]

    @pytest.mark.parametrize("by", ["launcher", "torchrun"])
    def test_a_process_that_is_killed_takes_all_along(self, tmp_path: Path, by: str) -> None:
        words = command(tmp_path, "--trainer.max_steps", "100000", "--panels.every_n_steps", "1")
        words = [*words, "--trainer.devices", "2"] if by == "launcher" else _torchrun(words[1:])
        process = _start(words, tmp_path)
        end = time.monotonic() + WAIT
        while not list(tmp_path.rglob("last.ckpt")):
            assert process.poll() is None and time.monotonic() < end, "no step was done"
            time.sleep(0.1)
        # the launcher's other process is its child; torchrun's are children both
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        victim = next(int(child) for child in children if b"dsrnss" in Path(f"/proc/{child}/cmdline").read_bytes())
        os.kill(victim, signal.SIGKILL)
        began = time.monotonic()
        _, err = process.communicate(timeout=90)
        assert process.returncode != 0
        while _alive(process.pid):
            assert time.monotonic() - began < 60, "a process is left"
            time.sleep(0.2)
        assert "connection to another process" in err or "terminated with code" in err or "SIGKILL" in err, err[-3000:]
        for checkpoint in tmp_path.rglob("*/last.ckpt"):
            assert torch.load(checkpoint, weights_only=True)["global_step"] > 0

    def test_a_signal_to_one_stops_both_at_the_same_step(self, tmp_path: Path) -> None:
        words = command(tmp_path, "--trainer.max_steps", "100000", "--checkpoint.every_n_train_steps", "2")
        process = _start([*words, "--trainer.devices", "2"], tmp_path)
        end = time.monotonic() + WAIT
        while not list(tmp_path.rglob("last.ckpt")):
            assert process.poll() is None and time.monotonic() < end, "no step was done"
            time.sleep(0.1)
        (child, *_) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        os.kill(int(child), signal.SIGTERM)
        _, err = process.communicate(timeout=90)
        assert process.returncode == 128 + signal.SIGTERM, err[-3000:]
        assert "stopped by SIGTERM after step" in err and "Traceback" not in err
        (last,) = tmp_path.rglob("last.ckpt")
        assert len(torch.load(last, weights_only=True)["processes"]) == 1


@pytest.mark.slow
class TestPicturesOnce:
    @pytest.fixture
    def photos(self, tmp_path: Path) -> Path:
        folder = tmp_path / "photos"
        folder.mkdir()
        rng = np.random.default_rng(0)
        for name in "abcde":
            Image.fromarray(rng.integers(0, 255, (40, 60, 3), np.uint8)).save(folder / f"{name}.png")
        return folder

    def _segment(self, folder: Path, *more: str) -> tuple[int, str, str]:
        words = ["-m", "dsrnss", "segment", "photos", "--out", "out", "--device", "cpu", *more]
        return _run(_torchrun(words), folder)

    def test_segment(self, tmp_path: Path, photos: Path) -> None:
        (photos / "f.png").write_bytes(b"")
        code, out, err = self._segment(tmp_path, "--save", "labels", "coco-json")
        assert code == 1, "torchrun's, since a picture is broken"
        assert "5 pictures segmented, 1 failed" in out and out.count("segmented") == 1
        assert "process 1 of 2: 3 sources segmented, 0 failed" in err and "process 2 of 2: 2 sources" in err
        summary: dict[str, Any] = json.loads((tmp_path / "out" / "summary.json").read_text())
        assert [Path(record["picture"]).name for record in summary["pictures"]] == [f"{name}.png" for name in "abcde"]
        assert [Path(one["picture"]).name for one in summary["failures"]] == ["f.png"]
        assert len(json.loads((tmp_path / "out" / "coco.json").read_text())["images"]) == 5
        assert not list((tmp_path / "out").glob(".summary*"))
        (photos / "f.png").unlink()
        written = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("*_labels.png")}
        code, out, _ = self._segment(tmp_path, "--save", "labels", "coco-json")
        assert code == 0 and "5 of them by an earlier run" in out
        assert written == {path: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("*_labels.png")}

    def test_predict(self, tmp_path: Path) -> None:
        words = command(tmp_path, "--trainer.accelerator", "cpu", "--trainer.devices", "2")
        words[words.index("fit")] = "predict"
        night = "{class_path: dsrnss.data.SynthNight, init_args: {split: val, length: 3, size: [64, 128]}}"
        code, _, err = _run([*words, "--data.predict", f"{{night: {night}}}"], tmp_path)
        assert code == 0, err[-3000:]
        assert "Wrote 3 label maps" in err
        assert len(list(tmp_path.rglob("labelTrainIds/*.png"))) == 3
