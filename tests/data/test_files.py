"""What all data sets in files do alike: crops that convert no more than they keep, and copies on the disk."""

import os

import numpy as np
import pytest
import torch
from PIL import Image

import dsrnss.pictures as pictures
from dsrnss.data import Cityscapes, DarkZurich, Folder
from dsrnss.data.base import crop_sample
from dsrnss.data.boxes import Box
from dsrnss.errors import ConfigError, OutputError

BOX = Box(3, 5, 8, 20)


@pytest.fixture
def root(tmp_path):
    """Two pictures of noise with labels and references."""
    rng = np.random.default_rng(0)
    for n in range(2):
        for folder, channels in (("images", 3), ("refs", 3), ("labels", 1)):
            (tmp_path / folder).mkdir(exist_ok=True)
            pixels = rng.integers(0, 256 if channels == 3 else 3, (24, 40, channels), np.uint8).squeeze()
            Image.fromarray(pixels).save(tmp_path / folder / f"{n}.png")
    (tmp_path / "labels.yaml").write_text("classes: [a, b, c]")
    return tmp_path


def same(a, b):
    return a.keys() == b.keys() and all(
        torch.equal(a[k].as_subclass(torch.Tensor), b[k].as_subclass(torch.Tensor))
        if torch.is_tensor(a[k])
        else a[k] == b[k]
        for k in a
    )


@pytest.mark.parametrize("size", [None, (20, 36), 18])
@pytest.mark.parametrize("cached", [False, True])
def test_a_crop_read_at_once_is_the_crop_of_the_whole(root, tmp_path_factory, size, cached):
    whole = Folder(root, size=size)
    cut = Folder(root, size=size, cache_dir=tmp_path_factory.mktemp("cache") if cached else None)
    for _ in range(2):  # the second time from the copy
        assert same(cut.cropped(1, lambda size, label, name: BOX), crop_sample(whole[1], BOX))
        assert same(cut[0], whole[0])


@pytest.mark.parametrize("size, expected", [(12, (12, 20)), (30, (30, 50)), (1, (1, 2))])
def test_the_shorter_side_can_be_given(root, size, expected):
    Image.fromarray(np.zeros((40, 24, 3), np.uint8)).save(root / "images" / "1.png")  # upright
    Image.fromarray(np.zeros((40, 24), np.uint8)).save(root / "labels" / "1.png")
    wide, high = Folder(root, size=size)
    assert Folder(root, size=size).sample_size() == expected
    assert wide["image"].shape[1:] == wide["label"].shape == wide["reference"].shape[1:] == expected
    assert high["image"].shape[1:] == high["label"].shape == expected[::-1]
    own = Folder(root, size=size, resize_label=False)[0]
    assert own["image"].shape[1:] == expected and own["label"].shape == (24, 40)


@pytest.mark.parametrize("size", [0, -3, (0, 5)])
def test_a_size_without_pixels_is_refused(root, size):
    with pytest.raises(ConfigError, match="size must be two positive numbers"):
        Folder(root, size=size)


def test_the_chooser_sees_size_label_and_name(root):
    seen = []
    Folder(root, size=(20, 36)).cropped(0, lambda *given: seen.extend(given) or BOX)
    size, label, name = seen
    assert name == "0" and size == (20, 36) and label.shape == (20, 36)


def test_copies_are_used_until_the_file_changes(root, tmp_path_factory, monkeypatch):
    cache = tmp_path_factory.mktemp("cache")
    dataset = Folder(root, size=(12, 20), cache_dir=cache)
    first = [dataset[i] for i in range(2)]
    assert len(list(cache.rglob("*.npy"))) == 6
    with monkeypatch.context() as patch:
        patch.setattr(pictures.Image, "open", None)
        assert all(same(a, b) for a, b in zip(first, map(dataset.__getitem__, range(2)), strict=True))
    Image.new("RGB", (40, 24), (9, 9, 9)).save(root / "images/0.png")
    assert int(dataset[0]["image"].max()) == 9 and same(dataset[1], first[1])
    assert len(list(cache.rglob("*.npy"))) == 6  # the old copy is gone
    os.utime(root / "images/1.png", ns=(1, 1))
    assert same(dataset[1], first[1])


