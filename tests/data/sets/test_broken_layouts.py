"""Every way in which a layout can be broken, and what is said of it."""

import re
import shutil

import pytest

import dsrnss.data
from dsrnss.errors import DataError, DatasetNotFoundError, DsrnssError, ImageError

NIGHT, DAY = "rgb_anon/train/night/GOPR0351", "rgb_anon/train/day/GOPR0345"
TABLE = "corresp/train/night/GOPR0351/GOPR0351_ref_day.csv"
VAL = "night/GOPR0356/GOPR0356_frame_000005"
TRUTH = "gtCoarse_daytime_trainvaltest/test/night"


def gone(*paths):
    """Remove files or folders."""

    def break_it(root, _):
        for path in paths:
            shutil.rmtree(root / path) if (root / path).is_dir() else (root / path).unlink()

    return break_it


def text(path, content):
    """Write a text file."""

    def break_it(root, _):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(content)

    return break_it


def raw(path, content=b""):
    """Write a file of bytes."""

    def break_it(root, _):
        (root / path).write_bytes(content)

    return break_it


def night_list(content):
    """Write a list of night pictures of BDD100k."""
    return text("night.txt", content)


BDD = {"split_file": "night.txt"}
CASES = [
    ("Cityscapes", {}, gone("leftImg8bit/train"), r"looked for pictures '.*leftImg8bit/train/<city>/\*_leftImg8bit"),
    ("Cityscapes", {}, gone("gtFine"), r"2 of 2 labels are missing:\n.*labelIds\.png\n.*\nUnpack gtFine_trainvaltest"),
    ("Cityscapes", {}, gone("gtFine/train/ulm"), r"1 of 2 labels are missing:\n.*ulm_000002_000019_gtFine_labelIds"),
    ("Cityscapes", {}, text("sample_class_stats.json", "{"), r"sample_class_stats\.json' is no list of class counts"),
    ("DarkZurich", {}, gone(NIGHT), r"looked for pictures '.*rgb_anon/train/night/<sequence>/\*_rgb_anon\.png'"),
    ("DarkZurich", {}, gone("corresp"), r"No pairs of night and day pictures: looked for .*_ref_day\.csv.*pairs_file"),
    ("DarkZurich", {"time": "twilight"}, gone("corresp/train/twilight"), r"No pairs of twilight and day pictures"),
    ("DarkZurich", {}, raw(TABLE, b"\xff\xfe\x00\x81"), r"Cannot read the pairs '.*GOPR0351_ref_day\.csv'"),
    ("DarkZurich", {}, text(TABLE, "a,b\nc;d\n"), r"Line 2 of '.*_ref_day\.csv' is no pair: expected .* found 'c;d'"),
    ("DarkZurich", {}, text(TABLE, ""), r"GOPR0351_ref_day\.csv' names no pair of a night picture"),
    (
        "DarkZurich",
        {},
        gone(f"{DAY}/GOPR0345_frame_000082_rgb_anon.png"),
        r"1 of 4 pictures named by the pairs are missing",
    ),
    ("DarkZurich", {}, gone(f"{NIGHT}/GOPR0351_frame_000002_rgb_anon.png"), r"1 of 4 pictures named by the pairs"),
    (
        "DarkZurich",
        {"pairs_file": "p.csv"},
        text("other.csv", ""),
        r"pairs_file 'p\.csv' was found neither as it is nor",
    ),
    (
        "DarkZurich",
        {"pairs_file": "p.csv"},
        text("p.csv", "train/twilight/a/b,train/day/a/c\n"),
        r"p\.csv' names no pair",
    ),
    (
        "DarkZurich",
        {"split": "val"},
        gone("gt"),
        r"1 of 1 labels are missing:\n.*labelTrainIds.*\nUnpack Dark_Zurich_val",
    ),
    (
        "DarkZurich",
        {"split": "val", "references": True},
        gone("rgb_anon/val_ref"),
        r"1 of 1 day references are missing",
    ),
    (
        "DarkZurich",
        {"split": "test", "references": True},
        gone("rgb_anon/test_ref"),
        r"references .*\n.*\n.*_test_anon\.zip",
    ),
    ("DarkZurich", {"split": "test"}, gone("rgb_anon/test"), r"rgb_anon/test/night/<sequence>"),
    (
        "NighttimeDriving",
        {},
        gone("leftImg8bit"),
        r"looked for pictures '.*leftImg8bit/test/night/\*_leftImg8bit\.png'",
    ),
    ("NighttimeDriving", {}, gone(TRUTH), r"2 of 2 labels are missing:\n.*01_frame_0001_gtCoarse_labelTrainIds\.png"),
    ("ACDC", {}, gone("rgb_anon/night/train"), r"looked for pictures '.*rgb_anon/night/train/<sequence>/\*_rgb_anon"),
    ("ACDC", {"split": "val"}, gone("gt/night"), r"1 of 1 labels are missing:\n.*\nUnpack gt_trainval\.zip"),
    (
        "ACDC",
        {},
        gone("rgb_anon/night/train_ref"),
        r"1 of 1 references are missing:\n.*_rgb_ref_anon\.png\n.*references to",
    ),
    ("ACDC", {"conditions": ["fog", "rain"]}, gone("rgb_anon/rain"), r"rgb_anon/rain/train/<sequence>"),
    ("BDD100kNight", {}, gone(), r"nothing says which pictures were taken by night.*split_file(.*\n)+.*sem_seg_train"),
    ("BDD100kNight", BDD, gone(), r"split_file 'night\.txt' was found neither"),
    ("BDD100kNight", BDD, night_list("a1\n"), r"Line 1 of '.*night\.txt' names no picture: expected 'seg/images/train"),
    ("BDD100kNight", BDD, night_list(""), r"night\.txt' names no picture of train or val"),
    ("BDD100kNight", {**BDD, "split": "val"}, night_list("train/a1.jpg"), r"night\.txt' names no picture of val"),
    (
        "BDD100kNight",
        BDD,
        night_list("train/a1.jpg\ntrain/zz.jpg"),
        r"1 of 2 pictures named by.*\n  train/zz\.jpg\nUnpack",
    ),
    ("BDD100kNight", BDD, raw("night.txt", b"\xff\xfe\x81"), r"Cannot read the list '.*night\.txt'"),
    (
        "BDD100kNight",
        {},
        text("labels/det_20/det_val.json", "[{}]"),
        r"det_val\.json' is no label list of BDD100k.*KeyError",
    ),
    ("BDD100kNight", {}, text("labels/det_20/det_val.json", "[]"), r"None of 4 pictures is marked 'timeofday: night'"),
    ("BDD100kNight", {}, gone("images"), r"looked for pictures '.*images/10k/\{train,val\}/\*\.jpg'"),
    ("Folder", {}, gone("images"), r"No pictures \(png, jpg, .*\) below '.*mine/images', which does not exist"),
    ("Folder", {"split": "x"}, gone(), r"No pictures .* below '.*mine/images/x', which does not exist"),
    (
        "Folder",
        {},
        gone("labels/a/1.png"),
        r"1 of 3 labels are missing:\n.*labels/a/1\.\*\n.*holds '2\.png'.*labelled to",
    ),
    ("Folder", {}, gone("refs/a/1.jpg"), r"1 of 3 references are missing:\n.*refs/a/1\.\*\n.*set references to false"),
    ("Folder", {}, gone("labels.yaml"), r"has labels but no labels\.yaml"),
    ("Folder", {"labels_file": "l.yaml"}, gone(), r"labels_file 'l\.yaml' was found neither as it is nor below"),
    ("Folder", {}, raw("images/a/1.jpg"), r"images/a/1\.jpg' and '.*images/a/1\.png' differ in their ending alone"),
    ("Folder", {}, raw("labels/a/1.tif"), r"labels/a/1\.png' and '.*1\.tif' differ in their ending alone"),
    ("Folder", {"labels": "refs"}, gone(), r"refs/a/1\.jpg': a label as JPEG has changed values; save labels as PNG"),
    ("Folder", {"pairs_file": "p.csv"}, gone(), r"pairs_file 'p\.csv' was found neither"),
    ("Folder", {"pairs_file": "p.csv"}, text("p.csv", "a/1\n"), r"Line 1 of '.*p\.csv' is no pair: expected .*'a/1'"),
    ("Folder", {"pairs_file": "p.csv"}, text("p.csv", "\n"), r"p\.csv' names no pair"),
    ("Folder", {"pairs_file": "p.csv"}, raw("p.csv", b"\xff\xfe\x81"), r"Cannot read the pairs '.*p\.csv'"),
    (
        "Folder",
        {"pairs_file": "p.csv"},
        text("p.csv", "a/1,a/9\nz,a/2"),
        r"2 of 4 pictures named by '.*p\.csv'.*\n  a/9\n  z",
    ),
]


