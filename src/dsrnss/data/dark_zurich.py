"""Dark Zurich (Sakaridis et al., arXiv 1901.05946): drives by night, with day pictures of the same places."""

from collections.abc import Sequence
from pathlib import Path

from dsrnss.data.files import Entry, FileDataset, listing, require
from dsrnss.errors import ConfigError, DataError

ENDING = "_rgb_anon.png"
PAIRS_PATTERN = "**/*_ref_day.csv"


class DarkZurich(FileDataset):
    """Dark Zurich in its official layout: the night pictures of a split, and their day references.

    Args:
        split: `train` (no labels), `val` (labelled) or `test` (labels are kept by the benchmark).
        root: Folder of the set; None: `$DATA_DIR/DarkZurich`.
        size: (height, width) that pictures are resized to; None: as on disk (1080, 1920).
        resize_label: Whether labels are resized too; False keeps their own size, for evaluation at full size.
        references: Whether samples carry the day picture of the same place; None: in `train` only.
        pairs_file: One file with the pairs of `train` (such as `zurich_dn_pair_train.csv`), as given or below the root;
            None: `corresp/train/night/**/*_ref_day.csv`, as shipped.

    Raises:
        ConfigError: If there is no such split, or pairs are given to a split without.
    """

    folder = "DarkZurich"
    splits = ("train", "val", "test")
    labelled_splits = ("val",)

    def __init__(
        self,
        split: str = "train",
        root: str | Path | None = None,
        size: tuple[int, int] | None = None,
        resize_label: bool = True,
        references: bool | None = None,
        pairs_file: str | Path | None = None,
    ) -> None:
        super().__init__(split, root, size, resize_label, split == "train" if references is None else references)
        if pairs_file is not None and split != "train":
            raise ConfigError(
                f"pairs_file is for the split train; the references of '{split}' are found by their names."
            )
        self.pairs_file = pairs_file

    def _scan(self, root: Path) -> list[Entry]:
        folder = root / "rgb_anon" / self.split / "night"
        images = self._found(listing(folder, f"*/*{ENDING}"), folder / "<sequence>" / f"*{ENDING}")
        references = self._references(root, images) if self.references else {}
        labels = self._labels(root, images) if self.labelled else {}
        entries = []
        for image in images:
            label, raw = labels.get(image, (None, False))
            if not self.references or image in references:
                entries.append(Entry(image.stem, image, label, raw, references.get(image)))
        return entries

    def _labels(self, root: Path, images: Sequence[Path]) -> dict[Path, tuple[Path, bool]]:
        folder = root / "gt" / self.split / "night"
        known = set(listing(folder, "*/*_gt_label*Ids.png"))
        labels, missing = {}, []
        for image in images:
            stem = folder / image.parent.name / image.name.removesuffix(ENDING)
            train_ids, raw_ids = (
                stem.with_name(f"{stem.name}_gt_{kind}.png") for kind in ("labelTrainIds", "labelIds")
            )
            if train_ids in known or raw_ids in known:
                labels[image] = (train_ids, False) if train_ids in known else (raw_ids, True)
            else:
                missing.append(train_ids)
        require(missing, len(images), "labels", "Unpack Dark_Zurich_val_anon.zip into the folder that holds rgb_anon.")
        return labels

    def _references(self, root: Path, images: Sequence[Path]) -> dict[Path, Path]:
        return self._listed_references(root, images) if self.split == "train" else self._named_references(root, images)

    def _listed_references(self, root: Path, images: Sequence[Path]) -> dict[Path, Path]:
        pairs: dict[str, str] = {}
        for file in self._pairs_files(root):
            pairs.update(read_pairs(file))
        pictures = root / "rgb_anon"
        known = set(images) | set(listing(pictures / "train" / "day", f"*/*{ENDING}"))
        paths = [(pictures / f"{night}{ENDING}", pictures / f"{day}{ENDING}") for night, day in pairs.items()]
        missing = sorted({path for pair in paths for path in pair if path not in known})
        require(missing, 2 * len(paths), "pictures named by the pairs", "Unpack all of Dark_Zurich_train_anon.zip.")
        return dict(paths)

    def _pairs_files(self, root: Path) -> list[Path]:
        if self.pairs_file is not None:
            given = Path(self.pairs_file).expanduser()
            found = next((path for path in (given, root / given) if path.is_file()), None)
            if found is None:
                raise DataError(f"The pairs file '{given}' was found neither as it is nor below '{root}'.")
            return [found]
        folder = root / "corresp" / "train" / "night"
        files = listing(folder, PAIRS_PATTERN)
        if not files:
            raise DataError(
                f"No pairs of night and day pictures: looked for '{folder / PAIRS_PATTERN}'. They ship with "
                "Dark_Zurich_train_anon.zip; or give a list as pairs_file, or set references to false."
            )
        return files

    def _named_references(self, root: Path, images: Sequence[Path]) -> dict[Path, Path]:
        folder = root / "rgb_anon" / f"{self.split}_ref" / "day"
        by_sequence: dict[str, list[Path]] = {}
        for path in listing(folder, f"*/*{ENDING}"):
            by_sequence.setdefault(path.parent.name, []).append(path)
        references, missing = {}, []
        for image in images:
            sequence, prefix = image.parent.name, image.name.removesuffix(ENDING)
            found = [p for p in by_sequence.get(f"{sequence}_ref", ()) if p.name.startswith(f"{prefix}_")]
            if found:
                references[image] = found[0]
            else:
                missing.append(folder / f"{sequence}_ref" / f"{prefix}_ref{ENDING}")
        require(
            missing,
            len(images),
            "day references",
            f"Unpack Dark_Zurich_{self.split}_anon.zip, or set references to false.",
        )
        return references


def read_pairs(path: Path) -> dict[str, str]:
    """Read lines `train/night/<sequence>/<frame>,train/day/<sequence>/<frame>`: night -> day.

    Accepts `rgb_anon/` in front and `_rgb_anon.png` behind, blank lines, and a header.

    Raises:
        DataError: If the file cannot be read, or a line is not of this form, naming it.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"Cannot read the pairs '{path}': {error}.") from error
    pairs: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        cells = [_frame(cell) for cell in line.split(",")]
        if len(cells) == 2 and all(cell.startswith("train/") for cell in cells):
            pairs[cells[0]] = cells[1]
        elif line.strip() and number > 1:
            raise DataError(
                f"Line {number} of '{path}' is no pair: expected 'train/night/<sequence>/<frame>,"
                f"train/day/<sequence>/<frame>', found '{line[:120]}'."
            )
    return pairs


def _frame(cell: str) -> str:
    return cell.strip().strip('"').removeprefix("rgb_anon/").removesuffix(".png").removesuffix(Path(ENDING).stem)
