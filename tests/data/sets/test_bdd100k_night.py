import json

import pytest

from dsrnss.data import BDD100kNight
from dsrnss.errors import DataError


def names(dataset):
    return [dataset[i]["name"] for i in range(len(dataset))]


@pytest.mark.parametrize("release", ["new", "old"])
@pytest.mark.parametrize("by", ["list", "attributes"])
def test_night_pictures_of_either_release_by_list_or_attribute(tmp_path, miniatures, release, by):
    root = miniatures.bdd100k(tmp_path, release)
    options = {}
    if by == "list":
        options["split_file"] = miniatures.bdd100k_list(root).name
    else:
        miniatures.bdd100k_attributes(root)
    dataset = BDD100kNight(root=root, **options)
    assert names(dataset) == ["a1", "b1"]
    assert dataset[0]["label"].shape == (18, 32) and int(dataset[0]["label"][0, 0]) == 0
    assert names(BDD100kNight("val", root, **options)) == ["b1"]


def test_the_list_gives_the_order_and_may_be_spelt_in_several_ways(tmp_path, miniatures):
    root = miniatures.bdd100k(tmp_path)
    (tmp_path / "list.txt").write_text("images/10k/val/b2.jpg\n\ntrain/a2\r\nseg\\images\\train\\a1.jpg\nval/b2.jpg\n")
    assert names(BDD100kNight(root=root, split_file=tmp_path / "list.txt")) == ["b2", "a2", "a1"]


def test_attributes_may_come_in_a_file_of_their_own(tmp_path, miniatures):
    root = miniatures.bdd100k(tmp_path)
    frames = [{"name": "a2.jpg", "attributes": {"timeofday": "night"}}, {"name": "b1.jpg", "attributes": None}]
    (root / "own.json").write_text(json.dumps({"frames": frames}))
    assert names(BDD100kNight(root=root, attributes_file="own.json")) == ["a2"]
    (root / "own.json").write_text(json.dumps({"frames": frames[1:]}))
    with pytest.raises(DataError, match=r"None of 4 pictures.*own\.json.*split_file"):
        BDD100kNight(root=root, attributes_file="own.json").verify()
