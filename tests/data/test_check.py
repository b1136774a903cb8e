"""The check of data sets: every planted defect is found, and nothing else is said."""

import importlib.util
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dsrnss.commands.data_targets import folder_target, resolve
from dsrnss.data import Cityscapes, DarkZurich, SynthNight
from dsrnss.data.check import KINDS, check_sets
from dsrnss.data.check_file import png_fault
from dsrnss.data.check_quick import quick_check
from dsrnss.data.stats import class_statistics
from dsrnss.errors import DataError, DatasetNotFoundError, ImageError, UsageError

_spec = importlib.util.spec_from_file_location("planted", Path(__file__).with_name("planted.py"))
planted = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(planted)


@pytest.fixture(scope="module")
def spoilt(tmp_path_factory):
    planter = planted.plant(tmp_path_factory.mktemp("data"), 16)
    target = folder_target(planter.root)
    return planter, target, check_sets(target.sets, target.groups, workers=1)


@pytest.fixture
def good(tmp_path):
    planter = planted.Planter(tmp_path)
    return planter, planter.cityscapes("train", 6), planter.cityscapes("val", 2)


def test_every_planted_defect_is_found_and_nothing_else_is_said(spoilt):
    planter, _, report = spoilt
    assert len(planter.defects) == 16
    assert planted.compare(planter, report.problems) == ([], [])
    assert {problem.kind for problem in report.problems} | {"unusable"} == set(KINDS)


def test_messages_say_what_is_wrong(spoilt):
    messages = {problem.kind: problem.message for problem in spoilt[2].problems if problem.kind != "unreadable"}
    assert "[77]" in messages["outside-values"] and "raw label ids" in messages["raw-ids"]
    assert "24 x 48 and 12 x 24" in messages["size-mismatch"] and "citytrain0" in messages["duplicate"]
    unreadable = sorted(problem.message for problem in spoilt[2].problems if problem.kind == "unreadable")
    assert [
        next(word for word in ("checksum", "cut short", "no picture", "empty") if word in m) for m in unreadable
    ] == [
        "cut short",
        "checksum",
        "no picture",
        "empty",
    ]


def test_the_sets_are_summed_up(spoilt):
    _, target, report = spoilt
    assert [one.name for one in report.sets] == list(target.sets)
    assert {"Cityscapes/train", "Cityscapes/val", "DarkZurich/train", "ACDC/night/train"} <= set(target.sets)
    assert "DarkZurich/test" in target.absent
    train = report.sets[list(target.sets).index("Cityscapes/train")]
    # 14 of 16 are pairs; one label is no picture and one is of wrong values, which are not counted
    assert train.pictures == 14 and train.labels == 13 and train.sizes[planted.SIZE] == 12
    assert train.counts[:19].sum() > 0 and train.counts[19] > 0


def test_a_run_reads_shared_files_once_and_may_validate_what_it_tests(good, tmp_path):
    val = {
        name: Cityscapes("val", tmp_path / "Cityscapes", size=size)
        for name, size in (("val", None), ("test", (12, 24)))
    }
    report = check_sets(val, {"val": "test val", "test": "test val"}, workers=1)
    assert report.problems == () and report.files == 2
    assert [one.pictures for one in report.sets] == [2, 2]


def test_files_without_label_folders_beside_them_are_no_orphans(good, tmp_path):
    _, pairs, _ = good
    for _, label in pairs:
        label.with_name(label.name.replace("labelTrainIds", "labelIds")).write_bytes(label.read_bytes())
    (pairs[0][1].parent / "Thumbs.db").write_bytes(b"x")
    assert check_sets({"a": Cityscapes("train", tmp_path / "Cityscapes")}, workers=1).problems == ()


def test_a_whole_folder_of_labels_without_pictures_is_found(good, tmp_path):
    planter, _, _ = good
    planter.label("Cityscapes/gtFine/train/elsewhere/elsewhere_000000_000019_gtFine_labelTrainIds.png")
    (only,) = check_sets({"a": Cityscapes("train", tmp_path / "Cityscapes")}, workers=1).problems
    assert only.kind == "missing-picture" and "elsewhere" in only.file


def test_a_set_that_cannot_be_listed_is_one_problem(tmp_path):
    sets = {"gone": DarkZurich("val", tmp_path / "nowhere"), "drawn": SynthNight("val", length=3, size=(64, 128))}
    report = check_sets(sets, workers=1)
    assert [problem.kind for problem in report.problems] == ["unusable"]
    assert report.sets[1].generated and report.sets[1].pictures == 3


def test_several_processes_find_the_same(spoilt):
    _, target, report = spoilt
    again = check_sets(target.sets, target.groups, workers=2)
    assert again.problems == report.problems


