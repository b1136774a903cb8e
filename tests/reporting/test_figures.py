import base64
import io

import numpy as np
import pytest
from PIL import Image

from dsrnss.errors import ConfigError
from dsrnss.labels import CITYSCAPES
from dsrnss.reporting.figures import contact_sheet, label_uri, overlay, photo_uri


def decode(uri):
    return Image.open(io.BytesIO(base64.b64decode(uri.split(",", 1)[1])))


def test_a_label_picture_has_exactly_the_class_colours():
    labels = np.array([[0, 10, 18, 255], [13, 13, 0, 200]], np.uint8)
    picture = np.asarray(decode(label_uri(labels, CITYSCAPES, 512)).convert("RGB"))
    assert (picture == CITYSCAPES.colorize(labels)).all()
    assert (picture[:, 3] == 0).all()


def test_pictures_are_shrunk_but_never_enlarged():
    image = np.zeros((100, 200, 3), np.uint8)
    assert decode(photo_uri(image, 50)).size == (50, 25)
    assert decode(photo_uri(image, 500)).size == (200, 100)


def test_overlay_mixes_colours_and_spares_ignored_pixels():
    image = np.full((1, 3, 3), 100, np.uint8)
    mixed = overlay(image, np.array([[0, 255, -1]]), CITYSCAPES, alpha=0.5)
    assert mixed[0, 0].tolist() == [114, 82, 114]
    assert (mixed[0, 1:] == 100).all()


def test_contact_sheet_places_every_picture():
    red, green = np.zeros((10, 20, 3), np.uint8), np.zeros((10, 20), np.uint8)
    red[:] = (255, 0, 0)
    sheet = contact_sheet([[red, green], [green, red], [red]], ["one", "two"], row_titles=["a", "b", "c"])
    pixels = np.asarray(sheet)
    assert (pixels == (255, 0, 0)).all(-1).sum() == 3 * 200
    assert (pixels == 0).all(-1).sum() == 2 * 200


def test_contact_sheet_scales_to_the_cell():
    wide = Image.new("RGB", (400, 100), (0, 0, 255))
    pixels = np.asarray(contact_sheet([[wide]], ["x"], cell_width=100))
    assert (pixels == (0, 0, 255)).all(-1).sum() == 100 * 25


def test_contact_sheet_says_what_is_wrong():
    with pytest.raises(ConfigError, match="at least one"):
        contact_sheet([[]], ["one"])
    with pytest.raises(ConfigError, match="1 titles"):
        contact_sheet([[np.zeros((4, 4, 3), np.uint8)] * 2], ["one"])
