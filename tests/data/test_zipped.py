"""Data sets that stay zipped give the samples that they give unpacked, in one process and in many."""

import json
import multiprocessing
import pickle
import shutil
import zipfile
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.thread import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

import dsrnss.data
from dsrnss import cli
from dsrnss.data import Cityscapes, DarkZurich, Folder
from dsrnss.data.sets import known_sets
from dsrnss.data.sets.preparation import prepare_cityscapes
from dsrnss.data.zipped import ZippedPath, with_archives
from dsrnss.errors import DataError, ImageError
from dsrnss.pictures import decode, read_header

FOLDERS = {
    "Dark_Zurich_train_anon.zip": ("rgb_anon/train", "corresp"),
    "Dark_Zurich_val_anon.zip": ("rgb_anon/val", "rgb_anon/val_ref", "gt"),
    "Dark_Zurich_test_anon_withoutGt.zip": ("rgb_anon/test", "rgb_anon/test_ref"),
    "bdd100k_images_10k.zip": ("images",),
    "10k_images_train.zip": (),
    "10k_images_val.zip": (),
    "bdd100k_sem_seg_labels_trainval.zip": ("labels",),
}
OPTIONS = {"BDD100kNight": {"split_file": "night.txt"}}


def pack(root: Path, to: Path, kind) -> Path:
    """A folder with the archives of a set, instead of its files; what is in none of them stays a file."""
    to.mkdir(parents=True)
    packed = set()
    for archive in kind.archives:
        folders = FOLDERS.get(archive.name, archive.folders)
        files = [file for folder in folders for file in sorted((root / folder).rglob("*")) if file.is_file()]
        if files:
            with zipfile.ZipFile(to / archive.name, "w", zipfile.ZIP_DEFLATED) as opened:
                for file in files:
                    opened.write(file, f"around/{file.relative_to(root).as_posix()}")
        packed.update(files)
    for file in {file for file in root.rglob("*") if file.is_file()} - packed:
        shutil.copy(file, to / file.name)
    return to


@pytest.fixture
def sets(tmp_path, miniatures):
    """Makes a miniature, unpacked and zipped."""

    def make(name):
        root = miniatures.MAKERS[name](tmp_path / "made")
        if name == "BDD100kNight":
            miniatures.bdd100k_list(root)
        return root, pack(root, tmp_path / "zipped" / root.name, getattr(dsrnss.data, name))

    return make


@pytest.mark.parametrize("name", [kind.__name__ for kind in known_sets().values()])
def test_samples_are_those_of_the_files(sets, name):
    kind = getattr(dsrnss.data, name)
    plain, zipped = sets(name)
    for split in kind.splits:
        made = [kind(split, root, **OPTIONS.get(name, {})) for root in (plain, zipped)]
        for dataset in made:
            dataset.references = bool(dataset.reference_folders()) or dataset.references
            dataset.verify()
        places = [
            [(e.name, *(p and Path(p).relative_to(root) for p in (e.image, e.label, e.reference))) for e in s.entries]
            for s, root in zip(made, (plain, zipped), strict=True)
        ]
        assert places[0] == places[1] and places[0]
        for one, other in zip(*made, strict=True):
            assert one.keys() == other.keys()
            assert all(torch.equal(one[key], other[key]) for key in one if key != "name")
        if made[0].labelled:
            assert np.array_equal(made[0].class_counts(), made[1].class_counts())


def test_the_check_finds_the_same(sets, tmp_path, monkeypatch, capsys):
    plain, zipped = sets("Cityscapes")
    (tmp_path / "here").mkdir()
    reports = []
    for number, root in enumerate((plain, zipped, zipped.parent)):
        file = tmp_path / f"{number}.json"
        assert cli.main(["data", "check", str(root), "--workers", "2", "--json", str(file)]) == 1  # of one colour
        report = json.loads(file.read_text().replace(str(zipped), str(plain)))
        reports.append((report["sets"], report["problems"]))
    assert reports[0] == reports[1] == reports[2]


def test_broken_archives_matter_only_where_they_are_read(sets, tmp_path, capsys):
    plain, zipped = sets("DarkZurich")
    for folder in (plain.parent, plain, zipped.parent):
        (folder / "broken.zip").write_bytes(b"cut")
    for folder in (plain.parent, plain, zipped.parent, zipped):
        cli.main(["data", "check", str(folder), "--workers", "1"])
        assert "DarkZurich/val" in capsys.readouterr().out
    (zipped / "broken.zip").write_bytes(b"cut")
    assert cli.main(["data", "check", str(zipped), "--workers", "1"]) == 1
    assert "broken.zip' is no whole zip archive" in capsys.readouterr().err


