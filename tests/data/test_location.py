"""A data set is found where it should be, and near it; else the message names what was probably meant."""

import logging
import shutil

import pytest

import dsrnss.data
from dsrnss.data import ACDC, Cityscapes, DarkZurich, Folder
from dsrnss.data.location import data_root
from dsrnss.data.sets import HOMES, known_sets
from dsrnss.errors import DataError, DatasetNotFoundError

NAMES = [cls.__name__ for cls in known_sets().values()]


@pytest.fixture
def place(tmp_path, miniatures, monkeypatch, caplog):
    """Puts a miniature anywhere below a folder; what is taken for it is told."""
    caplog.set_level(logging.INFO, "dsrnss")

    def put(name, *parts):
        made = miniatures.MAKERS[name](tmp_path / "made")
        target = tmp_path.joinpath("data", *parts)
        target.parent.mkdir(parents=True, exist_ok=True)
        monkeypatch.setenv("DATA_DIR", str(tmp_path / "data"))
        return made.rename(target)

    return put


@pytest.fixture
def files(miniatures):
    """Where a set finds its files."""

    def find(name, **options):
        return {entry.image for entry in getattr(dsrnss.data, name)(**options, **OPTIONS.get(name, {})).entries}

    return find


OPTIONS = {"BDD100kNight": {"split_file": "night.txt"}}


def prepared(root, name, miniatures):
    if name == "BDD100kNight":
        miniatures.bdd100k_list(root)
    return root


def test_the_root_is_the_option_or_below_data_dir(place, monkeypatch, caplog):
    root = place("Cityscapes", "Cityscapes")
    assert data_root(Cityscapes) == data_root(Cityscapes, root) == data_root(Cityscapes, f"{root}/") == root
    monkeypatch.setenv("DATA_DIR", f"{root.parent}/")
    assert data_root(Cityscapes) == root and not caplog.records


@pytest.mark.parametrize("data_dir", [None, "/nowhere"])
def test_a_missing_root_says_where_and_what_to_do(monkeypatch, data_dir):
    if data_dir:
        monkeypatch.setenv("DATA_DIR", data_dir)
    else:
        monkeypatch.delenv("DATA_DIR", raising=False)
    with pytest.raises(DatasetNotFoundError) as caught:
        data_root(DarkZurich)
    message = str(caught.value)
    assert (data_dir or "not set") in message and "Did you mean" not in message
    assert all(word in message for word in ("DarkZurich", "DATA_DIR", "root=", "dsrnss data synthesize OUT"))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", ["one level too deep", "lower case", "both", "data dir is the set"])
def test_a_set_near_its_place_below_data_dir_is_found_and_told(
    name, kind, place, files, miniatures, monkeypatch, caplog
):
    folder = getattr(dsrnss.data, name).folder
    spelt = folder.upper() if folder.islower() else folder.lower()
    parts = {
        "one level too deep": [folder, "unpacked"],
        "lower case": [spelt],
        "both": [spelt, folder],
        "data dir is the set": ["sets", "mine"],
    }[kind]
    root = prepared(place(name, *parts), name, miniatures)
    if kind == "data dir is the set":
        monkeypatch.setenv("DATA_DIR", f"{root}/")
    found = files(name)
    assert found and all(path.is_relative_to(root) for path in found)
    assert {record.getMessage().rpartition(": ")[2] for record in caplog.records} == {f"'{root}' is taken."}


@pytest.mark.parametrize("name", HOMES)
def test_a_root_one_level_above_or_below_is_found(name, place, files, miniatures, caplog):
    folder = getattr(dsrnss.data, name).folder
    root = prepared(place(name, folder), name, miniatures)
    expected = files(name, root=root)
    part = (
        "images"
        if name in ("BDD100kNight", "Folder")
        else "rgb_anon"
        if (root / "rgb_anon").is_dir()
        else "leftImg8bit"
    )
    assert files(name, root=root.parent) == files(name, root=root / part) == expected
    assert len(caplog.records) == 2


def test_between_several_the_official_name_decides(place, caplog):
    root = place("Cityscapes", "Cityscapes")
    shutil.copytree(root, root.with_name("copy"))
    assert data_root(Cityscapes, root.parent) == root
    root.rename(root.with_name("old"))
    with pytest.raises(DatasetNotFoundError, match=r"lie in '.*copy', '.*old'.*name one of them as root"):
        data_root(Cityscapes, root.parent)


def test_archives_unpacked_into_folders_of_their_own_are_named(place):
    root = place("Cityscapes", "Cityscapes")
    for part in ("leftImg8bit", "gtFine"):
        (root / f"{part}_trainvaltest").mkdir()
        (root / part).rename(root / f"{part}_trainvaltest" / part)
    with pytest.raises(DatasetNotFoundError, match=r"lie in '.*gtFine_trainvaltest', '.*leftImg8bit_trainvaltest'"):
        data_root(Cityscapes)


def test_what_may_be_meant_but_is_farther_off_is_named_and_not_taken(place, monkeypatch):
    root = place("Cityscapes", "street scenes")
    with pytest.raises(DatasetNotFoundError, match=r"which does not exist.\nDid you mean '.*street scenes'\?"):
        data_root(Cityscapes)
    with pytest.raises(DatasetNotFoundError, match=r"Did you mean '.*street scenes'\?"):
        data_root(Cityscapes, root.with_name("cs"))
    root.rename(root.with_name("Cityscapes"))
    monkeypatch.setenv("DATA_DIR", str(root.with_name("DarkZurich")))
    with pytest.raises(DatasetNotFoundError, match=r"Did you mean '.*data/Cityscapes'\?"):
        data_root(Cityscapes)


def test_an_incomplete_set_in_its_place_is_not_replaced_by_another(place):
    root = place("Cityscapes", "Cityscapes")
    shutil.copytree(root, root / "backup")
    shutil.rmtree(root / "gtFine")
    with pytest.raises(DataError, match="Unpack gtFine_trainvaltest"):
        Cityscapes().verify()


def test_another_set_beside_is_no_candidate(place):
    place("DarkZurich", "DarkZurich")
    with pytest.raises(DatasetNotFoundError) as caught:
        data_root(ACDC)
    assert "mean" not in str(caught.value)


def test_own_pictures_beside_others_are_named(place, miniatures):
    root = place("Folder", "a")
    shutil.copytree(root, root.with_name("b"))
    with pytest.raises(DatasetNotFoundError, match=r"folder that holds 'images'.*\nIt.* lie in '.*/a', '.*/b'"):
        Folder(root.parent).verify()
    # a folder called 'images' above is no sign of an own data set
    (root / "images").rename(root.parent / "images")
    with pytest.raises(DatasetNotFoundError, match=r"No pictures .* below '.*/a/images', which does not exist"):
        Folder(root).verify()
