import errno

import numpy as np
import pytest
from jsonargparse import ArgumentParser
from PIL import Image

from dsrnss.data import ACDC, AdaptationDataModule, BDD100kNight, Cityscapes, DarkZurich, NighttimeDriving
from dsrnss.data.stand_in.layouts import LAYOUTS, synthesize
from dsrnss.data.synthnight import generate
from dsrnss.errors import ConfigError, DataError, OutputError
from dsrnss.experiment import files as experiments
from dsrnss.experiment.files import PACKAGED

SIZE = (64, 128)


@pytest.fixture(scope="module")
def stand_in(tmp_path_factory):
    out = tmp_path_factory.mktemp("data") / "stand_in"
    numbers = synthesize(out, source=2, target=2, val=1, test=1, size=SIZE, workers=2)
    assert list(numbers.values()) == [2, 1, 2, 1, 1, 1, 1, 1]
    return out


def test_names_are_the_official_ones(stand_in):
    city, night = "train/synthcity00/synthcity00_000001_000019", "night/SYNT0500/SYNT0500_frame_000001"
    expected = [
        f"Cityscapes/leftImg8bit/{city}_leftImg8bit.png",
        *(f"Cityscapes/gtFine/{city}_gtFine_{kind}.png" for kind in ("labelIds", "labelTrainIds", "color")),
        "Cityscapes/sample_class_stats.json",
        "Cityscapes/sample_class_stats_dict.json",
        "Cityscapes/samples_with_class.json",
        "DarkZurich/rgb_anon/train/night/SYNT0000/SYNT0000_frame_000002_rgb_anon.png",
        "DarkZurich/rgb_anon/train/day/SYNT0900/SYNT0900_frame_000002_rgb_anon.png",
        "DarkZurich/corresp/train/night/SYNT0000/SYNT0000_ref_day.csv",
        f"DarkZurich/rgb_anon/val/{night}_rgb_anon.png",
        "DarkZurich/rgb_anon/val_ref/day/SYNT0500_ref/SYNT0500_frame_000001_ref_rgb_anon.png",
        *(
            f"DarkZurich/gt/val/{night}_gt_{kind}.png"
            for kind in ("labelTrainIds", "labelIds", "labelColor", "invIds", "invGray")
        ),
        "DarkZurich/rgb_anon/test_ref/day/SYNT0700_ref/SYNT0700_frame_000001_ref_rgb_anon.png",
    ]
    assert [name for name in expected if not (stand_in / name).is_file()] == []


def test_the_loaders_read_it_with_all_parts(stand_in, monkeypatch):
    monkeypatch.setenv("DATA_DIR", str(stand_in))
    source, target, val = Cityscapes("train"), DarkZurich("train"), DarkZurich("val", references=True)
    scene = generate("source", 1, size=SIZE, reference=False)
    assert np.array_equal(source[1]["image"].permute(1, 2, 0).numpy(), scene.image)
    assert np.array_equal(source[1]["label"].numpy(), scene.label)
    assert source.class_counts().sum(axis=1).tolist() == [64 * 128] * 2
    assert target[1]["image"].shape == target[1]["reference"].shape == (3, 68, 120)
    assert val[0]["label"].shape == (68, 120) and "reference" in val[0]
    assert len(DarkZurich("test", references=True)) == len(Cityscapes("val")) == 1


def test_all_sets_of_the_experiments_are_there(stand_in, tmp_path, monkeypatch):
    monkeypatch.setenv("DATA_DIR", str(stand_in))
    for dataset, size in (
        (NighttimeDriving(), (68, 120)),
        (ACDC("val", references=True), (68, 120)),
        (BDD100kNight(), (45, 80)),
    ):
        dataset.verify()
        assert len(dataset) == 1 and dataset[0]["image"].shape == (3, *size) and dataset[0]["label"].shape == size
    scenes = [s[0]["image"].float().mean() for s in (DarkZurich("val"), ACDC("val"), NighttimeDriving())]
    assert len(set(scenes)) == 3  # no set shows the scene of another
    numbers = synthesize(tmp_path / "acdc", "cityscapes_acdc", source=1, target=2, val=1, test=1, size=SIZE, workers=1)
    assert numbers == {"Cityscapes/train": 1, "Cityscapes/val": 1, "ACDC/train": 2, "ACDC/val": 1, "ACDC/test": 1}
    monkeypatch.setenv("DATA_DIR", str(tmp_path / "acdc"))
    for split, number in (("train", 2), ("val", 1), ("test", 1)):
        assert len(ACDC(split, references=True)) == number
    assert "reference" in ACDC("train")[1] and ACDC("train", labelled=True).class_counts().sum() == 2 * 68 * 120