def test_damaged_copies_are_made_again_and_none_is_changed_by_its_reader(root, tmp_path_factory):
    cache = tmp_path_factory.mktemp("cache")
    dataset = Folder(root, cache_dir=cache)
    first = dataset[0]
    dataset[0]["image"].zero_()
    assert same(dataset[0], first)
    for copy in cache.rglob("*.npy"):
        copy.write_bytes(copy.read_bytes()[:-100])
    assert same(dataset[0], first) and not list(cache.rglob(".*"))


def test_resized_picture_and_label_keep_their_places(root):
    label = np.zeros((40, 40), np.uint8)
    label[:20, 20:] = 2
    Image.fromarray(label).save(root / "labels/0.png")
    Image.fromarray(np.repeat(label[..., None] * 100, 3, axis=2)).save(root / "images/0.png")
    sample = Folder(root, size=(20, 10))[0]
    image, small = sample["image"], sample["label"].numpy()
    assert image.shape == (3, 20, 10) and small.shape == (20, 10)
    assert small[:10, 5:].min() == 2 and small[10:].max() == 0
    assert int(image[0, 4, 8]) == 200 and int(image[0, 4, 1]) == 0


def test_each_size_and_root_has_its_own_copies(root, tmp_path_factory):
    cache = tmp_path_factory.mktemp("cache")
    shapes = [Folder(root, size=size, cache_dir=cache)[0]["image"].shape for size in (None, (12, 20), (6, 10))]
    assert shapes == [(3, 24, 40), (3, 12, 20), (3, 6, 10)]


def test_a_cache_that_cannot_be_written_is_named(root, tmp_path_factory):
    blocked = tmp_path_factory.mktemp("cache") / "file"
    blocked.write_text("x")
    with pytest.raises(OutputError, match=r"Cannot write '.*file"):
        _ = Folder(root, cache_dir=blocked)[0]


def test_a_label_of_its_own_size_comes_as_it_is(root, tmp_path_factory):
    dataset = Folder(root, size=(12, 20), resize_label=False, cache_dir=tmp_path_factory.mktemp("cache"))
    assert dataset[0]["image"].shape == (3, 12, 20) and dataset[0]["label"].shape == (24, 40)


def test_references_of_another_size_get_that_of_the_picture(root):
    Image.new("RGB", (80, 48), (7, 7, 7)).save(root / "refs/0.png")
    sample = Folder(root).cropped(0, lambda size, label, name: BOX)
    assert sample["reference"].shape == (3, 8, 20) and int(sample["reference"].min()) == 7


def test_squashing_is_what_a_size_of_another_shape_does(tmp_path, miniatures):
    root = miniatures.dark_zurich(tmp_path)
    sample = DarkZurich("val", root, size=(16, 16), resize_label=False)[0]
    assert sample["image"].shape == (3, 16, 16) and sample["label"].shape == (18, 32)


def test_twilight_has_pairs_of_its_own(tmp_path, miniatures):
    root = miniatures.dark_zurich(tmp_path)
    dataset = DarkZurich("train", root, time="twilight")
    assert len(dataset) == 1 and int(dataset[0]["image"][0, 0, 0]) == 3 and int(dataset[0]["reference"][0, 0, 0]) == 103
    (root / "all.csv").write_text("".join(path.read_text() for path in root.rglob("*_ref_day.csv")))
    assert len(DarkZurich("train", root, pairs_file="all.csv")) == 2
    assert len(DarkZurich("train", root, pairs_file="all.csv", time="twilight")) == 1


def test_cityscapes_can_be_cached(tmp_path, miniatures):
    root = miniatures.cityscapes(tmp_path)
    dataset = Cityscapes("train", root, size=(9, 16), cache_dir=tmp_path / "cache")
    assert [same(dataset[0], dataset[0]), int(dataset[0]["label"][0, 0])] == [True, 13]
