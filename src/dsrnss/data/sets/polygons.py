"""Labels drawn from the polygons of Cityscapes, for annotations that come without label images."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from dsrnss.errors import DataError, did_you_mean
from dsrnss.labels import CITYSCAPES, IGNORE_INDEX

POLYGONS_ENDING = "_gtFine_polygons.json"
LARGEST_SIDE = 16384
LARGEST_AREA = 2**26
"""Pixels; a picture of Cityscapes has 2**21."""

_NOT_TRAINED = (
    "unlabeled", "ego vehicle", "rectification border", "out of roi", "static", "dynamic", "ground", "parking",
    "rail track", "guard rail", "bridge", "tunnel", "polegroup", "caravan", "trailer",
)  # fmt: skip
_NOT_DRAWN = "license plate"
TRAIN_IDS: dict[str, int] = {
    **dict.fromkeys(_NOT_TRAINED, IGNORE_INDEX),
    **{name: index for index, name in enumerate(CITYSCAPES.names)},
}
"""Name in an annotation -> train id."""


def draw_train_ids(path: Path) -> npt.NDArray[np.uint8]:
    """Draw the objects of an annotation in their order, later ones over earlier ones.

    As the official preparation does: deleted objects and license plates are left out, `cargroup` counts as `car`, and
    polygons may reach beyond the picture.

    Args:
        path: A `*_gtFine_polygons.json`.

    Returns:
        (imgHeight, imgWidth) train ids, 255 where nothing is drawn.

    Raises:
        DataError: If the file is no annotation, or names an unknown label.
    """
    height, width, objects = _read(path)
    labels = Image.new("L", (width, height), IGNORE_INDEX)
    draw = ImageDraw.Draw(labels)
    for number, item in enumerate(objects, 1):
        try:
            name, points, deleted = str(item["label"]), item["polygon"], item.get("deleted", 0)
            polygon = [(point[0], point[1]) for point in points]
        except (KeyError, TypeError, IndexError, AttributeError) as error:
            raise DataError(f"Object {number} of '{path}' has no label with a list of points: {error!r}.") from error
        value = None if deleted else _train_id(name, path)
        if value is None:
            continue
        try:
            draw.polygon(polygon, fill=value)
        except (TypeError, ValueError, OverflowError) as error:
            raise DataError(f"Object {number} ('{name}') of '{path}' cannot be drawn: {error}.") from error
    return np.array(labels)


def _read(path: Path) -> tuple[int, int, list[Any]]:
    """Height, width and objects of an annotation."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        height, width, objects = int(content["imgHeight"]), int(content["imgWidth"]), list(content["objects"])
    except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise DataError(
            f"'{path}' is no annotation of Cityscapes ({type(error).__name__}: {error}): expected JSON with imgHeight, "
            "imgWidth and objects. Unpack gtFine_trainvaltest.zip again."
        ) from error
    if not (0 < height <= LARGEST_SIDE and 0 < width <= LARGEST_SIDE and height * width <= LARGEST_AREA):
        raise DataError(f"'{path}' says that its picture has {height} x {width} pixels.")
    return height, width, objects


def _train_id(name: str, path: Path) -> int | None:
    """What an object is drawn with, None: not at all."""
    single = name.removesuffix("group")
    known = name if name in TRAIN_IDS or name == _NOT_DRAWN else single
    if known == _NOT_DRAWN:
        return None
    if known not in TRAIN_IDS:
        raise DataError(f"'{path}' has an object of the unknown label '{name}'.{did_you_mean(single, TRAIN_IDS)}")
    return TRAIN_IDS[known]
