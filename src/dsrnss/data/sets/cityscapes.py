"""Cityscapes (Cordts et al., arXiv 1604.01685): street scenes by day in 50 cities, finely labelled."""

import json
import re
from pathlib import Path
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from dsrnss.data.archives import Archive
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
    url = "https://www.cityscapes-dataset.com/downloads/"
    paper = "Cordts et al., The Cityscapes Dataset for Semantic Urban Scene Understanding, arXiv 1604.01685"
    licence = "non-commercial; terms with the download"
    archives = (
        Archive("leftImg8bit_trainvaltest.zip", ("leftImg8bit",), ("train", "val", "test")),
        Archive("gtFine_trainvaltest.zip", ("gtFine",), ("train", "val")),
    )

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
        rows = _statistics(path, self.label_space.num_classes)
        names = [entry.name.removesuffix(Path(IMAGE_ENDING).stem) for entry in self.entries]
        if not rows.keys() >= set(names):
            return None
        return np.array([rows[name] for name in names], np.int64)


def _statistics(path: Path, num_classes: int) -> dict[str, list[int]]:
    """Pixels of each class in a statistics file by picture; its paths may be relative, or those of another machine."""
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
        names = [re.split(r"[/\\]", row["file"])[-1].removesuffix(TRAIN_IDS_ENDING) for row in rows]
        counts = [[int(row.get(str(label), 0)) for label in range(num_classes)] for row in rows]
        if outside := [count for row in counts for count in row if not 0 <= count < 2**40]:
            raise ValueError(f"{outside[0]} pixels")
        return dict(zip(names, counts, strict=True))
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError, OSError) as error:
        raise DataError(
            f"'{path}' is no list of class counts ({type(error).__name__}: {error}). Delete it, or make it anew by "
            f"`dsrnss data prepare cityscapes {path.parent}`."
        ) from error
