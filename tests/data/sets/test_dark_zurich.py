import numpy as np
import pytest

from dsrnss.data import DarkZurich
from dsrnss.data.checking.check import check_sets
from dsrnss.errors import ConfigError, DataError

NIGHT, DAY = "train/night/GOPR0351/GOPR0351_frame_{:06d}", "train/day/GOPR0345/GOPR0345_frame_{:06d}"


@pytest.fixture
def root(tmp_path, write_png):
    for number in (2, 1, 3):
        write_png(tmp_path / f"rgb_anon/{NIGHT.format(number)}_rgb_anon.png", np.full((18, 32, 3), number))
        write_png(tmp_path / f"rgb_anon/{DAY.format(80 + number)}_rgb_anon.png", np.full((18, 32, 3), 200 + number))
    table = "".join(f"{NIGHT.format(n)},{DAY.format(80 + n)}\n" for n in (1, 2, 3))
    (tmp_path / "corresp/train/night/GOPR0351").mkdir(parents=True)
    (tmp_path / "corresp/train/night/GOPR0351/GOPR0351_ref_day.csv").write_text(table)
    for split in ("val", "test"):
        frame = "GOPR0356/GOPR0356_frame_000321"
        write_png(tmp_path / f"rgb_anon/{split}/night/{frame}_rgb_anon.png", np.full((18, 32, 3), 9))
        reference = tmp_path / f"rgb_anon/{split}_ref/day/GOPR0356_ref"
        write_png(reference / "GOPR0356_frame_000321_ref_rgb_anon.png", np.full((18, 32, 3), 90))
        write_png(reference / "GOPR0356_frame_000322_ref_rgb_anon.png", np.full((18, 32, 3), 91))
    write_png(tmp_path / f"gt/val/night/{frame}_gt_labelTrainIds.png", np.full((18, 32), 10))
    return tmp_path


def values(dataset):
    return [
        (int(s["image"][0, 0, 0]), int(s["reference"][0, 0, 0])) for s in map(dataset.__getitem__, range(len(dataset)))
    ]


def test_train_has_references_by_the_shipped_pairs(root):
    dataset = DarkZurich("train", root)
    assert values(dataset) == [(1, 201), (2, 202), (3, 203)]
    assert set(dataset[0]) == {"image", "reference", "name"}
    assert dataset[0]["name"] == "GOPR0351_frame_000001_rgb_anon"
    assert dataset.references and not dataset.labelled
    assert set(DarkZurich("train", root, references=False)[0]) == {"image", "name"}


@pytest.mark.parametrize("absolute", [True, False])
def test_one_file_of_pairs_in_another_spelling(root, absolute):
    lines = ["night,day", f"rgb_anon/{NIGHT.format(2)}_rgb_anon.png, {DAY.format(83)}", ""]
    (root / "pairs.csv").write_text("\n".join(lines))
    dataset = DarkZurich("train", root, pairs_file=root / "pairs.csv" if absolute else "pairs.csv")
    assert values(dataset) == [(2, 203)]


def test_pairs_written_with_backslashes_are_the_same(root):
    for table in root.rglob("*_ref_day.csv"):
        table.write_text(table.read_text().replace("/", "\\"))
    assert values(DarkZurich("train", root)) == [(1, 201), (2, 202), (3, 203)]
    table.write_text("train\\night\\alone\n")
    with pytest.raises(DataError, match="Line 1 of"):
        DarkZurich("train", root).verify()


def test_val_is_labelled_and_references_match_by_name(root):
    assert set(DarkZurich("val", root)[0]) == {"image", "label", "name"}
    assert values(DarkZurich("val", root, references=True)) == [(9, 90)]
    assert values(DarkZurich("test", root, references=True)) == [(9, 90)]
    assert not DarkZurich("test", root).labelled


def test_reference_gets_the_size_of_the_image(root, write_png):
    write_png(root / f"rgb_anon/{DAY.format(81)}_rgb_anon.png", np.zeros((30, 50, 3)))
    assert DarkZurich("train", root)[0]["reference"].shape == (3, 18, 32)
    assert DarkZurich("train", root, size=(9, 16))[0]["reference"].shape == (3, 9, 16)


def test_missing_references_are_listed(root):
    for number in (81, 83):
        (root / f"rgb_anon/{DAY.format(number)}_rgb_anon.png").unlink()
    with pytest.raises(DataError, match=r"(?s)2 of 6 pictures named by the pairs.*frame_000081.*frame_000083"):
        DarkZurich("train", root).verify()
    (root / "rgb_anon/val_ref/day/GOPR0356_ref/GOPR0356_frame_000321_ref_rgb_anon.png").unlink()
    with pytest.raises(DataError, match=r"(?s)1 of 1 day references.*references to false"):
        DarkZurich("val", root, references=True).verify()


def test_pictures_without_a_shipped_pair_are_told(root, caplog):
    caplog.set_level("INFO", "dsrnss")
    table = root / "corresp/train/night/GOPR0351/GOPR0351_ref_day.csv"
    table.write_text("".join(table.read_text().splitlines(keepends=True)[1:]))
    assert values(DarkZurich("train", root)) == [(2, 202), (3, 203)]
    assert "1 of 3 night pictures" in (told := caplog.text) and "GOPR0351_frame_000001" in told
    (problem,) = [p for p in check_sets({"a": DarkZurich("train", root)}, workers=1).problems if p.kind != "one-colour"]
    assert problem.kind == "missing-reference" and problem.file.endswith("GOPR0351_frame_000001_rgb_anon.png")
    caplog.clear()
    assert len(DarkZurich("train", root, pairs_file=table)) == 2 and not caplog.text


def test_a_broken_first_line_is_no_header(root):
    table = root / "corresp/train/night/GOPR0351/GOPR0351_ref_day.csv"
    table.write_text(table.read_text().replace(",", ";", 1))
    with pytest.raises(DataError, match=r"Line 1 of .* is no pair"):
        DarkZurich("train", root).verify()


def test_missing_or_damaged_pairs_are_explained(root):
    table = root / "corresp/train/night/GOPR0351/GOPR0351_ref_day.csv"
    table.write_text(table.read_text() + "train/night/GOPR0351/x;train/day/y\n")
    with pytest.raises(DataError, match="Line 4 of"):
        DarkZurich("train", root).verify()
    table.unlink()
    with pytest.raises(DataError, match=r"_ref_day.csv.*pairs_file"):
        DarkZurich("train", root).verify()
    with pytest.raises(DataError, match=r"no\.csv"):
        DarkZurich("train", root, pairs_file="no.csv").verify()
    with pytest.raises(ConfigError, match="pairs_file"):
        DarkZurich("val", root, pairs_file="no.csv")
