"""The worst and best pictures of a test, as files that a page can show."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from dsrnss.errors import RunError
from dsrnss.labels import LabelSpace
from dsrnss.reporting.content import Panel
from dsrnss.reporting.figures import JPEG, label_picture, shrunk
from dsrnss.reporting.numbers import number
from dsrnss.reporting.wording import percent
from dsrnss.writing import atomic

WIDTH = 640
"""Wider pictures are stored with so many pixels."""
_KINDS = {"image": ".jpg", "truth": ".png", "prediction": ".png"}


@dataclass(frozen=True)
class Scene:
    """A picture that a test has kept.

    Attributes:
        name: Of the sample.
        rank: Such as `worst 1`.
        mean_iou: Over the classes of its truth.
        files: `image` (a JPEG), `truth` and `prediction` (palette PNGs of train ids).
    """

    name: str
    rank: str
    mean_iou: float
    files: Mapping[str, Path]

    @classmethod
    def read(cls, content: Mapping[str, Any], folder: Path) -> "Scene":
        """One of those that a file of results names.

        Raises:
            KeyError: If a part is not there; TypeError or ValueError where it is something else.
        """
        mean_iou = float("nan") if content["mIoU"] is None else float(content["mIoU"])
        files = {kind: folder / str(content[kind]) for kind in _KINDS}
        return cls(str(content["name"]), str(content["rank"]), mean_iou, files)

    def panel(self) -> Panel:
        """Its pictures.

        Raises:
            RunError: If one is not there, or none.
        """
        opened = {}
        for kind, file in self.files.items():
            try:
                with Image.open(file) as picture:
                    opened[kind] = np.asarray(picture.convert("RGB") if kind == "image" else picture)
            except OSError as error:
                raise RunError(f"'{file}', of the results of a test, cannot be read: {error}.") from error
        remark = f"{self.rank}, mean IoU {percent(self.mean_iou)} %"
        return Panel(self.name, opened["image"], opened["truth"], {"Prediction": opened["prediction"]}, remark=remark)


def write_scene(
    folder: Path,
    inner: str,
    panel: Panel,
    rank: str,
    mean_iou: float,
    space: LabelSpace,
) -> dict[str, Any]:
    """Store a scene of one prediction.

    Args:
        folder: Of the results.
        inner: Folder of its files, below that one.
        panel: The scene; labels of another size than its picture are brought to it.
        rank: Such as `worst 1`.
        mean_iou: Over the classes of its truth.
        space: The classes.

    Returns:
        What `Scene.read` takes.

    Raises:
        OutputError: If a file cannot be written.
    """
    image = shrunk(panel.image, WIDTH)
    (prediction,) = panel.predictions.values()
    pictures = {"image": image}
    for kind, labels in (("truth", panel.truth), ("prediction", prediction)):
        assert labels is not None
        pictures[kind] = label_picture(labels, space, labels.shape[1]).resize(image.size, Image.Resampling.NEAREST)
    files = {kind: f"{inner}/{rank.replace(' ', '_')}_{kind}{ending}" for kind, ending in _KINDS.items()}
    for kind, name in files.items():
        with atomic(folder / name) as draft:
            pictures[kind].save(draft, **(JPEG if kind == "image" else {"optimize": True}))
    return {"name": panel.name, "rank": rank, "mIoU": number(mean_iou), **files}
