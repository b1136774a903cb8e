"""Any damage to any file of a data set is told by a typed error, and no command ends in a bug (exit code 70)."""

import contextlib
import io
import json
import warnings
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from fuzzing import MUTATIONS, damaged, distorted
from PIL import Image, features

from dsrnss import cli
from dsrnss.data import BDD100kNight, Cityscapes, DarkZurich, Folder
from dsrnss.data.checking.one_file import Job, check_job
from dsrnss.data.sets.label_files import read_label_space
from dsrnss.data.sets.polygons import draw_train_ids
from dsrnss.data.submission.validation import validate_submission
from dsrnss.errors import DsrnssError
from dsrnss.labels import CITYSCAPES
from dsrnss.pictures import decode, read_header, read_ids, verify

SIZE = (24, 32)
MEGABYTES = 2000
"""Pillow decodes up to 179 megapixels, of 4 bytes each, and torch takes its share."""


@pytest.fixture(autouse=True)
def _quiet(capfd: pytest.CaptureFixture[str]) -> Iterator[None]:
    """libtiff talks to stderr, Pillow warns of what is odd."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
    capfd.readouterr()


def run(*words: object) -> int:
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()) as said:
        code = cli.main([str(word) for word in words])
    assert code in (0, 1, 2), f"exit code {code} of {words}: {said.getvalue()}"
    return code


def typed(mutant: bytes, call: Callable[..., object], *arguments: object) -> None:
    try:
        call(*arguments)
    except DsrnssError:
        pass
    except Exception as error:
        pytest.fail(f"{type(error).__name__}: {error}, of {mutant!r}")


def noise(mode: str = "RGB") -> Image.Image:
    pixels = np.random.default_rng(0).integers(0, 255, (*SIZE, 3), np.uint8)
    return Image.fromarray(pixels).convert(mode)


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def exif() -> Image.Exif:
    tags = Image.Exif()
    tags[0x112], tags[0x10E] = 6, "a street"
    tags[0x11A], tags[0x8298] = 72.0, "me"
    tags.get_ifd(0x8769)[0x9000] = b"0230"
    return tags


def pictures() -> dict[str, bytes]:
    grey = np.asarray(noise("L"))
    found = {
        "JPEG": encoded(noise(), "JPEG", exif=exif()),
        "progressive JPEG of CMYK": encoded(noise("CMYK"), "JPEG", progressive=True),
        "PNG": encoded(noise(), "PNG", exif=exif()),
        "PNG of 16 bits": encoded(Image.fromarray(grey.astype(np.uint16) * 257), "PNG"),
        "PNG with a palette": encoded(noise().quantize(8), "PNG", transparency=2),
        "BMP": encoded(noise(), "BMP"),
        "TIFF": encoded(noise(), "TIFF", exif=exif()),
        "TIFF, LZW": encoded(noise("CMYK"), "TIFF", compression="tiff_lzw"),
        "TIFF, JPEG": encoded(noise(), "TIFF", compression="jpeg"),
        "TIFF of floats": encoded(Image.fromarray(grey.astype(np.float32)), "TIFF", exif=exif()),
        "WebP": encoded(noise("RGBA"), "WEBP", exif=exif()),
        "GIF": encoded(noise().quantize(8), "GIF", save_all=True, append_images=[noise().quantize(4)]),
        "PPM": encoded(noise(), "PPM"),
        "JPEG 2000": encoded(noise(), "JPEG2000"),
    }
    return {**found, "AVIF": encoded(noise(), "AVIF", exif=exif())} if features.check("avif") else found


PIECES = (b"IHDR", b"eXIf", b"IDAT", b"PLTE", b"tRNS", b"ftyp", b"meta", b"Exif\0\0", b"II*\0", b"MM\0*", b"\0" * 8)


@pytest.mark.parametrize("kind", pictures())
def test_pictures(kind: str, tmp_path: Path, peak_memory: Callable) -> None:
    path = tmp_path / "images" / "0.png"
    path.parent.mkdir()
    for number, mutant in enumerate(damaged(pictures()[kind], len(kind), PIECES)):
        path = path.with_name(f"{number}.png")
        path.write_bytes(mutant)
        job = Job(path, path, raw=True, reference=path, mask=path)
        for call in (decode, read_header, verify, read_ids):
            typed(mutant, call, path)
        typed(mutant, check_job, (CITYSCAPES,), job)
        typed(mutant, Folder(tmp_path).__getitem__, number)
    run("data", "check", tmp_path, "--workers", 1)
    run("data", "show", tmp_path, "--n", 3, "--out", tmp_path / "sheet.png")
    assert {entry.name for entry in tmp_path.iterdir()} <= {"images", "sheet.png"}
    assert peak_memory() < MEGABYTES * 2**20


def test_tags_of_turned_pictures(tmp_path: Path) -> None:
    path = tmp_path / "a"
    for mutant in damaged(exif().tobytes(), 9, (b"\1\x12\0\3", b"\x12\1\3\0")):
        for kind in ("JPEG", "PNG", "WEBP"):
            path.write_bytes(encoded(noise("L" if kind == "PNG" else "RGB"), kind, exif=mutant))
            for call in (decode, read_header, read_ids):
                typed(mutant, call, path)


def test_label_maps(tmp_path: Path) -> None:
    (tmp_path / "labels.yaml").write_text("classes: [a, b, c]")
    labels = np.random.default_rng(0).integers(0, 3, SIZE, np.uint8)
    for folder in ("images", "labels"):
        (tmp_path / folder).mkdir()
    for number, mutant in enumerate(damaged(encoded(Image.fromarray(labels), "PNG"), 1, PIECES)):
        noise().save(tmp_path / "images" / f"{number}.png")
        (tmp_path / "labels" / f"{number}.png").write_bytes(mutant)
        typed(mutant, Folder(tmp_path).__getitem__, number)
    run("data", "check", tmp_path, "--workers", 1)
    run("data", "stats", tmp_path)


def own_set(root: Path) -> Path:
    for folder in ("images", "labels", "refs"):
        (root / folder).mkdir(parents=True)
        for name in ("a", "b"):
            image = Image.new("L", SIZE) if folder == "labels" else noise()
            image.save(root / folder / f"{name}.png")
    (root / "labels.yaml").write_text("classes: [a, b]")
    (root / "pairs.csv").write_text("picture,reference\na,b\nb,a.png\n")
    return root


LABELS = b"""\
classes:
  - {name: road, colour: [128, 64, 128], raw: 7}
  - {name: thing, raw: [8, 9]}
