"""`dsrnss data check`, `stats`, `show`, `validate-submission` and `prepare` as a user types them."""

import importlib.util
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dsrnss import cli

_spec = importlib.util.spec_from_file_location(
    "planted", Path(__file__).parents[2] / "data" / "checking" / "planted.py"
)
planted = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(planted)


@pytest.fixture
def root(tmp_path, monkeypatch):
    planter = planted.Planter(tmp_path / "data")
    planter.pairs = planter.cityscapes("train", 4)
    planter.cityscapes("val", 2)
    monkeypatch.chdir(tmp_path)
    return planter


def run(*words):
    return cli.main(["data", *map(str, words)])


class TestCheck:
    def test_a_good_set_is_exit_code_0(self, root, capsys):
        assert run("check", root.root, "--workers", 1) == 0
        out = capsys.readouterr().out
        assert "Nothing wrong" in out and "24 x 48" in out and "motorcycle" in out
        assert "Cityscapes/test" in out

    def test_a_defect_is_exit_code_1_and_named(self, root, capsys):
        root.pairs[0][0].write_bytes(b"")
        assert run("check", root.root / "Cityscapes", "--workers", 1, "--json", "out/report.json") == 1
        out = capsys.readouterr().out
        assert "unreadable" in out and root.pairs[0][0].name in out and "is empty" in out
        report = json.loads(Path("out/report.json").read_text())
        (problem,) = report["problems"]
        assert problem["kind"] == "unreadable" and problem["file"] == str(root.pairs[0][0])
        train = report["sets"][0]
        assert train["pictures"] == 4 and train["sizes"] == {"24x48": 3} and train["pixels"]["ignored"] > 0

    def test_kinds_can_be_accepted(self, root, capsys):
        root.pairs[0][0].write_bytes(b"")
        assert run("check", root.root, "--workers", 1, "--allow", "unreadable") == 0
        assert run("check", root.root, "--allow", "unreadible") == 2
        assert "Did you mean 'unreadable'" in capsys.readouterr().err

    def test_long_lists_are_cut(self, root, capsys):
        for image, _ in root.pairs:
            image.write_bytes(b"")
        run("check", root.root, "--workers", 1, "--show", 1)
        assert "... and 3 more" in capsys.readouterr().out

    def test_what_is_no_target_is_exit_code_2(self, capsys):
        assert run("check", "darkzurch") == 2
        assert "Did you mean 'darkzurich'" in capsys.readouterr().err


def test_stats_are_printed_and_written(root, monkeypatch, capsys):
    monkeypatch.setenv("DATA_DIR", str(root.root))
    assert run("stats", "cityscapes", "--json", "stats.json") == 0
    assert "Cityscapes/train: 4 labels" in capsys.readouterr().out
    sets = json.loads(Path("stats.json").read_text())["sets"]
    assert [one["set"] for one in sets] == ["Cityscapes/train", "Cityscapes/val"]
    assert sum(one["share"] for one in sets[0]["classes"].values()) == pytest.approx(1)


class TestShow:
    def test_pictures_and_overlays_are_drawn(self, root, capsys):
        assert run("show", root.root, "--n", 3, "--out", "a/sheet.png") == 0
        with Image.open("a/sheet.png") as sheet:
            assert sheet.width > 2 * 480 and sheet.height > 3 * 240
        assert "3 of 4 samples of Cityscapes/train" in capsys.readouterr().out

    def test_a_split_is_chosen(self, root, capsys):
        assert run("show", root.root, "--split", "val", "--seed", 1) == 0
        assert "2 of 2 samples of Cityscapes/val" in capsys.readouterr().out
        assert run("show", root.root, "--split", "vel") == 2

    def test_synthnight_is_drawn_with_its_reference(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        assert run("show", "synthnight", "--n", 1) == 0
        with Image.open("samples.png") as sheet:
            assert sheet.width > 3 * 480


class TestValidateSubmission:
    def test_faults_are_exit_code_1(self, tmp_path, capsys):
        path = tmp_path / "s.zip"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("labelTrainIds/a.png", b"x")
        assert run("validate-submission", path, "--kind", "darkzurich") == 1
        out = capsys.readouterr().out
        assert "1 picture for Dark Zurich" in out and "'confidence' is missing" in out and "faults." in out

    def test_names_are_compared_with_the_pictures(self, tmp_path, capsys):
        name = "GOPR0356_frame_000001_rgb_anon.png"
        (tmp_path / "test").mkdir()
        Image.fromarray(np.zeros((2, 2, 3), np.uint8)).save(tmp_path / "test" / name)
        Image.fromarray(np.zeros((1080, 1920), np.uint8)).save(tmp_path / "label.png")
        path = tmp_path / "s.zip"
        with zipfile.ZipFile(path, "w") as archive:
            archive.write(tmp_path / "label.png", f"labelTrainIds/{name}")
        assert run("validate-submission", path, "--images", tmp_path / "test") == 0
        assert "Nothing wrong" in capsys.readouterr().out
        assert run("validate-submission", path, "--images", tmp_path / "nowhere") == 1

    def test_a_missing_file_is_an_error(self, tmp_path, capsys):
        assert run("validate-submission", tmp_path / "s.zip") == 1
        assert "not found" in capsys.readouterr().err


def test_prepare_says_what_it_did(root, capsys):
    for _, label in root.pairs:
        label.rename(label.with_name(label.name.replace("labelTrainIds", "labelIds")))
    assert run("prepare", "cityscapes", root.root / "Cityscapes", "--workers", 1) == 0
    assert "4 labels found, 4 train ids written, 4 in the statistics" in capsys.readouterr().out


@pytest.mark.parametrize("word", ["check", "stats", "show", "validate-submission"])
def test_every_command_has_help(word, capsys):
    assert run(word, "--help") == 0
    assert capsys.readouterr().out.startswith(f"usage: dsrnss data {word}")


def test_the_layouts_offered_are_those_that_can_be_written():
    from dsrnss.commands.data.group import LAYOUTS
    from dsrnss.data.stand_in import layouts

    assert tuple(layouts.LAYOUTS) == LAYOUTS
