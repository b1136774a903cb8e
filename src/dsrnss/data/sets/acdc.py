"""ACDC (Sakaridis et al., arXiv 2104.13395): fog, night, rain and snow, with clear-day pictures of each place."""

from collections.abc import Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from dsrnss.data.archives import Archive
from dsrnss.data.benchmark import LABELS, Benchmark
from dsrnss.data.files import Entry, FileDataset
from dsrnss.data.listing import find_labels, listing, require
from dsrnss.errors import ConfigError, did_you_mean

CONDITIONS = ("fog", "night", "rain", "snow")
ENDING = "_rgb_anon.png"
REFERENCE_ENDING = "_rgb_ref_anon.png"


class ACDC(FileDataset):
    """ACDC in its official layout: the pictures of some conditions, and their references.

    Args:
        split: `train`, `val` or `test` (labels are kept by the benchmark).
        root: Folder of the set; None: `$DATA_DIR/ACDC`.
        references: Whether samples carry the clear-day picture of the same place; None: in `train` only.
        conditions: Some of `fog`, `night`, `rain`, `snow`; officially the night alone.
        labelled: Whether samples carry labels; None: in `val` only, since adaptation must not see those of `train`.
        **common: `size`, `resize_label` and `cache_dir` of `FileDataset`.

    Raises:
        ConfigError: If there is no such split or condition, or the split has no labels.
    """

    key = "acdc"
    folder = "ACDC"
    signs = tuple((f"rgb_anon/{condition}",) for condition in CONDITIONS)
    splits = ("train", "val", "test")
    labelled_splits = ("train", "val")
    counts = MappingProxyType(
        {"train": 1600, "val": 406, "test": 2000, "train/night": 400, "val/night": 106, "test/night": 500}
    )
    official_size = (1080, 1920)
    url = "https://acdc.vision.ee.ethz.ch/download"
    paper = "Sakaridis et al., ACDC: The Adverse Conditions Dataset with Correspondences, arXiv 2104.13395"
    licence = "non-commercial; terms with the download"
    archives = (
        Archive("rgb_anon_trainvaltest.zip", ("rgb_anon",), ("train", "val", "test")),
        Archive("gt_trainval.zip", ("gt",), ("train", "val")),
    )
    stand_in = "cityscapes_acdc"
    # 500 pictures a condition
    benchmark = Benchmark("ACDC", (LABELS,), (500, 1000, 1500, 2000), official_size, flat=True)

    def __init__(
        self,
        split: str = "train",
        root: str | Path | None = None,
        *,
        references: bool | None = None,
        conditions: tuple[str, ...] = ("night",),
        labelled: bool | None = None,
        **common: Any,
    ) -> None:
        super().__init__(split, root, **common)
        if labelled and split not in self.labelled_splits:
            raise ConfigError(f"ACDC '{split}' has no labels: set labelled to false.")
        self.labelled = split == "val" if labelled is None else labelled
        self.references = split == "train" if references is None else references
        self.conditions = (conditions,) if isinstance(conditions, str) else tuple(conditions)
        for condition in self.conditions:
            if condition not in CONDITIONS:
                raise ConfigError(f"ACDC has no condition '{condition}'.{did_you_mean(condition, CONDITIONS)}")
        if not self.conditions or len(set(self.conditions)) < len(self.conditions):
            raise ConfigError(f"conditions: expected each once, of {', '.join(CONDITIONS)}, not {[*self.conditions]}.")

    @classmethod
    def all_parts(cls, root: str | Path | None = None) -> dict[str, FileDataset]:
        """Every split of every condition, with all labels that are given."""
        return {
            f"{cls.folder}/{condition}/{split}": cls(
                split, root, conditions=(condition,), labelled=split in cls.labelled_splits
            )
            for condition in CONDITIONS
            for split in cls.splits
        }

    def _tag(self) -> str:
        return f"{super()._tag()}_{'_'.join(self.conditions)}"

    def _scan(self, root: Path) -> list[Entry]:
        return [entry for condition in self.conditions for entry in self._scan_condition(root, condition)]

    def _scan_condition(self, root: Path, condition: str) -> list[Entry]:
        pictures = root / "rgb_anon" / condition
        folder = pictures / self.split
        images = self._found(listing(folder, f"*/*{ENDING}"), folder / "<sequence>" / f"*{ENDING}")
        labels = self._labels(root / "gt" / condition / self.split, images) if self.labelled else {}
        references = self._references(pictures / f"{self.split}_ref", images) if self.references else {}
        bare: tuple[Path | None, bool] = (None, False)
        return [Entry(i.stem, i, *labels.get(i, bare), references.get(i)) for i in images]

    def reference_folders(self) -> list[Path]:
        """Folders of nothing but references, one a condition."""
        return [self._root() / "rgb_anon" / condition / f"{self.split}_ref" for condition in self.conditions]

    def _labels(self, truth: Path, images: Sequence[Path]) -> dict[Path, tuple[Path, bool]]:
        known = set(listing(truth, "*/*_gt_label*Ids.png"))
        stems = {i: truth / i.parent.name / f"{i.name.removesuffix(ENDING)}_gt" for i in images}
        return find_labels(stems, known, "Unpack gt_trainval.zip into the folder that holds rgb_anon.")

    def _references(self, folder: Path, images: Sequence[Path]) -> dict[Path, Path]:
        known = set(listing(folder, f"*/*{REFERENCE_ENDING}"))
        paths = {i: folder / i.parent.name / f"{i.name.removesuffix(ENDING)}{REFERENCE_ENDING}" for i in images}
        require(
            [path for path in paths.values() if path not in known],
            len(images),
            "references",
            "Unpack all of rgb_anon_trainvaltest.zip, or set references to false.",
        )
        return paths
