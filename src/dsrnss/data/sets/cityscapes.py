"""Cityscapes (Cordts et al., arXiv 1604.01685): street scenes by day in 50 cities, finely labelled."""

import json
import re
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from dsrnss.data.files import Entry, FileDataset
from dsrnss.data.listing import find_labels, listing
from dsrnss.errors import DataError

IMAGE_ENDING = "_leftImg8bit.png"
TRAIN_IDS_ENDING = "_gtFine_labelTrainIds.png"
RAW_IDS_ENDING = "_gtFine_labelIds.png"
STATISTICS = "sample_class_stats.json"


class Cityscapes(FileDataset):
    """Cityscapes in its official layout, with or without the preparation.

    Pictures are `leftImg8bit/<split>/<city>/<name>_leftImg8bit.png`, labels `gtFine/<split>/<city>/<name>_gtFine_*`:
    `labelTrainIds.png` where the preparation has made them, else the shipped `labelIds.png`, translated when read.

    Its splits are `train`, `val` and `test` (no labels); the arguments are those of `FileDataset`.
    """

    key = "cityscapes"
    folder = "Cityscapes"
    signs = (("leftImg8bit", "gtFine"),)
    splits = ("train", "val", "test")
    labelled_splits = ("train", "val")
    counts = MappingProxyType({"train": 2975, "val": 500, "test": 1525})
    official_size = (1024, 2048)
    url = "https://www.cityscapes-dataset.com"
    paper = "Cordts et al., The Cityscapes Dataset for Semantic Urban Scene Understanding, arXiv 1604.01685"
    licence = "non-commercial; terms with the download"

    def _scan(self, root: Path) -> list[Entry]:
        images_at = root / "leftImg8bit" / self.split
        images = self._found(listing(images_at, f"*/*{IMAGE_ENDING}"), images_at / "<city>" / f"*{IMAGE_ENDING}")
        if not self.labelled:
            return [Entry(image.stem, image) for image in images]
        truth = root / "gtFine" / self.split
        known = set(listing(truth, "*/*_gtFine_label*Ids.png"))
        stems = {i: truth / i.parent.name / f"{i.name.removesuffix(IMAGE_ENDING)}_gtFine" for i in images}
        advice = "Unpack gtFine_trainvaltest.zip into the folder that holds leftImg8bit."
        labels = find_labels(stems, known, advice, expected="labelIds")
        return [Entry(image.stem, image, *label) for image, label in labels.items()]

    def _shipped_counts(self, root: Path) -> npt.NDArray[np.int64] | None:
        path = root / STATISTICS
        if not path.is_file():
            return None
        rows = _statistics(path)
        names = [entry.name.removesuffix(Path(IMAGE_ENDING).stem) for entry in self.entries]
        if not rows.keys() >= set(names):
            return None
        classes = range(self.label_space.num_classes)
        return np.array([[int(rows[name].get(str(c), 0)) for c in classes] for name in names], np.int64)


def _statistics(path: Path) -> dict[str, dict[str, Any]]:
    """Rows of a statistics file by picture; its paths may be relative, or those of another machine."""
    try:
        rows = json.loads(path.read_text())
        return {re.split(r"[/\\]", row["file"])[-1].removesuffix(TRAIN_IDS_ENDING): row for row in rows}
    except (ValueError, KeyError, TypeError, AttributeError, OSError) as error:
        raise DataError(
            f"'{path}' is no list of class counts ({type(error).__name__}: {error}). Delete it, or make it anew by "
            f"`dsrnss data prepare cityscapes {path.parent}`."
        ) from error
