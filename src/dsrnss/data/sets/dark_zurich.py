"""Dark Zurich (Sakaridis et al., arXiv 1901.05946): drives by night, with day pictures of the same places."""

import bisect
import logging
from collections.abc import Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from dsrnss.data.archives import Archive
from dsrnss.data.benchmark import CONFIDENCE, DECLARED, LABELS, Benchmark
from dsrnss.data.files import Entry, FileDataset
from dsrnss.data.listing import find_labels, given_file, listing, read_lines, require
from dsrnss.data.missing import note_missing
from dsrnss.errors import ConfigError, DataError, did_you_mean

ENDING = "_rgb_anon.png"
TIMES = ("night", "twilight")
PAIRS_PATTERN = "**/*_ref_day.csv"
_SERVER = "https://data.vision.ee.ethz.ch/csakarid/shared/GCMA_UIoU"
_log = logging.getLogger(__name__)


class DarkZurich(FileDataset):
    """Dark Zurich in its official layout: the night (or twilight) pictures of a split, and their day references.

    Args:
        split: `train` (no labels), `val` (labelled) or `test` (labels are kept by the benchmark).
        root: Folder of the set; None: `$DATA_DIR/DarkZurich`.
        references: Whether samples carry the day picture of the same place; None: in `train` only.
        pairs_file: One file with the pairs of `train` (such as `zurich_dn_pair_train.csv`), as given or below the root;
            None: `corresp/train/<time>/**/*_ref_day.csv`, as shipped.
        time: `night` or, in `train` only, `twilight`.
        **common: `size`, `resize_label` and `cache_dir` of `FileDataset`.

    Raises:
        ConfigError: If there is no such split or time of day, or pairs are given to a split without.
    """

    key = "darkzurich"
    folder = "DarkZurich"
    signs = (("rgb_anon/train",), ("rgb_anon/val",), ("rgb_anon/test",))
    splits = ("train", "val", "test")
    labelled_splits = ("val",)
    counts = MappingProxyType({"train": 2416, "train/twilight": 2920, "train/day": 3041, "val": 50, "test": 151})
    official_size = (1080, 1920)
    url = "https://www.trace.ethz.ch/publications/2019/GCMA_UIoU"
    paper = "Sakaridis et al., Guided Curriculum Model Adaptation and Uncertainty-Aware Evaluation, arXiv 1901.05946"
    licence = "non-commercial; terms with the download"
    archives = (
        Archive(
            "Dark_Zurich_train_anon.zip",
            ("rgb_anon/train", "corresp/train"),
            ("train",),
            (f"{_SERVER}/Dark_Zurich_train_anon.zip",),
        ),
        Archive(
            "Dark_Zurich_val_anon.zip", ("rgb_anon/val", "gt/val"), ("val",), (f"{_SERVER}/Dark_Zurich_val_anon.zip",)
        ),
        Archive(
            "Dark_Zurich_test_anon_withoutGt.zip",
            ("rgb_anon/test",),
            ("test",),
            (f"{_SERVER}/Dark_Zurich_test_anon_withoutGt.zip",),
        ),
    )
    benchmark = Benchmark("Dark Zurich", (LABELS, DECLARED, CONFIDENCE), (151,), official_size)

    def __init__(
        self,
        split: str = "train",
        root: str | Path | None = None,
        *,
        references: bool | None = None,
        pairs_file: str | Path | None = None,
        time: Literal["night", "twilight"] = "night",
        **common: Any,
    ) -> None:
        super().__init__(split, root, **common)
        if time not in TIMES:
            raise ConfigError(f"Dark Zurich has no time '{time}'.{did_you_mean(time, TIMES)}")
        if time != "night" and split != "train":
            raise ConfigError(f"Dark Zurich '{split}' was taken by night: set time to night.")
        if pairs_file is not None and split != "train":
            raise ConfigError(
                f"pairs_file is for the split train; the references of '{split}' are found by their names."
            )
        self.references = split == "train" if references is None else references
        self.pairs_file = pairs_file
        self.time = time

    def _scan(self, root: Path) -> list[Entry]:
        folder = root / "rgb_anon" / self.split / self.time
        images = self._found(listing(folder, f"*/*{ENDING}"), folder / "<sequence>" / f"*{ENDING}")
        references = self._references(root, images) if self.references else {}
        labels = self._labels(root, images) if self.labelled else {}
        entries = []
        for image in images:
            label, raw = labels.get(image, (None, False))
            # train is what the pairs name; elsewhere a missing reference was already said
            if not self.references or image in references or self.split != "train":
                entries.append(Entry(image.stem, image, label, raw, references.get(image)))
        return entries

    def _labels(self, root: Path, images: Sequence[Path]) -> dict[Path, tuple[Path, bool]]:
        folder = root / "gt" / self.split / "night"
        known = set(listing(folder, "*/*_gt_label*Ids.png"))
        stems = {i: folder / i.parent.name / f"{i.name.removesuffix(ENDING)}_gt" for i in images}
        return find_labels(stems, known, "Unpack Dark_Zurich_val_anon.zip into the folder that holds rgb_anon.")

    def _references(self, root: Path, images: Sequence[Path]) -> dict[Path, Path]:
        return self._listed_references(root, images) if self.split == "train" else self._named_references(root, images)

    def _listed_references(self, root: Path, images: Sequence[Path]) -> dict[Path, Path]:
        pairs: dict[str, str] = {}
        files = self._pairs_files(root)
        for file in files:
            named = read_pairs(file)
            pairs.update({dark: day for dark, day in named.items() if dark.startswith(f"train/{self.time}/")})
        if not pairs:
            raise DataError(
                f"'{files[0]}' names no pair of a {self.time} picture (train/{self.time}/...) and a day picture."
            )
        pictures = root / "rgb_anon"
        known = set(images) | set(listing(pictures / "train" / "day", f"*/*{ENDING}"))
        paths = {pictures / f"{dark}{ENDING}": pictures / f"{day}{ENDING}" for dark, day in pairs.items()}
        missing = sorted({path for pair in paths.items() for path in pair if path not in known})
        require(missing, 2 * len(paths), "pictures named by the pairs", "Unpack all of Dark_Zurich_train_anon.zip.")
        if self.pairs_file is None:
            self._say_unpaired([image for image in images if image not in paths], len(images))
        return paths

    def _say_unpaired(self, unpaired: Sequence[Path], total: int) -> None:
        """Tell of pictures that no shipped pair names: a chosen list may leave some out, the shipped ones do not."""
        advice = f"No file below corresp/train/{self.time} names it: such pictures are not trained on."
        if unpaired and not note_missing(unpaired, "day references", advice):
            _log.info(
                "%d of %d %s pictures of Dark Zurich have no day reference in 'corresp' (such as '%s') and are left "
                "out. `dsrnss data check darkzurich` names all.",
                len(unpaired), total, self.time, unpaired[0].name,
            )  # fmt: skip

    def _pairs_files(self, root: Path) -> list[Path]:
        if self.pairs_file is not None:
            return [given_file(root, self.pairs_file, "pairs_file")]
        folder = root / "corresp" / "train" / self.time
        files = listing(folder, PAIRS_PATTERN)
        if not files:
            raise DataError(
                f"No pairs of {self.time} and day pictures: looked for '{folder / PAIRS_PATTERN}'. They ship with "
                "Dark_Zurich_train_anon.zip; or give a list as pairs_file, or set references to false."
            )
        return files

    def reference_folders(self) -> list[Path]:
        """Folder of nothing but the references of val or test."""
        return [] if self.split == "train" else [self._named_folder(self._root())]

    def _named_folder(self, root: Path) -> Path:
        return root / "rgb_anon" / f"{self.split}_ref" / "day"

    def _named_references(self, root: Path, images: Sequence[Path]) -> dict[Path, Path]:
        folder = self._named_folder(root)
        known = {str(path.relative_to(folder)): path for path in listing(folder, f"*/*{ENDING}")}
        names = sorted(known)
        references, missing = {}, []
        for image in images:
            beginning = f"{image.parent.name}_ref/{image.name.removesuffix(ENDING)}_"
            place = bisect.bisect_left(names, beginning)
            if place < len(names) and names[place].startswith(beginning):
                references[image] = known[names[place]]
            else:
                missing.append(folder / f"{beginning}ref{ENDING}")
        require(
            missing,
            len(images),
            "day references",
            f"Unpack Dark_Zurich_{self.split}_anon.zip, or set references to false.",
        )
        return references


def read_pairs(path: Path) -> dict[str, str]:
    """Read lines `train/night/<sequence>/<frame>,train/day/<sequence>/<frame>`: night -> day.

    Accepts `rgb_anon/` in front and `_rgb_anon.png` behind, backslashes, blank lines, and a first line without a path.

    Raises:
        DataError: If the file cannot be read, or a line is not of this form, naming it.
    """
    pairs: dict[str, str] = {}
    for number, written in enumerate(read_lines(path, "pairs"), 1):
        line = written.replace("\\", "/")
        cells = [_frame(cell) for cell in line.split(",")]
        if len(cells) == 2 and all(cell.startswith("train/") for cell in cells):
            pairs[cells[0]] = cells[1]
        elif line.strip() and (number > 1 or "train/" in line):
            raise DataError(
                f"Line {number} of '{path}' is no pair: expected 'train/night/<sequence>/<frame>,"
                f"train/day/<sequence>/<frame>', found '{written[:120]}'."
            )
    return pairs


def _frame(cell: str) -> str:
    return cell.strip().strip('"').removeprefix("rgb_anon/").removesuffix(".png").removesuffix(Path(ENDING).stem)
