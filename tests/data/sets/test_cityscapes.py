import json

import numpy as np
import pytest

from dsrnss.data import Cityscapes
from dsrnss.data.base import SegmentationDataset
from dsrnss.errors import ConfigError, DataError, DatasetNotFoundError

RAW, TRAIN = "labelIds", "labelTrainIds"


@pytest.fixture
def root(tmp_path, write_png):
    """Three train and one val picture; the first label has train ids, all have raw ids."""
    for split, city, number in (
        ("train", "ulm", 2),
        ("train", "aachen", 5),
        ("train", "aachen", 1),
        ("val", "bonn", 0),
    ):
        stem = f"{city}_{number:06d}_000019"
        write_png(tmp_path / f"leftImg8bit/{split}/{city}/{stem}_leftImg8bit.png", np.full((16, 32, 3), number))
        truth = tmp_path / f"gtFine/{split}/{city}"
        write_png(truth / f"{stem}_gtFine_{RAW}.png", np.full((16, 32), 7 if number else 26))
        if number == 1:
            write_png(truth / f"{stem}_gtFine_{TRAIN}.png", np.full((16, 32), 18))
    write_png(tmp_path / "leftImg8bit/train/ulm/._ulm_000002_000019_leftImg8bit.png", np.zeros((1, 1, 3)))
    write_png(tmp_path / "leftImg8bit/test/berlin/berlin_000000_000019_leftImg8bit.png", np.zeros((16, 32, 3)))
    return tmp_path


def test_samples_come_in_one_order_with_either_kind_of_label(root):
    dataset = Cityscapes("train", root)
    dataset.verify()
    samples = [dataset[i] for i in range(len(dataset))]
    assert [s["name"] for s in samples] == [
        f"{stem}_leftImg8bit" for stem in ("aachen_000001_000019", "aachen_000005_000019", "ulm_000002_000019")
    ]
    assert [int(s["label"][0, 0]) for s in samples] == [18, 0, 0]
    assert [int(s["image"][0, 0, 0]) for s in samples] == [1, 5, 2]


def test_size_applies_to_the_label_unless_told_not_to(root):
    sample = Cityscapes("val", root, size=(8, 16))[0]
    assert sample["image"].shape == (3, 8, 16) and sample["label"].shape == (8, 16)
    assert Cityscapes("val", root).sample_size() == (16, 32)
    assert Cityscapes("val", root, size=(8, 16)).sample_size() == (8, 16)
    assert Cityscapes("val", root, size=(8, 16)).counted_size() == (16, 32)
    assert Cityscapes("val", root, size=(8, 16), resize_label=False)[0]["label"].shape == (16, 32)


def test_test_split_has_no_labels(root):
    dataset = Cityscapes("test", root)
    assert not dataset.labelled and set(dataset[0]) == {"image", "name"}


def test_construction_touches_no_disk_and_verification_explains(tmp_path, root):
    missing = Cityscapes("train", tmp_path / "nowhere")
    with pytest.raises(DatasetNotFoundError, match="nowhere"):
        missing.verify()
    with pytest.raises(DatasetNotFoundError, match="leftImg8bit"):
        Cityscapes("train", root / "gtFine" / "train").verify()
    with pytest.raises(ConfigError, match="'train'"):
        Cityscapes("trian")


def test_missing_labels_are_counted_and_listed(root):
    (root / f"gtFine/train/ulm/ulm_000002_000019_gtFine_{RAW}.png").unlink()
    with pytest.raises(DataError, match=r"(?s)1 of 3 labels.*ulm_000002_000019_gtFine_labelIds.png.*gtFine_train"):
        Cityscapes("train", root).verify()


def test_counts_are_computed_once_and_again_when_files_change(root, monkeypatch, write_png):
    def counts():
        return Cityscapes("train", root).class_counts()

    assert counts()[:, [0, 18]].tolist() == [[0, 512], [512, 0], [512, 0]]
    monkeypatch.setattr("dsrnss.data.class_counts.read_label", None)  # nothing is read a second time
    assert counts()[:, [0, 18]].tolist() == [[0, 512], [512, 0], [512, 0]]
    monkeypatch.undo()
    write_png(root / f"gtFine/train/ulm/ulm_000002_000019_gtFine_{RAW}.png", np.full((16, 32), 33))
    assert counts()[:, [0, 18]].tolist() == [[0, 512], [512, 0], [0, 512]]
    next((root / ".dsrnss").iterdir()).write_bytes(b"damaged")
    assert counts()[:, 18].tolist() == [512, 0, 512]


def test_places_are_counted_once_and_again_when_files_change(root, monkeypatch, write_png):
    def places(grid=(2, 4)):
        return Cityscapes("train", root).class_places(grid)

    expected = Cityscapes("train", root).class_counts().sum(0)
    assert places().shape == (19, 2, 4) and places().sum((1, 2)).tolist() == expected.tolist()
    # what is kept is what a set that knows nothing of files would count
    assert (places() == SegmentationDataset.class_places(Cityscapes("train", root), (2, 4))).all()
    monkeypatch.setattr("dsrnss.data.class_counts.read_label", None)  # nothing is read a second time
    assert places()[0].sum() == expected[0]
    monkeypatch.undo()
    write_png(root / f"gtFine/train/ulm/ulm_000002_000019_gtFine_{RAW}.png", np.full((16, 32), 33))
    assert places()[18].sum() == expected[18] + 512
    assert places((1, 2))[:, 0, :].sum(1).tolist() == Cityscapes("train", root).class_counts().sum(0).tolist()


def test_counts_of_a_read_only_set_are_kept_in_the_user_s_cache(root, monkeypatch, tmp_path_factory):
    cache = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    (root / ".dsrnss").write_text("a file where the folder should be")
    Cityscapes("train", root).class_counts()
    assert len(list(cache.rglob("class_counts_cityscapes_train.npz"))) == 1


@pytest.mark.parametrize("prefix", ["", "/old/machine/Cityscapes/", "D:\\data\\"])
def test_shipped_statistics_are_used(root, prefix):
    names = ["ulm/ulm_000002", "aachen/aachen_000005", "aachen/aachen_000001", "bonn/other"]
    rows = [
        {"0": 100 + i, "18": 5, "file": f"{prefix}gtFine/train/{name}_000019_gtFine_labelTrainIds.png"}
        for i, name in enumerate(names)
    ]
    (root / "sample_class_stats.json").write_text(json.dumps(rows))
    assert Cityscapes("train", root).class_counts()[:, 0].tolist() == [102, 101, 100]
    assert Cityscapes("val", root).class_counts()[:, 13].tolist() == [512]  # not in the file: counted


def test_damaged_statistics_are_named(root):
    (root / "sample_class_stats.json").write_text("[{]")
    with pytest.raises(DataError, match=r"sample_class_stats.json.*dsrnss data prepare cityscapes"):
        Cityscapes("train", root).class_counts()


def test_root_may_come_from_the_environment(root, monkeypatch):
    (root.parent / "Cityscapes").symlink_to(root)
    monkeypatch.setenv("DATA_DIR", str(root.parent))
    assert len(Cityscapes("train")) == 3
    (root.parent / "Cityscapes").unlink()
