from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dsrnss.errors import ConfigError, OutputError
from dsrnss.inference.results import Segmentation
from dsrnss.labels import LabelSpace


@pytest.fixture
def segmentation(space: LabelSpace, photo: Image.Image, truth: np.ndarray) -> Segmentation:
    return Segmentation(truth, np.full(truth.shape, 0.75, np.float32), space, photo, name="street")


def test_files_hold_the_labels_exactly_at_the_size_of_the_photo(
    segmentation: Segmentation, photo: Image.Image, truth: np.ndarray, tmp_path: Path
) -> None:
    files = segmentation.save(tmp_path / "new" / "folder")
    assert [file.name for file in files] == ["street_labels.png", "street_colour.png", "street_overlay.png"]
    labels, colour, overlay = (np.asarray(Image.open(file)) for file in files)
    assert labels.dtype == np.uint8
    assert (labels == truth).all()
    assert (colour == np.asarray(photo)).all()  # the classes of this label space have the photo's colours
    assert overlay.shape == (40, 60, 3)
    assert sorted(path.name for path in (tmp_path / "new" / "folder").iterdir()) == sorted(f.name for f in files)


def test_overlay_goes_from_photo_to_colours(segmentation: Segmentation) -> None:
    dark = Segmentation(
        segmentation.labels, segmentation.confidence, segmentation.label_space, Image.new("RGB", (60, 40))
    )
    assert (np.asarray(dark.overlay(0)) == 0).all()
    assert (np.asarray(dark.overlay(1)) == np.asarray(dark.colour())).all()
    assert (np.abs(np.asarray(dark.overlay(), int) - np.asarray(dark.colour(), int) // 2) <= 1).all()
    with pytest.raises(ConfigError, match="between 0 and 1"):
        dark.overlay(2)


def test_shares_and_confidence(segmentation: Segmentation) -> None:
    assert segmentation.shares() == {"red": 0.5, "green": 0.25, "blue": 0.25}
    assert segmentation.mean_confidence() == 0.75


def test_saving_again_replaces_the_files(segmentation: Segmentation, tmp_path: Path) -> None:
    (tmp_path / "x_labels.png").write_bytes(b"old")
    assert Image.open(segmentation.save(tmp_path, "x")[0]).size == (60, 40)


@pytest.mark.parametrize("stem", ["", "a/b", "/x"])
def test_a_stem_with_folders_is_refused(segmentation: Segmentation, tmp_path: Path, stem: str) -> None:
    with pytest.raises(ConfigError, match="stem"):
        segmentation.save(tmp_path, stem)


def test_a_full_disk_leaves_no_half_written_file(
    segmentation: Segmentation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "street_labels.png").write_bytes(b"old")

    def fill(path: Path, data: bytes) -> None:
        with path.open("wb") as file:
            file.write(data[:10])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", fill)
    with pytest.raises(OutputError, match=r"street_labels\.png.*No space left"):
        segmentation.save(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["street_labels.png"]
    assert (tmp_path / "street_labels.png").read_bytes() == b"old"


def test_a_folder_that_is_a_file_is_named(segmentation: Segmentation, tmp_path: Path) -> None:
    (tmp_path / "taken").write_bytes(b"")
    with pytest.raises(OutputError, match="taken"):
        segmentation.save(tmp_path / "taken")


def test_a_picture_that_cannot_be_written_whole_leaves_nothing(segmentation: Segmentation, tmp_path: Path) -> None:
    (tmp_path / "street_overlay.png").mkdir()
    with pytest.raises(OutputError, match=r"street_overlay\.png"):
        segmentation.save(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["street_overlay.png"]
