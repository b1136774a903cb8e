"""BDD100k-night: the night pictures among the labelled 10k of BDD100k (Yu et al., arXiv 1805.04687), for testing."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from dsrnss.data.archives import Archive
from dsrnss.data.files import Entry, FileDataset
from dsrnss.data.listing import given_file, listing, read_lines, require
from dsrnss.errors import DataError

PARTS: tuple[Literal["train", "val"], ...] = ("train", "val")
RELEASES = (
    ("images/10k", "labels/sem_seg/masks", ".png"),
    ("seg/images", "seg/labels", "_train_id.png"),
)
"""Folder of the pictures, folder and ending of the labels, of the newer and the older release."""
ATTRIBUTES = (
    "labels/sem_seg/polygons/sem_seg_{part}.json",
    "labels/det_20/det_{part}.json",
    "labels/bdd100k_labels_images_{part}.json",
)
_SERVER = "https://dl.cv.ethz.ch/bdd100k/data"
_LABELS = "bdd100k_sem_seg_labels_trainval.zip"
Frame = tuple[str, str]
"""Part and name of a picture, without its ending."""


class BDD100kNight(FileDataset):
    """The labelled night pictures of BDD100k, in the layout of either release.

    They are named by a list, or chosen by BDD's own attribute `timeofday: night`.

    Args:
        split: `trainval` (officially all 87 are a test set), or the pictures of `train` or `val` alone.
        root: Folder of the set; None: `$DATA_DIR/bdd100k`.
        split_file: Text file of names such as `seg/images/train/00aad4a0-ee8135fe.jpg`, one a line; as given, or below
            the root. None: by the attributes.
        attributes_file: BDD's label JSON with the attributes, as given or below the root; None: where BDD puts it.
        **common: `size`, `resize_label` and `cache_dir` of `FileDataset`.

    Raises:
        ConfigError: If there is no such split.
    """

    key = "bdd100knight"
    folder = "bdd100k"
    signs = tuple((pictures,) for pictures, _, _ in RELEASES)
    splits = ("trainval", "train", "val")
    labelled_splits = splits
    counts = MappingProxyType({"trainval": 87, "train": 74, "val": 13})
    official_size = (720, 1280)
    url = "https://bdd-data.berkeley.edu"
    paper = "Yu et al., BDD100K: A Diverse Driving Dataset for Heterogeneous Multitask Learning, arXiv 1805.04687"
    licence = "non-commercial; terms with the download"
    archives = (
        *(
            Archive(f"10k_images_{part}.zip", (f"images/10k/{part}",), (part,), (f"{_SERVER}/10k_images_{part}.zip",))
            for part in PARTS
        ),
        Archive(_LABELS, ("labels/sem_seg",), PARTS, (f"{_SERVER}/{_LABELS}",)),
        # the same pictures, as the page with the login gives them
        Archive("bdd100k_images_10k.zip", ("images/10k",), PARTS),
    )

    def __init__(
        self,
        split: Literal["trainval", "train", "val"] = "trainval",
        root: str | Path | None = None,
        *,
        split_file: str | Path | None = None,
        attributes_file: str | Path | None = None,
        **common: Any,
    ) -> None:
        super().__init__(split, root, **common)
        self.split_file = split_file
        self.attributes_file = attributes_file

    @classmethod
    def all_parts(cls, root: str | Path | None = None) -> dict[str, FileDataset]:
        """The two official parts; `trainval` is both of them."""
        return {f"{cls.folder}/{part}": cls(part, root) for part in PARTS}

    @property
    def parts(self) -> tuple[str, ...]:
        """Official parts that the split draws from."""
        return PARTS if self.split == "trainval" else (self.split,)

    def _scan(self, root: Path) -> list[Entry]:
        images = self._images(root)
        listed = self._listed(root)
        frames = self._by_attributes(root, images) if listed is None else listed
        require(
            [f"{part}/{name}.jpg" for part, name in frames if (part, name) not in images],
            len(frames),
            f"pictures named by '{self.split_file}'",
            "Unpack the 10k images (10k_images_train.zip, 10k_images_val.zip).",
        )
        truth, ending = next((labels, ending) for pictures, labels, ending in RELEASES if (root / pictures).is_dir())
        known = {path for part in self.parts for path in listing(root / truth / part, f"*{ending}")}
        labels = {(part, name): root / truth / part / f"{name}{ending}" for part, name in frames}
        require(
            [path for path in labels.values() if path not in known],
            len(frames),
            "labels",
            "Unpack the labels of the semantic segmentation (bdd100k_sem_seg_labels_trainval.zip).",
        )
        return [Entry(frame[1], images[frame], labels[frame]) for frame in frames]

    def _images(self, root: Path) -> dict[Frame, Path]:
        """The pictures of the parts, by part and name."""
        folder = next((root / f for f, _, _ in RELEASES if (root / f).is_dir()), root / RELEASES[0][0])
        found = [path for part in self.parts for path in listing(folder / part, "*.jpg")]
        where = folder / (self.parts[0] if len(self.parts) == 1 else "{train,val}") / "*.jpg"
        return {(path.parent.name, path.stem): path for path in self._found(found, where)}

    def _listed(self, root: Path) -> list[Frame] | None:
        if self.split_file is None:
            return None
        path = given_file(root, self.split_file, "split_file")
        frames = [frame for frame in read_names(path) if frame[0] in self.parts]
        if not frames:
            raise DataError(f"'{path}' names no picture of {' or '.join(self.parts)}.")
        return frames

    def _by_attributes(self, root: Path, images: dict[Frame, Path]) -> list[Frame]:
        times: dict[str, str] = {}
        files = self._attribute_files(root)
        for file in files:
            times = {**read_times(file), **times}
        frames = [frame for frame in images if times.get(frame[1]) == "night"]
        if not frames:
            named = ", ".join(f"'{file}'" for file in files)
            raise DataError(
                f"None of {len(images)} pictures is marked 'timeofday: night' in {named}: give a list of names as "
                "split_file."
            )
        return frames

    def _attribute_files(self, root: Path) -> list[Path]:
        if self.attributes_file is not None:
            return [given_file(root, self.attributes_file, "attributes_file")]
        places = [root / place.format(part=part) for place in ATTRIBUTES for part in self.parts]
        files = [path for path in places if path.is_file()]
        if not files:
            looked = "\n".join(f"  {path}" for path in places)
            raise DataError(
                "BDD100k-night: nothing says which pictures were taken by night. Give a list of their names as "
                "split_file, or BDD's label JSON with the attribute 'timeofday' as attributes_file; looked for\n"
                f"{looked}"
            )
        return files


def read_names(path: Path) -> list[Frame]:
    """Read a list of pictures, one a line, each once and in order.

    Raises:
        DataError: If the file cannot be read, or a line names no picture of `train` or `val`.
    """
    frames: dict[Frame, None] = {}
    for number, line in enumerate(read_lines(path, "list"), 1):
        if not line.strip():
            continue
        cells = re.split(r"[/\\]", line.strip())
        if len(cells) < 2 or cells[-2] not in PARTS:
            raise DataError(
                f"Line {number} of '{path}' names no picture: expected 'seg/images/train/<name>.jpg', found "
                f"'{line[:120]}'."
            )
        frames[cells[-2], cells[-1].rpartition(".")[0] or cells[-1]] = None
    return list(frames)


def read_times(path: Path) -> dict[str, str]:
    """The attribute `timeofday` of each picture in a label JSON of BDD, by its name without the ending.

    Raises:
        DataError: If the file cannot be read, or is no such list.
    """
    try:
        content = json.loads(path.read_bytes())
        rows: Sequence[dict[str, Any]] = content["frames"] if isinstance(content, dict) else content
        return {
            Path(row["name"]).stem: str((row.get("attributes") or {}).get("timeofday", "undefined")) for row in rows
        }
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OSError) as error:
        raise DataError(
            f"'{path}' is no label list of BDD100k, with name and attributes ({type(error).__name__}: {error})."
        ) from error