def test_both_kinds_of_ids_say_the_same(stand_in):
    train_ids = next((stand_in / "Cityscapes/gtFine").rglob("*_labelTrainIds.png"))
    before = Cityscapes("train", stand_in / "Cityscapes")[0]["label"]
    hidden = train_ids.rename(train_ids.with_name("hidden"))
    dataset = Cityscapes("train", stand_in / "Cityscapes")
    assert dataset.entries[0].raw_label and dataset[0]["label"].equal(before)
    hidden.rename(train_ids)


def test_the_same_arguments_give_the_same_files(stand_in, tmp_path):
    synthesize(tmp_path / "b", source=2, target=2, val=1, test=1, size=SIZE, workers=1)
    files = sorted(p.relative_to(stand_in) for p in stand_in.rglob("*") if p.is_file() and ".dsrnss" not in p.parts)
    assert files == sorted(p.relative_to(tmp_path / "b") for p in (tmp_path / "b").rglob("*") if p.is_file())
    assert all((stand_in / f).read_bytes() == (tmp_path / "b" / f).read_bytes() for f in files)


def test_used_folders_are_left_alone(tmp_path):
    own = tmp_path / "mine"
    own.mkdir()
    (own / "thesis.tex").write_text("x")
    for overwrite in (False, True):
        with pytest.raises(DataError, match="not empty"):
            synthesize(own, source=1, target=0, val=0, test=0, size=SIZE, workers=1, overwrite=overwrite)
    out = tmp_path / "out"
    synthesize(out, source=1, target=0, val=0, test=0, size=SIZE, workers=1)
    with pytest.raises(DataError, match="overwrite"):
        synthesize(out, source=0, target=1, val=0, test=0, size=SIZE, workers=1)
    synthesize(out, source=0, target=1, val=0, test=0, size=SIZE, workers=1, overwrite=True)
    assert sorted(p.name for p in out.iterdir()) == ["DarkZurich", "synthnight.json"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["mine", "out"]


def test_a_full_disk_leaves_nothing_behind(tmp_path, monkeypatch):
    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, "No space left on device", "somewhere.png")

    monkeypatch.setattr(Image.Image, "save", full)
    with pytest.raises(OutputError, match=r"somewhere.png.*disk is full"):
        synthesize(tmp_path / "out", source=1, target=0, val=0, test=0, size=SIZE, workers=1)
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_the_way_is_named(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError, match="file"):
        synthesize(tmp_path / "file" / "out", source=1, size=SIZE, workers=1)


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"layout": "acdc"}, "layout"),
        ({"night": "drak"}, "dark"),
        ({"size": (2048, 4096)}, "size"),
        ({"source": -1}, "0"),
    ],
)
def test_wrong_options_say_what_is_right(tmp_path, options, word):
    with pytest.raises(ConfigError, match=word):
        synthesize(tmp_path / "out", **options)


def test_night_pictures_keep_the_official_proportion(tmp_path):
    synthesize(tmp_path / "out", source=0, target=1, val=0, test=0, size=(128, 256), workers=1)
    assert DarkZurich("train", tmp_path / "out/DarkZurich")[0]["image"].shape == (3, 135, 240)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_set_of_every_experiment_of_that_name_is_there(tmp_path_factory, stand_in, layout, monkeypatch):
    if layout == "cityscapes_darkzurich":
        out = stand_in
    else:
        out = tmp_path_factory.mktemp("data") / layout
        synthesize(out, layout, source=2, target=2, val=1, test=1, size=SIZE, workers=1)
    monkeypatch.setenv("DATA_DIR", str(out))
    files = sorted((PACKAGED / layout).glob("*.yaml"))
    assert files
    for file in files:
        parser = ArgumentParser(exit_on_error=False)
        parser.add_class_arguments(AdaptationDataModule, "data")
        data = parser.instantiate_classes(parser.parse_object({"data": experiments.read(file).content["data"]})).data
        for stage in ("fit", "validate", "test", "predict"):
            data.setup(stage)