def test_archives_of_several_sets_may_lie_in_one_folder(sets, tmp_path, capsys):
    _, first = sets("DarkZurich")
    _, second = sets("ACDC")
    for archive in second.iterdir():
        archive.rename(first / archive.name)
    cli.main(["data", "check", str(first), "--workers", "1"])
    out = capsys.readouterr().out
    assert "DarkZurich/val" in out and "ACDC/snow/test" in out
    assert len(DarkZurich("val", first)) == 1


def test_the_preparation_writes_beside_the_archives(sets):
    _, zipped = sets("Cityscapes")
    assert prepare_cityscapes(zipped, workers=1) == {"labels": 3, "written": 3, "drawn": 0, "train": 2}
    assert len([*zipped.rglob("*_labelTrainIds.png")]) == 3
    train = Cityscapes("train", zipped)
    assert not any(entry.raw_label for entry in train.entries) and len(train) == 2
    assert train._shipped_counts(zipped) is not None


def test_one_archive_is_a_root_and_own_pictures_may_be_zipped(tmp_path, miniatures):
    root = miniatures.folder(tmp_path / "made")
    archive = Path(shutil.make_archive(str(tmp_path / "mine"), "zip", root))
    plain, zipped = Folder(root), Folder(archive)
    assert [entry.name for entry in plain.entries] == [entry.name for entry in zipped.entries]
    assert plain.classes == zipped.classes and zipped.references
    for one, other in zip(plain, zipped, strict=True):
        assert all(torch.equal(one[key], other[key]) for key in one if key != "name")
    assert np.array_equal(plain.class_counts(), zipped.class_counts())


def test_files_come_before_archives_that_are_left_beside_them(sets, miniatures):
    plain, zipped = sets("DarkZurich")
    for archive in zipped.glob("*.zip"):
        (plain / archive.name).write_bytes(b"cut")
    assert not isinstance(DarkZurich("val", plain).entries[0].image, ZippedPath)


def test_parts_may_be_unpacked(sets):
    plain, zipped = sets("Cityscapes")
    shutil.copytree(plain / "gtFine", zipped / "gtFine")
    (zipped / "gtFine_trainvaltest.zip").unlink()
    entry = Cityscapes("val", zipped).entries[0]
    assert entry.label is not None and Path(str(entry.label)).is_file() and not Path(str(entry.image)).exists()


def test_what_is_wrong_with_an_archive_is_named(sets):
    _, zipped = sets("DarkZurich")
    path = zipped / "Dark_Zurich_val_anon.zip"
    content = path.read_bytes()
    at = content.index(b"rgb_anon.png") + 40
    path.write_bytes(content[:at] + bytes(8) + content[at + 8 :])
    dataset = DarkZurich("val", zipped)
    with pytest.raises(ImageError, match=r"_rgb_anon\.png' cannot be opened: it is damaged in the archive '.*val_anon"):
        _ = dataset[0], dataset.entries and DarkZurich("val", zipped, references=True)[0]
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match=r"val_anon\.zip' is no whole zip archive"):  # it is another file now
        len(DarkZurich("val", zipped))


def read(path):
    return np.asarray(decode(path)).sum(), read_header(path).size, path.stat().st_size


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_processes_read_at_once(sets, method):
    plain, zipped = sets("DarkZurich")
    paths = [entry.image for split in ("train", "val", "test") for entry in DarkZurich(split, zipped).entries] * 25
    here = [read(path) for path in paths]  # the archives are open when processes are forked
    assert here == [read(plain / path.relative_to(zipped)) for path in paths]
    context = multiprocessing.get_context(method)
    with ProcessPoolExecutor(2 if method == "fork" else 1, context) as pool:
        assert [*pool.map(read, paths, chunksize=5)] == here
    with ThreadPoolExecutor(4) as threads:
        assert [*threads.map(read, paths)] == here


def test_paths_survive_being_sent(sets):
    _, zipped = sets("DarkZurich")
    path = DarkZurich("val", zipped).entries[0].image
    sent = pickle.loads(pickle.dumps(path))
    assert isinstance(sent, ZippedPath) and sent == path and sent.read_bytes() == path.read_bytes()


def test_a_folder_without_archives_is_left_alone(tmp_path):
    assert with_archives(tmp_path) is tmp_path and with_archives(tmp_path / "nowhere") == tmp_path / "nowhere"
