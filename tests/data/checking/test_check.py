"""The check of data sets: every planted defect is found, and nothing else is said."""

import importlib.util
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dsrnss.commands.data.targets import folder_target, resolve
from dsrnss.data import Cityscapes, DarkZurich, SynthNight
from dsrnss.data.checking.check import KINDS, check_sets
from dsrnss.data.checking.quick import check_crop_size, quick_check
from dsrnss.data.checking.stats import class_statistics
from dsrnss.errors import ConfigError, DataError, DatasetNotFoundError, ImageError, UsageError

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
    assert {problem.kind for problem in report.problems} | {"unusable", "mask", "coding", "absent-class"} == set(KINDS)


def test_messages_say_what_is_wrong(spoilt):
    messages = {problem.kind: problem.message for problem in spoilt[2].problems if problem.kind != "unreadable"}
    assert "[77]" in messages["outside-values"] and "raw label ids" in messages["raw-ids"]
    assert "24 x 48 and 12 x 24" in messages["size-mismatch"] and "citytrain0" in messages["duplicate"]
    unreadable = sorted(problem.message for problem in spoilt[2].problems if problem.kind == "unreadable")
    assert [
        next(word for word in ("checksum", "truncated", "not a picture", "empty") if word in m) for m in unreadable
    ] == [
        "checksum",
        "empty",
        "not a picture",
        "truncated",
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

    def test_sets_unpacked_one_level_too_deep_are_found(self, good, tmp_path):
        (tmp_path / "Cityscapes").rename(tmp_path / "deep")
        (tmp_path / "Cityscapes").mkdir()
        (tmp_path / "deep").rename(tmp_path / "Cityscapes" / "Cityscapes")
        target = resolve(str(tmp_path))
        assert list(target.sets) == ["Cityscapes/train", "Cityscapes/val"]
        assert check_sets(target.sets, workers=1).problems == ()

    def test_a_folder_of_something_else_is_refused(self, tmp_path):
        with pytest.raises(DatasetNotFoundError, match="holds no data set"):
            resolve(str(tmp_path))

    def test_a_mistyped_word_is_answered(self):
        with pytest.raises(UsageError, match="Did you mean 'cityscapes'"):
            resolve("cityscaps")


class TestNightLayouts:
    """What a known set has beside pictures and labels: references of val and test, masks of invalid pixels."""

    @pytest.fixture
    def dark_zurich(self, tmp_path):
        planter = planted.Planter(tmp_path)
        root = "DarkZurich/rgb_anon"
        for n in range(2):
            drive, frame = "GOPR0356", f"GOPR0356_frame_{n:06d}"
            for split in ("val", "test"):
                planter.picture(root, split, "night", drive, f"{frame}_rgb_anon.png")
                planter.picture(root, f"{split}_ref/day/{drive}_ref", f"{frame}_ref_rgb_anon.png")
            planter.label("DarkZurich/gt/val/night", drive, f"{frame}_gt_labelTrainIds.png")
            planter.save(np.zeros(planted.SIZE, np.uint8), "DarkZurich/gt/val/night", drive, f"{frame}_gt_invIds.png")
        return tmp_path / "DarkZurich"

    def problems(self, root):
        target = resolve(str(root), references=True)
        report = check_sets(target.sets, target.groups, workers=1)
        return target, [(p.kind, Path(p.file).name) for p in report.problems]

    def test_references_of_val_and_test_are_read(self, dark_zurich):
        target, problems = self.problems(dark_zurich)
        assert problems == [] and target.absent == ("DarkZurich/train",)
        places = dark_zurich / "rgb_anon"
        (places / "val_ref/day/GOPR0356_ref/GOPR0356_frame_000000_ref_rgb_anon.png").write_bytes(b"x")
        (places / "test_ref/day/GOPR0356_ref/GOPR0356_frame_000001_ref_rgb_anon.png").unlink()
        assert self.problems(dark_zurich)[1] == [
            ("missing-reference", "GOPR0356_frame_000001_ref_rgb_anon.png"),
            ("unreadable", "GOPR0356_frame_000000_ref_rgb_anon.png"),
        ]

    def test_references_that_were_not_downloaded_are_no_problem(self, dark_zurich):
        for split in ("val", "test"):
            shutil.rmtree(dark_zurich / f"rgb_anon/{split}_ref")
        target, problems = self.problems(dark_zurich)
        assert problems == []
        assert target.absent == ("DarkZurich/train", "DarkZurich/val_ref", "DarkZurich/test_ref")
        assert not resolve(str(dark_zurich)).sets["DarkZurich/val"].references

    def test_references_of_acdc_too(self, tmp_path):
        rows = planted.Planter(tmp_path).acdc("val", 3)
        rows[0][2].unlink()
        assert self.problems(tmp_path / "ACDC")[1] == [("missing-reference", rows[0][2].name)]

    @pytest.mark.parametrize(
        ("spoil", "kind", "word"),
        [
            (Path.unlink, "mask", "other labels have"),
            (lambda path: path.write_bytes(path.read_bytes()[:50]), "unreadable", "truncated"),
            (lambda path: Image.new("L", (5, 6)).save(path), "size-mismatch", "24 x 48 and 6 x 5"),
            (lambda path: Image.new("RGB", (48, 24)).save(path), "mask", "mode 'RGB'"),
        ],
    )
    def test_masks_of_invalid_pixels_are_read(self, dark_zurich, spoil, kind, word):
        spoil(dark_zurich / "gt/val/night/GOPR0356/GOPR0356_frame_000001_gt_invIds.png")
        (problem,) = check_sets({"val": DarkZurich("val", dark_zurich)}, workers=1).problems
        assert problem.kind == kind and "000001" in problem.file and word in problem.message

    def test_a_run_looks_at_the_headers_of_masks(self, dark_zurich):
        quick_check(DarkZurich("val", dark_zurich))
        path = dark_zurich / "gt/val/night/GOPR0356/GOPR0356_frame_000001_gt_invIds.png"
        path.write_bytes(b"x")
        with pytest.raises(ImageError, match=r"invIds\.png' is not a picture.*dsrnss data check"):
            quick_check(DarkZurich("val", dark_zurich))
        Image.new("RGB", (48, 24)).save(path)
        with pytest.raises(DataError, match="is no mask"):
            quick_check(DarkZurich("val", dark_zurich))


class TestQuick:
    def test_crops_are_compared_with_the_headers(self, good, tmp_path):
        root = tmp_path / "Cityscapes"
        check_crop_size(Cityscapes("train", root), (24, 48))
        with pytest.raises(ConfigError, match=r"crop_size 25x48 does not fit into 'citytrain0.*' of 24x48"):
            check_crop_size(Cityscapes("train", root), (25, 48))
        check_crop_size(Cityscapes("train", root, size=(48, 96)), (25, 48))
        with pytest.raises(ConfigError, match="of 12x24"):
            check_crop_size(Cityscapes("train", root, size=(12, 24)), (24, 48))

    def test_a_good_set_passes(self, good, tmp_path):
        quick_check(Cityscapes("train", tmp_path / "Cityscapes"))
        quick_check(SynthNight("val", length=1, size=(64, 128)))

    @pytest.mark.parametrize(
        ("spoil", "error", "word"),
        [
            (lambda image, label: image.write_bytes(b"x"), ImageError, "is not a picture"),
            (lambda image, label: Image.new("L", (5, 5)).save(label), DataError, "do not belong together"),
            (lambda image, label: Image.new("RGB", (48, 24)).save(label), DataError, "mode 'RGB'"),
            (lambda image, label: Image.new("L", (48, 24), 99).save(label), DataError, "99"),
        ],
    )
    def test_what_would_stop_the_run_is_said_at_its_start(self, good, tmp_path, spoil, error, word):
        spoil(*good[1][0])
        with pytest.raises(error, match=word):
            quick_check(Cityscapes("train", tmp_path / "Cityscapes"))


def test_statistics_count_pixels_and_pictures(good, tmp_path):
    root = tmp_path / "Cityscapes"
    (one,) = class_statistics({"a": Cityscapes("train", root), "b": Cityscapes("test", root)})
    labels = np.stack([np.asarray(Image.open(label)) for _, label in good[1]])
    expected = Counter(labels.ravel().tolist())
    assert one.labels == 6 and one.pixels.tolist() == [expected[c] for c in range(19)]
    assert one.pictures.tolist() == [sum((label == c).any() for label in labels) for c in range(19)]
    assert one.shares.sum() == pytest.approx(1)
    assert one.as_json()["classes"]["road"]["pixels"] == expected[0]