class TestTargets:
    def test_names_are_looked_for_below_the_data_folder(self, good, tmp_path, monkeypatch):
        with pytest.raises(DatasetNotFoundError, match="DATA_DIR"):
            resolve("cityscapes")
        monkeypatch.setenv("DATA_DIR", str(tmp_path))
        for word in ("cityscapes", "Cityscapes"):
            assert list(resolve(word).sets) == ["Cityscapes/train", "Cityscapes/val"]
        assert resolve("cityscapes").absent == ("Cityscapes/test",)

    def test_an_experiment_gives_the_sets_of_its_run(self):
        target = resolve("cityscapes_darkzurich/dsrnss_daformer.yaml")
        assert {"source", "target", "val/dark_zurich", "test/dark_zurich", "predict/dark_zurich"} <= set(target.sets)
        assert target.groups["source"] == target.groups["target"] == "training"
        assert target.sets["source"].size == (512, 1024)

    def test_later_files_of_an_experiment_win(self, tmp_path):
        path = tmp_path / "more.yaml"
        path.write_text("data: {source: {init_args: {size: [64, 128]}}, target: null}\n")
        target = resolve("cityscapes_darkzurich/dsrnss_daformer.yaml", str(path))
        assert target.sets["source"].size == (64, 128) and target.sets["source"].split == "train"
        assert "target" not in target.sets

    def test_an_experiment_that_cannot_be_built_is_named(self, tmp_path):
        path = tmp_path / "e.yaml"
        path.write_text("data: {source: {class_path: dsrnss.data.Cityscapes, init_args: {splt: train}}}\n")
        with pytest.raises(UsageError, match=r"e\.yaml"):
            resolve(str(path))
        path.write_text("trainer: {max_steps: 3}\n")
        with pytest.raises(UsageError, match="'data'"):
            resolve(str(path))

    def test_own_pictures_are_split_by_their_folders(self, tmp_path):
        planter = planted.Planter(tmp_path)
        for number in range(3):
            planter.picture("images", "train", f"{number}.png")
            planter.label("labels", "train", f"{number}.png")
        planter.picture("images", "val", "0.png")
        planter.label("labels", "val", "0.png")
        names = ", ".join(f"c{number}" for number in range(19))
        (tmp_path / "labels.yaml").write_text(f"classes: [{names}]\n")
        target = resolve(str(tmp_path))
        assert list(target.sets) == ["train", "val"]
        assert check_sets(target.sets, workers=1).problems == ()

    def test_a_folder_of_something_else_is_refused(self, tmp_path):
        with pytest.raises(DatasetNotFoundError, match="holds no data set"):
            resolve(str(tmp_path))

    def test_a_mistyped_word_is_answered(self):
        with pytest.raises(UsageError, match="Did you mean 'cityscapes'"):
            resolve("cityscaps")


class TestQuick:
    def test_a_good_set_passes(self, good, tmp_path):
        quick_check(Cityscapes("train", tmp_path / "Cityscapes"))
        quick_check(SynthNight("val", length=1, size=(64, 128)))

    @pytest.mark.parametrize(
        ("spoil", "error", "word"),
        [
            (lambda image, label: image.write_bytes(b"x"), ImageError, "cannot be opened"),
            (lambda image, label: Image.new("L", (5, 5)).save(label), DataError, "do not belong together"),
            (lambda image, label: Image.new("RGB", (48, 24)).save(label), DataError, "mode 'RGB'"),
            (lambda image, label: Image.new("L", (48, 24), 99).save(label), DataError, "99"),
        ],
    )
    def test_what_would_stop_the_run_is_said_at_its_start(self, good, tmp_path, spoil, error, word):
        spoil(*good[1][0])
        with pytest.raises(error, match=word):
            quick_check(Cityscapes("train", tmp_path / "Cityscapes"))


def test_png_files_are_checked_to_their_last_byte(tmp_path):
    path = planted.Planter(tmp_path).picture("a.png")
    data = path.read_bytes()
    assert png_fault(data) == png_fault(data + b"rubbish behind the end") == ""
    assert all("cut short" in png_fault(data[:end]) for end in (8, 20, len(data) - 1))
    for place in range(29, len(data) - 12, 97):
        assert png_fault(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])


def test_statistics_count_pixels_and_pictures(good, tmp_path):
    root = tmp_path / "Cityscapes"
    (one,) = class_statistics({"a": Cityscapes("train", root), "b": Cityscapes("test", root)})
    labels = np.stack([np.asarray(Image.open(label)) for _, label in good[1]])
    expected = Counter(labels.ravel().tolist())
    assert one.labels == 6 and one.pixels.tolist() == [expected[c] for c in range(19)]
    assert one.pictures.tolist() == [sum((label == c).any() for label in labels) for c in range(19)]
    assert one.shares.sum() == pytest.approx(1)
    assert one.as_json()["classes"]["road"]["pixels"] == expected[0]
