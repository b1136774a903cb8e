import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from dsrnss.data.base import read_image, read_label
from dsrnss.errors import DataError, ImageError
from dsrnss.labels import CITYSCAPES


@pytest.fixture
def colours():
    return np.random.default_rng(0).integers(0, 256, (12, 20, 3), np.uint8)


@pytest.mark.parametrize(("mode", "ending"), [("RGB", "png"), ("L", "png"), ("RGBA", "png"), ("P", "png")])
def test_any_picture_becomes_rgb(tmp_path, colours, mode, ending):
    path = tmp_path / f"a.{ending}"
    Image.fromarray(colours).convert(mode).save(path)
    image = read_image(path)
    assert image.shape == (3, 12, 20) and str(image.dtype) == "torch.uint8"
    if mode in ("RGB", "RGBA"):
        assert np.array_equal(image.permute(1, 2, 0).numpy(), colours)


def test_resized_picture_and_label_keep_their_places(tmp_path, write_png):
    label = np.zeros((40, 40), np.uint8)
    label[:20, 20:] = 7
    picture = np.repeat(label[..., None] * 30, 3, axis=2)
    image = read_image(write_png(tmp_path / "a.png", picture), (20, 10))
    small = read_label(write_png(tmp_path / "b.png", label), CITYSCAPES, (20, 10))
    assert image.shape == (3, 20, 10) and small.shape == (20, 10)
    assert small.numpy()[:10, 5:].min() == 7 and small.numpy()[10:].max() == 0
    assert int(image[0, 4, 8]) == 210 and int(image[0, 4, 1]) == 0


def test_raw_ids_are_translated(tmp_path, write_png):
    path = write_png(tmp_path / "a.png", [[0, 7, 33, 26, 255]])
    assert read_label(path, CITYSCAPES, raw=True).tolist() == [[255, 0, 18, 13, 255]]


def test_raw_ids_taken_for_train_ids_are_recognised(tmp_path, write_png):
    path = write_png(tmp_path / "x_labelIds.png", [[7, 26, 33]])
    with pytest.raises(DataError, match=r"x_labelIds.png' holds label values \[26, 33\].*raw Cityscapes label ids"):
        read_label(path, CITYSCAPES)


def test_other_wrong_labels_are_named_without_a_guess(tmp_path, write_png):
    with pytest.raises(DataError, match=r"\[19, 200\]") as caught:
        read_label(write_png(tmp_path / "a.png", [[1, 200, 19, 255]]), CITYSCAPES)
    assert "raw" not in str(caught.value)
    with pytest.raises(DataError, match="one channel"):
        read_label(write_png(tmp_path / "c.png", np.zeros((4, 4, 3))), CITYSCAPES)


def test_unreadable_files_are_named(tmp_path, colours):
    good = tmp_path / "good.png"
    Image.fromarray(colours).save(good)
    for name, content in {
        "empty.png": b"",
        "text.jpg": b"hello",
        "cut.png": good.read_bytes()[:300],
        "broken.png": good.read_bytes()[:80] + b"\0" * 200 + good.read_bytes()[280:],
    }.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ImageError, match=name):
            read_image(tmp_path / name)
    with pytest.raises(DataError, match="not found"):
        read_image(tmp_path / "none.png")


def test_plot_shows_what_a_sample_has(toy):
    dataset = toy(references=True)
    assert [axis.get_title() for axis in dataset.plot(dataset[1]).axes] == ["toy_1", "label", "reference"]


def test_generator_needs_no_torch():
    code = (
        "import sys; from dsrnss.data.synthnight import generate; generate('val', 0); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_public_names_can_be_imported():
    import dsrnss.data

    assert {getattr(dsrnss.data, name).__name__ for name in dsrnss.data.__all__} == set(dsrnss.data.__all__)
    with pytest.raises(AttributeError):
        _ = dsrnss.data.Cityscape