large_static: [road]
co_occurrence: [{chosen: [road], added: [thing]}]
"""
YAML_WORDS = (
    b"&a ", b"*a", b"<<: ", b"!!python/object/apply:os.system ['touch pwned']", b"!!binary ", b"- ", b"? ", b"'", b'"',
    b"[", b"{", b"\n", b"---\n", b"\t", b"\0", b"\xff", b"\xef\xbb\xbf", b"9" * 5000, b"[" * 2000, b"0x", b".inf",
    b"2024-13-45", b"null", b"~", b"no", b'"\\ud800"', b"classes: ", b"raw: ",
)  # fmt: skip


def test_labels_yaml(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(own_set(tmp_path))
    rows = [{"name": "road", "colour": [128, 64, 128], "raw": 7}, {"name": "thing", "raw": [8, 9]}]
    rules = [{"chosen": ["road"], "added": ["thing"]}]
    content = {"classes": rows, "large_static": ["road"], "co_occurrence": rules}
    for mutant in (*damaged(LABELS, 2, YAML_WORDS), *distorted(content, 2)):
        Path("labels.yaml").write_bytes(mutant)
        typed(mutant, read_label_space, "labels.yaml")
        run("data", "check", ".", "--workers", 1)
    assert not Path("pwned").exists()


CSV_WORDS = (b",", b'"', b"\n", b"\\", b"~", b"..", b"/", b"\0", b"\xff", b"x" * 300, b"a.png", "ü".encode(), b"*")


def test_pairs_of_an_own_set(tmp_path: Path) -> None:
    root, path = own_set(tmp_path), tmp_path / "pairs.csv"
    experiment = tmp_path / "e.yaml"
    experiment.write_text(
        f"data: {{source: {{class_path: dsrnss.data.Folder, init_args: {{root: '{root}', pairs_file: pairs.csv}}}}}}"
    )
    for mutant in damaged(path.read_bytes(), 3, CSV_WORDS):
        path.write_bytes(mutant)
        typed(mutant, Folder(root, pairs_file="pairs.csv").verify)
        run("data", "check", experiment, "--workers", 1)


def test_pairs_of_dark_zurich(tmp_path: Path, miniatures: object) -> None:
    root = miniatures.dark_zurich(tmp_path)
    path = next(root.rglob("night/**/*_ref_day.csv"))
    for mutant in damaged(path.read_bytes(), 4, CSV_WORDS):
        path.write_bytes(mutant)
        typed(mutant, DarkZurich("train", root).verify)
        run("data", "check", root, "--workers", 1)


def test_lists_of_bdd100k(tmp_path: Path, miniatures: object) -> None:
    root = miniatures.bdd100k(tmp_path)
    names = miniatures.bdd100k_list(root)
    miniatures.bdd100k_attributes(root)
    path = root / "labels/sem_seg/polygons/sem_seg_train.json"
    for mutant in damaged(names.read_bytes(), 5, CSV_WORDS):
        names.write_bytes(mutant)
        typed(mutant, BDD100kNight(root=root, split_file=names).verify)
    for mutant in (*damaged(path.read_bytes(), 6, JSON_WORDS), *distorted(json.loads(path.read_bytes()), 6)):
        path.write_bytes(mutant)
        typed(mutant, BDD100kNight(root=root).verify)
        run("data", "check", root, "--workers", 1)


JSON_WORDS = (
    b"null", b"[]", b"{}", b"-1", b"1e999", b"NaN", b"Infinity", b"9" * 5000, b"[" * 100_000, b'"', b",", b":", b"\0",
    b"\xff", b'"\\ud800"', b"true", b"16384", b"1e308", b"-2147483649", b'"x"',
)  # fmt: skip


def test_polygons_and_statistics_of_cityscapes(tmp_path: Path, miniatures: object, peak_memory: Callable) -> None:
    root = miniatures.cityscapes(tmp_path)
    labels = sorted(root.glob("gtFine/train/*/*_labelIds.png"))
    polygons = [[1, 1], [1, 9.5], [-9, 9]]
    path = labels[0].with_name(labels[0].name.replace("labelIds.png", "polygons.json"))
    labels[0].unlink()
    objects = [{"label": "road", "polygon": polygons}, {"label": "cargroup", "polygon": polygons, "deleted": 1}]
    annotation = {"imgHeight": 18, "imgWidth": 32, "objects": objects}
    content = json.dumps(annotation).encode()
    for mutant in (*damaged(content, 7, JSON_WORDS), *distorted(annotation, 7)):
        path.write_bytes(mutant)
        typed(mutant, draw_train_ids, path)
        run("data", "prepare", "cityscapes", root, "--workers", 1)
    path.write_bytes(content)
    assert run("data", "prepare", "cityscapes", root, "--workers", 1) == 0
    statistics = root / "sample_class_stats.json"
    content = statistics.read_bytes()
    for mutant in (*damaged(content, 8, JSON_WORDS), *distorted(json.loads(content), 8)):
        statistics.write_bytes(mutant)
        typed(mutant, Cityscapes("train", root).class_counts)
        run("data", "stats", root)
    assert peak_memory() < MEGABYTES * 2**20


def archive(method: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as file:
        file.writestr(zipfile.ZipInfo("../../pwned"), b"x")
        for folder in ("labelTrainIds", "labelTrainIds_invalid", "confidence"):
            mode = "I;16" if folder == "confidence" else "L"
            info = zipfile.ZipInfo(f"{folder}/GOPR0_frame_1_rgb_anon.png")  # its date is always the same
            info.compress_type = method
            file.writestr(info, encoded(Image.new(mode, SIZE), "PNG"))
    return buffer.getvalue()


ZIP_WORDS = (b"PK\1\2", b"PK\3\4", b"PK\5\6", b"PK\6\6", b"PK\6\7", b"/", b"../", b"\0", b"\xff" * 4, b"\1\0")


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_submissions(method: int, tmp_path: Path, peak_memory: Callable) -> None:
    path = tmp_path / "in" / "s.zip"
    path.parent.mkdir()
    data = archive(method)
    tail = data[-400:]  # the list of files, which counts most
    mutants = [*damaged(data, method, ZIP_WORDS), *(data[:-400] + m for m in damaged(tail, method, ZIP_WORDS))]
    for mutant in mutants:
        path.write_bytes(mutant)
        typed(mutant, validate_submission, path, "darkzurich")
        run("data", "validate-submission", path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["in"]
    assert peak_memory() < MEGABYTES * 2**20


def test_the_number_of_mutations_is_what_was_asked_for() -> None:
    assert len(list(damaged(b"abc", 0))) == MUTATIONS
