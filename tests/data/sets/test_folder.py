import json
import pickle

import numpy as np
import pytest
from PIL import Image

from dsrnss.data import Folder
from dsrnss.errors import ConfigError, DataError, DatasetNotFoundError
from dsrnss.labels import CITYSCAPES


@pytest.fixture
def root(tmp_path, miniatures):
    return miniatures.folder(tmp_path)


def reds(dataset, key="image"):
    return [int(dataset[i][key][0, 0, 0]) for i in range(len(dataset))]


def test_nested_pictures_of_any_type_find_their_labels_and_references(root):
    dataset = Folder(root)
    assert [dataset[i]["name"] for i in range(3)] == ["a/1", "a/2", "b/c/1"]
    assert reds(dataset) == [0, 1, 2] and reds(dataset, "reference") == [100, 101, 102]
    assert [int(dataset[i]["label"][0, 0]) for i in range(3)] == [0, 1, 2]
    assert dataset.classes == ("ground", "thing", "sky") and dataset.label_space.large_static == (0, 2)
    assert dataset.class_counts().tolist() == np.diag([576] * 3).tolist()


def test_labels_and_references_are_optional(root):
    assert set(Folder(root, labelled=False, references=False)[0]) == {"image", "name"}
    for name in ("labels", "refs"):
        (root / name).rename(root / f"no_{name}")
    bare = Folder(root)
    assert not bare.labelled and not bare.references and set(bare[0]) == {"image", "name"}


def test_a_split_is_a_subfolder_of_each_folder(root):
    dataset = Folder(root, "b")
    assert dataset.split == "b" and [dataset[i]["name"] for i in range(len(dataset))] == ["c/1"]
    assert reds(dataset, "reference") == [102]
    with pytest.raises(ConfigError, match="subfolder"):
        Folder(root, "../other")


def test_constructing_looks_at_nothing(tmp_path):
    dataset = Folder(tmp_path / "nowhere")
    for look in (lambda: dataset.labelled, lambda: dataset.label_space, dataset.verify):
        with pytest.raises(DatasetNotFoundError, match="nowhere"):
            look()


def test_root_may_be_a_name_below_data_dir(root, monkeypatch):
    monkeypatch.setenv("DATA_DIR", str(root.parent))
    assert len(Folder(root.name)) == 3


def test_a_table_of_pairs_lets_pictures_share_a_reference(root):
    (root / "pairs.csv").write_text("image,reference\nimages/a/1.png, refs/a/2.jpg\nb/c/1,a/2\n")
    dataset = Folder(root, pairs_file="pairs.csv")
    assert [dataset[i]["name"] for i in range(len(dataset))] == ["a/1", "b/c/1"]
    assert reds(dataset, "reference") == [101, 101] and "label" in dataset[0]
    (root / "pairs.csv").write_text("images\\a\\1.png, refs\\a\\2.jpg\nb\\c\\1,a\\2\n")
    assert reds(Folder(root, pairs_file="pairs.csv"), "reference") == [101, 101]


def test_a_table_of_pairs_may_have_more_columns_where_its_header_names_them(root):
    (root / "pairs.csv").write_text("picture,reference,certainty\na/1,a/2,0.93\nb/c/1,a/2,\n")
    assert reds(Folder(root, pairs_file="pairs.csv"), "reference") == [101, 101]
    for text in ("a/1,a/2,0.93\n", "picture,reference,certainty\na/1,a/2\n"):
        (root / "pairs.csv").write_text(text)
        with pytest.raises(DataError, match="is no pair"):
            len(Folder(root, pairs_file="pairs.csv"))


def test_classes_are_those_of_cityscapes_only_where_that_is_said_or_nothing_is_labelled(root):
    (root / "labels.yaml").unlink()
    with pytest.raises(DataError, match=r"no labels\.yaml.*labels_file to cityscapes"):
        _ = Folder(root).label_space
    assert Folder(root, labels_file="cityscapes").label_space is CITYSCAPES
    assert Folder(root, labelled=False).label_space is CITYSCAPES


def test_a_file_of_classes_may_lie_elsewhere(root, tmp_path):
    (tmp_path / "two.yaml").write_text("classes: [x, y]")
    assert Folder(root, labels_file=tmp_path / "two.yaml").classes == ("x", "y")


def test_labels_in_train_ids_are_checked_against_the_classes(root):
    (root / "labels.yaml").write_text(json.dumps({"classes": ["a", "b", "c"]}))
    with pytest.raises(DataError, match=r"labels/a/2.png' holds label values \[7\], outside 0..2") as caught:
        _ = Folder(root)[1]
    assert "Cityscapes" not in str(caught.value)


def test_two_sets_in_one_root_do_not_share_counts(root, miniatures):
    miniatures.label(root / "labels2/a/1.png", 7)
    for stem in ("a/2", "b/c/1"):
        miniatures.label(root / f"labels2/{stem}.png", 7)
    assert Folder(root).class_counts()[0].tolist() == [576, 0, 0]
    assert Folder(root, labels="labels2").class_counts()[0].tolist() == [0, 576, 0]


def test_worker_processes_can_have_it(root):
    dataset = pickle.loads(pickle.dumps(Folder(root)))
    assert len(dataset) == 3 and dataset.labelled


def test_pictures_may_differ_in_size(root):
    Image.new("RGB", (50, 40)).save(root / "images/a/1.png")
    assert Folder(root, labelled=False)[0]["reference"].shape == (3, 40, 50)
    assert Folder(root, size=(10, 20))[0]["label"].shape == (10, 20)


def test_links_to_folders_are_followed_but_not_in_circles(root, tmp_path):
    (root / "images/b/c").rename(tmp_path / "elsewhere")
    (root / "images/b/c").symlink_to(tmp_path / "elsewhere")
    (root / "images/b/up").symlink_to(root / "images")
    assert [entry.name for entry in Folder(root).entries] == ["a/1", "a/2", "b/c/1"]


def test_254_classes(root):
    (root / "labels.yaml").write_text(json.dumps({"classes": [f"c{i}" for i in range(254)]}))
    assert Folder(root).class_counts().shape == (3, 254)
    (root / "labels.yaml").write_text(json.dumps({"classes": [f"c{i}" for i in range(255)]}))
    with pytest.raises(DataError, match=r"labels\.yaml.*2 to 254 classes, not 255"):
        _ = Folder(root).classes
