"""Own pictures in a folder: pictures, and where there are such, labels and references of the same names."""

import csv
import hashlib
import os
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from dsrnss.data.files import Entry, FileDataset
from dsrnss.data.listing import given_file, read_lines, require
from dsrnss.data.location import hint, nearest
from dsrnss.data.sets.label_files import LABELS_FILE, read_label_space
from dsrnss.data.zipped import ZippedPath
from dsrnss.errors import ConfigError, DataError, DatasetNotFoundError
from dsrnss.labels import CITYSCAPES, LabelSpace
from dsrnss.paths import expanded

PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".ppm", ".pgm")
LOSSY = (".jpg", ".jpeg")
WHOLE = "all"
"""Name of the split of a folder that is not split."""


class Folder(FileDataset):
    """Pictures below a folder, in any nesting; a label or reference has the picture's path below its own folder.

    `images/a/1.jpg` belongs to `labels/a/1.png` and `refs/a/1.jpg`: endings may differ. With a `split` the three are
    looked for as `images/<split>`, `labels/<split>` and `refs/<split>`.

    Args:
        root: The folder; also a name below `$DATA_DIR`.
        split: Subfolder of each of the three folders; None: no such subfolders.
        images: Folder of the pictures, below the root.
        labels: Folder of the labels, below the root: 8 bits in one channel, 255 ignored.
        refs: Folder of the references, below the root: the same place by day.
        labels_file: The classes: a YAML file, as given or below the root, or `cityscapes` for its 19 classes, whose raw
            ids (`labelIds`) the label files then hold.
        pairs_file: CSV of `picture,reference`, paths below the root, endings optional; pictures not named are left out.
            None: references by name.
        labelled: Whether samples carry labels; None: if there is a folder of labels.
        references: Whether samples carry references; None: if there is a folder of them, or a list of pairs.
        **common: `size`, `resize_label` and `cache_dir` of `FileDataset`.

    Raises:
        ConfigError: If the split is no name of a subfolder.
    """

    folder = "Folder"
    splits = ()
    labelled_splits = ()
    stand_in = None

    def __init__(
        self,
        root: str | Path,
        split: str | None = None,
        *,
        images: str = "images",
        labels: str = "labels",
        refs: str = "refs",
        labels_file: str | Path = LABELS_FILE,
        pairs_file: str | Path | None = None,
        labelled: bool | None = None,
        references: bool | None = None,
        **common: Any,
    ) -> None:
        super().__init__(split or WHOLE, root, **common)
        if split is not None and (Path(split).is_absolute() or ".." in Path(split).parts):
            raise ConfigError(f"split '{split}' is no name of a subfolder of '{images}'.")
        if pairs_file is not None and references is False:
            raise ConfigError("pairs_file names references, but references is false: leave one of them out.")
        self.folders = {key: expanded(path) / (split or "") for key, path in _named(images, labels, refs).items()}
        self._images = str(expanded(images))
        self.labels_file = labels_file
        self.pairs_file = pairs_file
        self._wanted = {"labels": labelled, "refs": True if pairs_file is not None else references}
        # a constructor leaves the disk alone: the properties below look at it when they are asked
        del self.labelled, self.references

    @cached_property
    def labelled(self) -> bool:  # type: ignore[override]
        """Whether samples carry labels."""
        return self._has("labels")

    @cached_property
    def references(self) -> bool:  # type: ignore[override]
        """Whether samples carry references."""
        return self._has("refs")

    def _has(self, key: str) -> bool:
        wanted = self._wanted[key]
        return (self._root() / self.folders[key]).is_dir() if wanted is None else wanted

    @cached_property
    def label_space(self) -> LabelSpace:  # type: ignore[override]
        """The classes, from the file of the classes; those of Cityscapes where there is neither a file nor a label.

        Raises:
            DatasetNotFoundError: If the folder does not exist.
            DataError: If the file is missing where there are labels, or wrong.
        """
        if str(self.labels_file) == "cityscapes":
            return CITYSCAPES
        root = self._root()
        if str(self.labels_file) != LABELS_FILE:
            return read_label_space(given_file(root, self.labels_file, "labels_file"))
        path = root / LABELS_FILE
        if path.is_file():
            return read_label_space(path)
        if self.labelled:
            raise DataError(
                f"'{root}' has labels but no {LABELS_FILE} that names the classes: write one (docs/own_data.md), name "
                "another by labels_file (adapt: --labels-file), set labels_file to cityscapes for its 19 classes, or "
                "labelled to false."
            )
        return CITYSCAPES

    def _root(self) -> Path:
        given = expanded(str(self.root))
        base = os.environ.get("DATA_DIR")
        places = [given] if base is None else [given, expanded(base) / given]
        likely = list[Path]()
        for place in places:
            # not the folder of the split: one that is missing means no other root
            found, near = nearest(place, ((self._images,),))
            if found is not None:
                return found
            likely += near
        found = next((place for place in places if place.is_dir()), None)
        if found is None or likely:
            looked = " and ".join(f"'{place}'" for place in places)
            raise DatasetNotFoundError(
                f"Folder not found: looked for {looked}. Give the folder that holds '{self.folders['images']}' as "
                f"root: its path, or its name below DATA_DIR.{hint(likely)}"
            )
        return found

    def _tag(self) -> str:
        mark = hashlib.sha256(str(self.folders["labels"]).encode()).hexdigest()[:8]
        return f"folder_{self.split.replace('/', '_')}_{mark}"

    def _scan(self, root: Path) -> list[Entry]:
        folder = root / self.folders["images"]
        images = by_stem(folder)
        if not images:
            kinds = ", ".join(ending[1:] for ending in PICTURES)
            state = "holds none" if folder.is_dir() else "does not exist"
            raise DatasetNotFoundError(f"No pictures ({kinds}) below '{folder}', which {state}.")
        references = self._references(root, images) if self.references else {}
        labels = self._labels(root, images) if self.labelled else {}
        raw = bool(labels and self.label_space.raw_ids)
        kept = [stem for stem in images if self.pairs_file is None or stem in references]
        return [Entry(stem, images[stem], labels.get(stem), raw, references.get(stem)) for stem in kept]

    def _labels(self, root: Path, images: Mapping[str, Path]) -> dict[str, Path]:
        labels = by_stem(root / self.folders["labels"])
        for path in labels.values():
            if path.suffix.lower() in LOSSY:
                raise DataError(f"'{path}': a label as JPEG has changed values; save labels as PNG.")
        self._require(root, images, labels, "labels", "set labelled to false")
        return labels

    def _references(self, root: Path, images: Mapping[str, Path]) -> dict[str, Path]:
        if self.pairs_file is not None:
            return self._listed_references(root, images, given_file(root, self.pairs_file, "pairs_file"))
        references = by_stem(root / self.folders["refs"])
        self._require(root, images, references, "refs", "set references to false")
        return references

    def _require(
        self, root: Path, images: Mapping[str, Path], found: Mapping[str, Path], key: str, way_out: str
    ) -> None:
        folder = root / self.folders[key]
        missing = [f"{folder / stem}.*" for stem in images if stem not in found]
        example = f"; it holds '{next(iter(found.values())).name}', for example" if found else ""
        require(
            missing,
            len(images),
            {"labels": "labels", "refs": "references"}[key],
            f"Each has the path of its picture, below '{folder}'{example}. Add them, or {way_out}.",
        )

    def _listed_references(self, root: Path, images: Mapping[str, Path], file: Path) -> dict[str, Path]:
        pictures, days = root / self.folders["images"], root / self.folders["refs"]
        shown = {path.with_suffix(""): stem for stem, path in images.items()}
        references, missing = {}, []
        pairs, listed = read_pairs(file), dict[Path, dict[str, Path]]()
        for image, reference in pairs:
            stem = next((shown[k] for k in _spellings(image, root, pictures) if k in shown), None)
            day = next((p for k in _spellings(reference, root, days) if (p := _with_any_ending(k, listed))), None)
            missing += [name for name, found in ((image, stem), (reference, day)) if found is None]
            if stem is not None and day is not None:
                references[stem] = day
        require(missing, 2 * len(pairs), f"pictures named by '{file}'", f"Paths are relative to '{root}'.")
        return references


