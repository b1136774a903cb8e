"""Archives for the test servers: what is written passes the check, and every fault is named."""

import io
import subprocess
import sys
import zipfile

import numpy as np
import pytest
from PIL import Image

from dsrnss.data.submission.archive import benchmark, submission_archive
from dsrnss.data.submission.validation import validate_submission
from dsrnss.errors import ConfigError, DataError

SIZE = (1080, 1920)
NAMES = [f"GOPR0356_frame_{number:06d}_rgb_anon" for number in range(1, 4)]
LABELS = np.zeros(SIZE, np.uint8)
LABELS[:9] = np.arange(9)[:, None]


def png(pixels, kind="PNG"):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind)
    return buffer.getvalue()


GOOD = png(LABELS)
DEEP = png(np.full(SIZE, 40000, np.uint16))


def archive(path, files):
    with zipfile.ZipFile(path, "w") as out:
        for name, data in files.items():
            out.writestr(name, data)
    return path


def dark_zurich(**replaced):
    files = {}
    for name in NAMES:
        for folder, data in (("labelTrainIds", GOOD), ("labelTrainIds_invalid", GOOD), ("confidence", DEEP)):
            files[f"{folder}/{name}.png"] = data
    return files


def faults(path, kind=None, expected=NAMES):
    return validate_submission(path, kind, expected).faults


@pytest.mark.parametrize("kind", ["darkzurich", "acdc"])
def test_what_is_written_is_what_the_server_wants(tmp_path, kind):
    confidence = np.full(SIZE, 0.9, np.float32)
    confidence[0] = 0.25
    path = tmp_path / "out/submission.zip"
    with submission_archive(path, benchmark(kind)) as add:
        for name in NAMES:
            add(name, LABELS, confidence)
        assert not path.exists()
    assert faults(path, kind) == ()
    with zipfile.ZipFile(path) as written:
        parts = {name: np.asarray(Image.open(io.BytesIO(written.read(name)))) for name in written.namelist()}
    assert len(parts) == 3 * len(benchmark(kind).folders)
    assert np.array_equal(parts[f"labelTrainIds/{NAMES[0]}.png"], LABELS)
    if kind == "darkzurich":
        declared, deep = (parts[f"{folder}/{NAMES[0]}.png"] for folder in ("labelTrainIds_invalid", "confidence"))
        assert (declared[0] == 255).all() and np.array_equal(declared[1:], LABELS[1:])
        assert deep.dtype == np.uint16 and set(np.unique(deep)) == {round(0.25 * 65535), round(0.9 * 65535)}


def test_an_interrupted_archive_leaves_the_old_one(tmp_path):
    path = tmp_path / "submission.zip"
    path.write_bytes(b"old")
    with pytest.raises(KeyboardInterrupt), submission_archive(path, benchmark("acdc")) as add:
        add("a", LABELS, np.ones(SIZE, np.float32))
        raise KeyboardInterrupt
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]


def test_a_name_that_comes_twice_is_refused(tmp_path):
    with (
        pytest.raises(DataError, match="called 'a'"),
        submission_archive(tmp_path / "s.zip", benchmark("acdc")) as add,
    ):
        for _ in range(2):
            add("a", LABELS[:2], np.ones((2, 1920), np.float32))
    assert not list(tmp_path.iterdir())


def test_the_kind_is_seen_from_the_content(tmp_path):
    assert validate_submission(archive(tmp_path / "a.zip", dark_zurich())).benchmark.title == "Dark Zurich"
    flat = archive(tmp_path / "b.zip", {f"{name}.png": GOOD for name in NAMES})
    found = validate_submission(flat, expected=NAMES)
    assert found.benchmark.title == "ACDC" and found.faults == () and found.pictures == 3