@pytest.fixture
def copy(tmp_path, miniatures):
    """A miniature, and the class that reads it."""

    def make(name):
        return miniatures.MAKERS[name](tmp_path), getattr(dsrnss.data, name)

    return make


@pytest.mark.parametrize(
    ("name", "options", "break_it", "message"), CASES, ids=[f"{c[0]}-{i}" for i, c in enumerate(CASES)]
)
def test_a_broken_layout_is_explained(copy, name, options, break_it, message, miniatures):
    root, kind = copy(name)
    break_it(root, miniatures)
    dataset = kind(root=root, **options)
    with pytest.raises(DsrnssError) as caught:
        dataset.verify()
        dataset.class_counts()
    assert isinstance(caught.value, DataError)
    assert re.search(message, str(caught.value)), str(caught.value)


SETS = ["Cityscapes", "DarkZurich", "NighttimeDriving", "ACDC", "BDD100kNight", "Folder"]


@pytest.mark.parametrize("name", SETS)
def test_a_missing_root_says_where_it_was_looked_for(name, tmp_path):
    kind = getattr(dsrnss.data, name)
    with pytest.raises(DatasetNotFoundError, match=r"nowhere"):
        kind(root=tmp_path / "nowhere").verify()
    (tmp_path / "file").write_text("x")
    with pytest.raises(DatasetNotFoundError, match=r"file"):
        kind(root=tmp_path / "file").verify()