def by_stem(folder: Path) -> dict[str, Path]:
    """Pictures below a folder by their path without the ending, in the order of these; hidden ones left out.

    Raises:
        DataError: If two differ in their ending alone.
    """
    found: dict[str, Path] = {}
    for path in sorted(_walk(folder)):
        stem = path.relative_to(folder).with_suffix("").as_posix()
        if stem in found:
            raise DataError(f"'{found[stem]}' and '{path}' differ in their ending alone: which one is '{stem}'?")
        found[stem] = path
    return dict(sorted(found.items()))


def _walk(folder: Path) -> Iterator[Path]:
    """Pictures below a folder, those behind links included; a link to a folder above itself is not followed."""
    if isinstance(folder, ZippedPath):
        found = (path for path in folder.rglob("*") if path.suffix.lower() in PICTURES)
        yield from (path for path in found if not any(p.startswith(".") for p in path.relative_to(folder).parts))
        return
    for place, folders, files in os.walk(folder, followlinks=True):
        here = Path(place)
        folders[:] = [
            f for f in folders if not f.startswith(".") and not here.resolve().is_relative_to((here / f).resolve())
        ]
        for name in files:
            if not name.startswith(".") and Path(name).suffix.lower() in PICTURES:
                yield here / name


def read_pairs(path: Path) -> list[tuple[str, str]]:
    """Read lines `picture,reference`; blank lines and a header `image,...` or `picture,...` are left out.

    A header may name more columns, such as the `certainty` of `dsrnss data pair`. Backslashes are taken for slashes.

    Raises:
        DataError: If the file cannot be read, is empty, or a line is no pair, naming it.
    """
    try:
        rows = list(csv.reader(read_lines(path, "pairs"), skipinitialspace=True))
    except csv.Error as error:
        raise DataError(f"Cannot read the pairs '{path}': {error}.") from error
    pairs, columns = [], 2
    for number, row in enumerate(rows, 1):
        cells = [cell.strip().replace("\\", "/") for cell in row]
        if number == 1 and cells and cells[0].lower() in ("image", "picture"):
            columns = max(columns, len(cells))
            continue
        if not any(cells):
            continue
        if len(cells) != columns or not all(cells[:2]):
            raise DataError(
                f"Line {number} of '{path}' is no pair: expected 'picture,reference', found '{','.join(row)}'."
            )
        pairs.append((cells[0], cells[1]))
    if not pairs:
        raise DataError(f"'{path}' names no pair: expected lines 'picture,reference'.")
    return pairs


def _named(images: str, labels: str, refs: str) -> dict[str, str]:
    return {"images": images, "labels": labels, "refs": refs}


def _spellings(name: str, root: Path, folder: Path) -> list[Path]:
    """Paths that a name may mean, without their endings."""
    path = expanded(name)
    bare = path.with_suffix("") if path.suffix.lower() in PICTURES else path
    return [root / bare, folder / bare]


def _with_any_ending(path: Path, listed: dict[Path, dict[str, Path]]) -> Path | None:
    """A picture by its path without the ending; folders are listed once, and remembered in `listed`."""
    if path.parent not in listed:
        try:
            inside = [entry for entry in path.parent.iterdir() if entry.suffix.lower() in PICTURES]
        except (OSError, ValueError):  # no such folder, or a name that no folder can have
            inside = []
        inside.sort(key=lambda entry: PICTURES.index(entry.suffix.lower()), reverse=True)
        listed[path.parent] = {entry.stem: entry for entry in inside}
    return listed[path.parent].get(path.name)
