"""Pictures that EXIF turns: upright in training, evaluation and checks, and labels are drawn on the upright picture."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dsrnss import cli
from dsrnss.data import Folder
from dsrnss.data.checking.check import check_sets
from dsrnss.data.checking.quick import check_crop_size, quick_check
from dsrnss.data.loading import EvalView
from dsrnss.errors import ConfigError, DataError
from dsrnss.pictures import decode

ORIENTATION = 0x112
LABEL = np.repeat(np.arange(12, dtype=np.uint8) % 3, 2)[:, None].repeat(18, axis=1)
"""24 rows, 18 columns: as the upright picture."""


def exif(orientation: int) -> Image.Exif:
    tags = Image.Exif()
    tags[ORIENTATION] = orientation
    return tags


@pytest.fixture
def upright() -> np.ndarray:
    """(24, 18, 3) noise."""
    return np.random.default_rng(0).integers(0, 256, (24, 18, 3), np.uint8)


@pytest.fixture
def root(tmp_path: Path, upright: np.ndarray) -> Path:
    """A picture that lies on its side in the file, with its label and its reference as they are seen."""
    for folder in ("images", "labels", "refs"):
        (tmp_path / folder).mkdir()
    lying = Image.fromarray(upright).transpose(Image.Transpose.ROTATE_90)
    lying.save(tmp_path / "images/a.png", exif=exif(6))
    lying.save(tmp_path / "refs/a.png", exif=exif(6))
    Image.fromarray(LABEL).save(tmp_path / "labels/a.png")
    (tmp_path / "labels.yaml").write_text("classes: [a, b, c]")
    return tmp_path


def lay_label_down(root: Path) -> None:
    Image.fromarray(LABEL).transpose(Image.Transpose.ROTATE_90).save(root / "labels/a.png")


def test_a_sample_is_upright_with_its_reference_and_size(root: Path, upright: np.ndarray) -> None:
    sample = Folder(root, references=True)[0]
    assert np.array_equal(sample["image"].permute(1, 2, 0).numpy(), upright)
    assert np.array_equal(sample["reference"].permute(1, 2, 0).numpy(), upright)
    assert np.array_equal(sample["label"].numpy(), LABEL)
    assert EvalView(Folder(root, size=(6, 6), resize_label=False))[0]["size"].tolist() == [24, 18]
    check_crop_size(Folder(root), (24, 18))
    with pytest.raises(ConfigError, match="of 24x18"):
        check_crop_size(Folder(root), (18, 24))
    quick_check(Folder(root))


def test_a_label_is_turned_only_by_its_own_tag(root: Path) -> None:
    Image.fromarray(LABEL).transpose(Image.Transpose.ROTATE_90).save(root / "labels/a.png", exif=exif(6))
    assert np.array_equal(Folder(root)[0]["label"].numpy(), LABEL)
    assert check_sets({"a": Folder(root)}, workers=1).problems == ()


@pytest.mark.parametrize(
    "options", [{}, {"size": (12, 12)}, {"size": (12, 12), "resize_label": False}, {"size": (12, 12), "cache_dir": "c"}]
)
def test_a_label_of_the_picture_as_stored_is_refused_with_that_reason(
    root: Path, options: dict, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(root)
    lay_label_down(root)
    with pytest.raises(DataError, match=r"a\.png.*only as that is stored.*24 x 18.*upright picture"):
        _ = Folder(root, **options)[0]
    with pytest.raises(DataError, match="only as that is stored"):
        quick_check(Folder(root, **options))


def test_the_check_names_such_labels_and_counts_turned_pictures(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["data", "check", str(root), "--workers", "1"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "1 picture turned upright by EXIF. Labels must be drawn on the upright picture." in said
    lay_label_down(root)
    report = check_sets({"a": Folder(root)}, workers=1)
    assert [(one.kind, Path(one.file).parent.name) for one in report.problems] == [("size-mismatch", "labels")]
    assert "only as that is stored" in report.problems[0].message
    assert report.sets[0].turned == 1 and list(report.sets[0].sizes) == [(24, 18)]


def test_a_picture_on_its_head_has_the_size_of_its_label_and_is_counted(root: Path, upright: np.ndarray) -> None:
    Image.fromarray(upright).save(root / "images/a.png", exif=exif(3))
    assert np.array_equal(Folder(root)[0]["image"].permute(1, 2, 0).numpy(), upright[::-1, ::-1])
    report = check_sets({"a": Folder(root)}, workers=1)
    assert report.problems == () and report.sets[0].turned == 1


def test_deep_grey_is_what_segment_sees(root: Path) -> None:
    ramp = np.linspace(0, 4095, 24 * 18).reshape(24, 18).astype(np.uint16)
    Image.fromarray(ramp).save(root / "images/a.png")
    image = Folder(root, size=(12, 9))[0]["image"]
    seen = decode(root / "images/a.png")
    assert np.asarray(seen).max() == 16  # 12 bits of 16
    assert np.array_equal(image.permute(1, 2, 0).numpy(), np.asarray(seen.resize((9, 12), Image.Resampling.BILINEAR)))