ONE = f"labelTrainIds/{NAMES[0]}.png"
BROKEN = {
    "size": ({ONE: png(LABELS[:540, :960])}, "960 x 540 pixels: expected 1920 x 1080"),
    "colour": ({ONE: png(np.zeros((*SIZE, 3), np.uint8))}, "colour image .mode 'RGB'"),
    "palette": ({ONE: png(LABELS) and None}, "colour image .mode 'P'"),
    "deep labels": ({ONE: DEEP}, "mode 'I;16': train ids are 8-bit grey"),
    "shallow confidence": ({f"confidence/{NAMES[1]}.png": GOOD}, "mode 'L': a confidence is 16-bit grey"),
    "ignored value": ({ONE: png(np.full(SIZE, 255, np.uint8))}, r"values \[255\], outside 0..18\.$"),
    "raw ids": ({ONE: png(np.full(SIZE, 33, np.uint8))}, "look like raw label ids"),
    "declared": ({f"labelTrainIds_invalid/{NAMES[0]}.png": png(np.full(SIZE, 254, np.uint8))}, "0..18 and 255"),
    "other labels": (
        {f"labelTrainIds_invalid/{NAMES[2]}.png": png(np.where(np.arange(1920) < 480, np.uint8(18), LABELS))},
        f"labelTrainIds_invalid/{NAMES[2]}.png' differs from 'labelTrainIds' in 25.000 %",
    ),
    "no picture": ({ONE: b"hello"}, "is not a picture: it holds text.$"),
    "cut short": ({ONE: GOOD[: len(GOOD) // 2]}, "is truncated"),
    "jpeg": ({ONE: png(LABELS, "JPEG")}, "is a JPEG, not a PNG"),
    "extra file": ({"readme.txt": b"hi"}, "'readme.txt' does not belong there"),
    "mac rubbish": ({"__MACOSX/labelTrainIds/._a.png": b"x"}, "does not belong there"),
    "extra folder": ({f"color/{NAMES[0]}.png": GOOD}, "does not belong there"),
    "extra picture": ({"labelTrainIds/other.png": GOOD}, "not asked for: 'other'"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_every_fault_is_named(tmp_path, case):
    changed, message = BROKEN[case]
    if case == "palette":
        picture = Image.fromarray(LABELS)
        picture.putpalette([0] * 768)
        buffer = io.BytesIO()
        picture.save(buffer, "PNG")
        changed = {ONE: buffer.getvalue()}
    found = faults(archive(tmp_path / "a.zip", {**dark_zurich(), **changed}))
    assert len(found) == 1, found
    with pytest.raises(AssertionError, match=message):
        raise AssertionError(found[0])


def test_missing_folders_and_pictures_are_named(tmp_path):
    files = {name: data for name, data in dark_zurich().items() if not name.startswith("confidence")}
    assert faults(archive(tmp_path / "a.zip", files)) == ("The folder 'confidence' is missing or empty.",)
    files = {**dark_zurich()}
    del files[f"labelTrainIds_invalid/{NAMES[1]}.png"]
    assert faults(archive(tmp_path / "b.zip", files)) == (f"'labelTrainIds_invalid' lacks '{NAMES[1]}'.",)


def test_the_official_number_and_names_are_asked_for_without_a_list(tmp_path):
    found = faults(archive(tmp_path / "a.zip", dark_zurich()), expected=None)
    assert found == ("'labelTrainIds' holds 3 pictures: the test set of Dark Zurich has 151.",)
    files = {f"labelTrainIds/{number}.png": GOOD for number in range(2)}
    found = faults(archive(tmp_path / "b.zip", files), expected=None)
    assert "500 or 1000 or 1500 or 2000" in found[0] and "_rgb_anon.png; these are not: 2 of them: 0, 1" in found[1]


def test_names_and_number_can_be_asked_for_together(tmp_path):
    path = archive(tmp_path / "a.zip", dark_zurich())
    found = validate_submission(path, "darkzurich", NAMES, complete=True).faults
    assert found == ("'labelTrainIds' holds 3 pictures: the test set of Dark Zurich has 151.",)


def test_a_zipped_folder_is_one_fault(tmp_path):
    wrapped = {f"submission/{name}": data for name, data in dark_zurich().items()}
    (only,) = faults(archive(tmp_path / "a.zip", wrapped))
    assert "inside the folder 'submission/'" in only


def test_files_that_are_no_archive_are_errors(tmp_path):
    with pytest.raises(DataError, match="not found"):
        validate_submission(tmp_path / "a.zip")
    (tmp_path / "a.zip").write_bytes(b"PK no")
    with pytest.raises(DataError, match="no whole zip"):
        validate_submission(tmp_path / "a.zip")
    with pytest.raises(ConfigError, match="darkzurich"):
        validate_submission(archive(tmp_path / "b.zip", {"a.png": GOOD}), "darkzuric")


def test_needs_no_torch():
    code = "import sys, dsrnss.data.submission.validation; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_damaged_archive_is_told_apart_from_a_damaged_picture(tmp_path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as out:
        for name in NAMES:
            out.writestr(f"labelTrainIds/{name}.png", GOOD)
    data = bytearray(path.read_bytes())
    data[100:140] = bytes(40)
    path.write_bytes(bytes(data))
    (only,) = faults(path, "acdc")
    assert NAMES[0] in only and "cannot be read" in only
