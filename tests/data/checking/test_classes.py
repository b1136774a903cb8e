"""Classes without a pixel, and masks of another coding: what is said, and what is not."""

import json

import numpy as np
import pytest
from PIL import Image

from dsrnss import cli
from dsrnss.data import Folder, NighttimeDriving
from dsrnss.data.checking.check import check_sets
from dsrnss.errors import DataError

STREET = np.arange(24 * 48).reshape(24, 48)


@pytest.fixture
def own(tmp_path):
    """Writes two labelled pictures of a split whose labels hold some values, and the names of the classes."""

    def write(values, classes=("road", "car", "sky"), split="train"):
        rng = np.random.default_rng(len(split))
        for number in range(2):
            pixels = np.array(values, np.uint8)[STREET * (number + 1) % len(values)]
            pictures = {"images": rng.integers(0, 256, (24, 48, 3), np.uint8), "labels": pixels}
            for folder, picture in pictures.items():
                path = tmp_path / folder / split / f"{number}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(picture).save(path)
        (tmp_path / "labels.yaml").write_text(json.dumps({"classes": list(classes)}))
        return tmp_path

    return write


def kinds(root, *splits, **options):
    report = check_sets({split: Folder(root, split, **options) for split in splits or ("train",)}, workers=1)
    return report, [problem.kind for problem in report.problems]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            [0, 255],
            "hold 0 and 255 alone, like black and white masks, but 255 means ignored.*'raw: 255' in labels.yaml",
        ),
        ([0, 1], "hold 0 and 1 alone.*labels.yaml names 3 classes, not 2"),
        ([1, 2, 3], "hold 1 to 3, but the 3 classes are 0 to 2.*'raw: 1'"),
        ([1, 3, 255], "hold 1 to 3"),
        ([0, 1, 2, 3], "hold 0 to 3, one value more than there are classes.*background"),
    ],
)
def test_masks_of_another_coding_are_recognised_with_the_cure(own, values, message):
    report, found = kinds(own(values))
    assert found.count("coding") == 1 and "absent-class" not in found
    with pytest.raises(DataError, match=message):
        raise DataError(next(problem.message for problem in report.problems if problem.kind == "coding"))


def test_the_cure_of_a_black_and_white_mask_is_one(own):
    root = own([0, 255], [{"name": "road", "raw": 0}, {"name": "car", "raw": 255}])
    assert kinds(root)[1] == [] and Folder(root, "train")[0]["label"].unique().tolist() == [0, 1]


def test_the_cure_of_labels_that_begin_at_1_is_one(own):
    root = own([1, 2, 3], [{"name": name, "raw": raw} for raw, name in enumerate("abc", 1)])
    assert kinds(root)[1] == [] and Folder(root, "train")[0]["label"].unique().tolist() == [0, 1, 2]


@pytest.mark.parametrize("values", [[0, 1, 2], [0, 1, 2, 255]])
def test_good_labels_are_good(own, values):
    report, found = kinds(own(values))
    assert found == [] and report.remarks == ()


def test_two_classes_are_0_and_1(own):
    assert kinds(own([0, 1, 255], ("road", "car")))[1] == []


def test_a_class_that_no_label_shows_is_a_problem_and_told(own, capsys):
    root = own([0, 2, 255])
    assert cli.main(["data", "check", str(root), "--workers", "1"]) == 1
    assert "train: Folder: no label shows 'car': do the files hold other values?" in capsys.readouterr().out
    assert cli.main(["data", "check", str(root), "--workers", "1", "--allow", "absent-class"]) == 0


def test_a_class_whose_raw_value_is_another_is_told(own):
    root = own([0, 7], [{"name": "road", "raw": 0}, {"name": "car", "raw": 8}])
    report, found = kinds(root)
    assert found == ["absent-class"] and "other raw values" in report.problems[0].message


def test_a_class_that_another_split_shows_is_remarked_on(own, tmp_path, capsys):
    own([0, 1, 2])
    root = own([0, 2], split="val")
    report, found = kinds(root, "train", "val")
    assert found == [] and report.remarks == ("val shows no pixel of 'car'.",)
    path = tmp_path / "report.json"
    assert cli.main(["data", "check", str(root), "--workers", "1", "--json", str(path)]) == 0
    assert "val shows no pixel of 'car'." in capsys.readouterr().out
    assert json.loads(path.read_text())["remarks"] == ["val shows no pixel of 'car'."]


def test_the_classes_of_cityscapes_need_not_all_be_there(own, tmp_path, miniatures):
    report, found = kinds(own([7, 11, 26]), labels_file="cityscapes")
    assert found == []
    assert report.remarks == (
        "train shows no pixel of 'sidewalk', 'wall', 'fence', 'pole', 'traffic light' and 11 more.",
    )
    report = check_sets({"night": NighttimeDriving(root=miniatures.nighttime_driving(tmp_path))}, workers=1)
    assert {problem.kind for problem in report.problems} <= {"one-class", "one-colour"}
    assert report.remarks[0].startswith("night shows no pixel of 'road', 'sidewalk'")