@pytest.mark.parametrize("name", SETS[:-1])
def test_a_set_that_nothing_leads_to_says_how_to_name_it(name, copy):
    _, kind = copy(name)
    with pytest.raises(DatasetNotFoundError, match=f"--layout {kind.stand_in}"):
        kind().verify()


@pytest.mark.parametrize("name", SETS)
def test_half_written_and_hidden_files_are_left_out(name, copy, miniatures):
    root, kind = copy(name)
    options = {"split_file": miniatures.bdd100k_list(root)} if name == "BDD100kNight" else {}
    before = len(kind(root=root, **options))
    for path in [p for p in root.rglob("*") if p.is_file()]:
        path.with_name(f"._{path.name}").write_bytes(b"junk")
        path.with_name(f".{path.stem}.123{path.suffix}").write_bytes(b"junk")
    assert len(kind(root=root, **options)) == before


@pytest.mark.parametrize("name", SETS)
def test_a_damaged_picture_is_named_when_it_is_read(name, copy, miniatures):
    root, kind = copy(name)
    options = {"split_file": miniatures.bdd100k_list(root)} if name == "BDD100kNight" else {}
    dataset = kind(root=root, **options)
    path = dataset.entries[0].image
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(ImageError, match=re.escape(path.name)):
        _ = dataset[0]


@pytest.mark.parametrize("name", SETS)
def test_order_is_the_same_each_time(name, copy, miniatures):
    root, kind = copy(name)
    options = {"split_file": miniatures.bdd100k_list(root)} if name == "BDD100kNight" else {}
    first, second = (kind(root=root, **options).entries for _ in range(2))
    assert first == second and len({entry.name for entry in first}) == len(first)


@pytest.mark.parametrize("name", SETS[:-1])
def test_facts_stand_at_the_class(name):
    kind = getattr(dsrnss.data, name)
    assert kind.url.startswith("http") and kind.paper and kind.licence
    assert len(kind.official_size) == 2 and set(kind.splits) <= kind.counts.keys()
    assert len(kind().classes) == len(kind().palette) == 19
