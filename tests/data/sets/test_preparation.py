import json

import numpy as np
import pytest
from PIL import Image

from dsrnss.data import Cityscapes
from dsrnss.data.sets.preparation import prepare_cityscapes
from dsrnss.errors import DataError, ImageError, OutputError
from dsrnss.labels import CITYSCAPES


@pytest.fixture
def root(tmp_path, write_png):
    for split, city, raw in (("train", "ulm", 26), ("train", "aachen", 7), ("val", "bonn", 33)):
        stem = f"{city}_000000_000019"
        label = np.full((16, 32), raw)
        label[:2] = 3  # a raw id that is no class
        write_png(tmp_path / f"leftImg8bit/{split}/{city}/{stem}_leftImg8bit.png", np.zeros((16, 32, 3)))
        write_png(tmp_path / f"gtFine/{split}/{city}/{stem}_gtFine_labelIds.png", label)
    return tmp_path


def test_train_ids_and_statistics_are_those_of_the_official_preparation(root):
    assert prepare_cityscapes(root, workers=1) == {"labels": 3, "written": 3, "drawn": 0, "train": 2}
    ids = np.asarray(Image.open(root / "gtFine/train/ulm/ulm_000000_000019_gtFine_labelTrainIds.png"))
    assert np.unique(ids[:2]).tolist() == [255] and np.unique(ids[2:]).tolist() == [13]
    aachen, ulm = (f"gtFine/train/{city}/{city}_000000_000019_gtFine_labelTrainIds.png" for city in ("aachen", "ulm"))
    read = {p.name: json.loads(p.read_text()) for p in root.glob("*.json")}
    assert read["sample_class_stats.json"] == [{"0": 448, "file": aachen}, {"13": 448, "file": ulm}]
    assert read["sample_class_stats_dict.json"] == {aachen: {"0": 448}, ulm: {"13": 448}}
    assert read["samples_with_class.json"] == {"0": [[aachen, 448]], "13": [[ulm, 448]]}
    assert Cityscapes("train", root).class_counts()[:, [0, 13]].tolist() == [[448, 0], [0, 448]]
    assert not list(root.rglob(".*"))


def test_a_second_run_keeps_what_is_good_and_mends_what_is_not(root):
    prepare_cityscapes(root, workers=1)
    good, damaged = (
        root / f"gtFine/train/{city}/{city}_000000_000019_gtFine_labelTrainIds.png" for city in ("aachen", "ulm")
    )
    before = good.stat().st_mtime_ns
    damaged.write_bytes(damaged.read_bytes()[:40])
    assert prepare_cityscapes(root, workers=1)["written"] == 1
    assert good.stat().st_mtime_ns == before
    assert int(np.asarray(Image.open(damaged)).min()) == 13


def test_what_cannot_be_prepared_is_named(root, tmp_path_factory):
    (root / "gtFine/val/bonn/bonn_000000_000019_gtFine_labelIds.png").write_bytes(b"")
    with pytest.raises(ImageError, match="bonn_000000_000019_gtFine_labelIds"):
        prepare_cityscapes(root, workers=2)
    with pytest.raises(DataError, match="gtFine_trainvaltest"):
        prepare_cityscapes(tmp_path_factory.mktemp("empty"))


def test_a_folder_that_cannot_be_written_is_named(root):
    blocked = root / "sample_class_stats.json"
    blocked.mkdir()
    with pytest.raises(OutputError, match=r"Cannot write '.*sample_class_stats.json'"):
        prepare_cityscapes(root, workers=1)


def test_polygons_stand_in_for_missing_label_ids(root):
    raw = root / "gtFine/train/ulm/ulm_000000_000019_gtFine_labelIds.png"
    expected = CITYSCAPES.raw_table()[np.asarray(Image.open(raw))]
    raw.unlink()
    whole, top = [[0, 0], [31, 0], [31, 15], [0, 15]], [[0, 0], [31, 0], [31, 1], [0, 1]]
    for city, split in (("ulm", "train"), ("aachen", "train")):
        objects = [{"label": "car", "polygon": whole}, {"label": "out of roi", "polygon": top}]
        path = root / f"gtFine/{split}/{city}/{city}_000000_000019_gtFine_polygons.json"
        path.write_text(json.dumps({"imgHeight": 16, "imgWidth": 32, "objects": objects}))
    # aachen has both: its label ids, which say road, win
    assert prepare_cityscapes(root, workers=1) == {"labels": 3, "written": 3, "drawn": 1, "train": 2}
    assert np.array_equal(np.asarray(Image.open(str(raw).replace("labelIds", "labelTrainIds"))), expected)
    rows = json.loads((root / "sample_class_stats.json").read_text())
    assert [set(row) - {"file"} for row in rows] == [{"0"}, {"13"}]
    assert prepare_cityscapes(root, workers=1)["written"] == 0
