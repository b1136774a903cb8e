"""Where results go is tried before hours of work, and `~` means the home folder wherever a path is given."""

import os
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dsrnss import cli
from dsrnss.data import Folder
from dsrnss.data.sets.preparation import prepare_cityscapes


def save(path: Path, mode: str = "RGB") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(0).integers(7, 33, (32, 64, 3), np.uint8)).convert(mode).save(path)
    return path


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A home folder with photographs, a data set and a copy of Cityscapes; the current folder is another one."""
    home = tmp_path / "home"
    save(home / "photos" / "a.png")
    for folder in ("images", "refs"):
        save(home / "set" / folder / "a.png")
    save(home / "set" / "labels" / "a.png", "L")
    (home / "set" / "labels.yaml").write_text("classes: [" + ", ".join(f"c{n}" for n in range(40)) + "]")
    save(home / "Cityscapes" / "leftImg8bit/train/c/c_000000_000019_leftImg8bit.png")
    save(home / "Cityscapes" / "gtFine/train/c/c_000000_000019_gtFine_labelIds.png", "L")
    monkeypatch.setenv("HOME", str(home))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return home


def run(line: str) -> int:
    return cli.main(line.split())


class TestHome:
    @pytest.mark.parametrize(
        ("line", "made"),
        [
            ("segment ~/photos --out=~/out", "out/summary.json"),
            ("data check ~/set --json=~/check.json --workers=1", "check.json"),
            ("data stats ~/set --json=~/stats.json", "stats.json"),
            ("data show ~/set --out=~/sheet.png", "sheet.png"),
            ("data prepare cityscapes ~/Cityscapes --workers=1", "Cityscapes/sample_class_stats.json"),
            ("data synthesize ~/synth --source=1 --target=0 --val=0 --test=0 --size 64 128", "synth/synthnight.json"),
        ],
    )
    def test_no_folder_is_called_tilde(self, home, line, made):
        assert run(line) in (0, 1)
        assert (home / made).is_file()
        assert not [*Path().iterdir()]

    def test_in_experiments_lists_and_archives(self, home, capsys):
        (home / "pairs.csv").write_text("~/set/images/a.png,~/set/refs/a\n")
        (home / "e.yaml").write_text(
            "data: {source: {class_path: dsrnss.data.Folder, init_args: {root: ~/set, images: ~/set/images, "
            "labels_file: ~/set/labels.yaml, pairs_file: ~/pairs.csv, cache_dir: ~/cache}}}"
        )
        run("data check ~/e.yaml --workers=1")
        out = capsys.readouterr().out
        assert "missing" not in out and "unusable" not in out
        assert Folder("~/set", pairs_file="~/pairs.csv", cache_dir="~/cache")[0]["reference"].shape == (3, 32, 64)
        assert run("data validate-submission ~/none.zip") == 1
        assert str(home / "none.zip") in capsys.readouterr().err
        assert (home / "cache").is_dir()
        assert not [*Path().iterdir()]

    def test_a_name_that_only_begins_so_is_a_name(self, home):
        save(Path("~draft.png"))
        assert run("segment ~draft.png --out out") == 0
        assert Path("out", "~draft_labels.png").is_file()

    def test_an_empty_path_is_no_path(self, home, capsys):
        assert cli.main(["segment", "~/photos", "--out", ""]) == 2
        assert "--out: expected a path" in capsys.readouterr().err


class TestTriedFirst:
    @pytest.mark.parametrize(
        ("line", "work"),
        [
            ("segment ~/photos --out file/out", "dsrnss.inference.segmenter.Segmenter.from_pretrained"),
            ("data check ~/set --json file/c.json", "dsrnss.data.checking.check.check_sets"),
            ("data check ~/set --json folder", "dsrnss.data.checking.check.check_sets"),
            ("data stats ~/set --json file/s.json", "dsrnss.data.checking.stats.class_statistics"),
            ("data show ~/set --out file/s.png", "dsrnss.reporting.figures.contact_sheet"),
            ("data synthesize file/set", "dsrnss.data.stand_in.layouts.parallel_map"),
        ],
    )
    def test_a_place_that_cannot_be_written_is_named_before_the_work(self, home, line, work, monkeypatch, capsys):
        def fail(*_, **__):
            pytest.fail("the work was begun")

        Path("file").write_text("mine")
        Path("folder").mkdir()
        monkeypatch.setattr(work, fail)
        assert run(line) == 1
        said = capsys.readouterr().err
        assert said.startswith("error: ") and ("'file" in said or "/file" in said or "'folder'" in said)
        assert Path("file").read_text() == "mine"

    def test_every_city_is_tried_before_train_ids_are_made(self, home, monkeypatch, capsys):
        from dsrnss import writing
        from dsrnss.data.sets import preparation

        def refuse(*_, dir, **__):
            if Path(dir).name == "c":
                raise PermissionError(13, "Permission denied")  # file modes do not stop a superuser
            return open(os.devnull, "wb")  # noqa: PTH123

        monkeypatch.setattr(writing.tempfile, "TemporaryFile", refuse)
        monkeypatch.setattr(preparation, "parallel_map", lambda *_, **__: pytest.fail("the work was begun"))
        assert run("data prepare cityscapes ~/Cityscapes") == 1
        assert "gtFine/train/c': Permission denied" in capsys.readouterr().err

    @pytest.mark.parametrize("words", ["data check ~/set --json old.json", "data show ~/set --out old.json"])
    def test_results_of_an_earlier_run_survive_one_that_fails(self, home, words, monkeypatch):
        Path("old.json").write_text("old")
        (home / "set" / "labels.yaml").write_text("classes: [a")
        (home / "set" / "images" / "a.png").write_bytes(b"")
        run(words.replace("check", "stats"))
        assert Path("old.json").read_text() == "old"


class TestClock:
    def test_train_ids_that_a_wrong_clock_made_are_made_again(self, home):
        root = home / "Cityscapes"
        assert prepare_cityscapes(root, workers=1)["written"] == 1
        assert prepare_cityscapes(root, workers=1)["written"] == 0
        made = next(root.rglob("*_labelTrainIds.png"))
        os.utime(made, (time.time() + 1e8,) * 2)
        save(made.with_name(made.name.replace("TrainIds", "Ids")), "L")
        assert prepare_cityscapes(root, workers=1)["written"] == 1
        assert prepare_cityscapes(root, workers=1)["written"] == 0

    @pytest.mark.parametrize("shift", [-1e9, 1e8])
    def test_copies_of_pictures_follow_their_files(self, home, shift):
        image = home / "set" / "images" / "a.png"
        own = Folder("~/set", cache_dir="cache")
        before = own[0]["image"]
        for copy in Path("cache").rglob("*.npy"):
            os.utime(copy, (time.time() + shift,) * 2)
        Image.new("RGB", (64, 32), "red").save(image)
        os.utime(image, (time.time() + shift,) * 2)
        after = own[0]["image"]
        assert (after[0] == 255).all() and not (before[0] == 255).all()
        assert len([*Path("cache").rglob("images/a.png.rgb.*")]) == 1
