"""Preparation of Cityscapes: train ids from the shipped raw ids or from polygons, and class statistics."""

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from dsrnss.data.base import histogram, read_label
from dsrnss.data.listing import listing
from dsrnss.data.location import data_root
from dsrnss.data.parallel import Progress, parallel_map
from dsrnss.data.sets.cityscapes import RAW_IDS_ENDING, STATISTICS, TRAIN_IDS_ENDING, Cityscapes
from dsrnss.data.sets.polygons import POLYGONS_ENDING, draw_train_ids
from dsrnss.errors import DataError, ImageError
from dsrnss.labels import CITYSCAPES
from dsrnss.writing import atomic, prepare_folder

STATISTICS_BY_FILE = "sample_class_stats_dict.json"
FILES_BY_CLASS = "samples_with_class.json"


def prepare_cityscapes(
    root: str | Path | None = None, *, workers: int | None = None, progress: Progress | None = None
) -> dict[str, int]:
    """Make the train ids and class statistics that training wants.

    Writes `*_gtFine_labelTrainIds.png` for every annotation of train and val: by a look-up table of its
    `*_gtFine_labelIds.png`, or drawn from its `*_gtFine_polygons.json` where that is missing. For train also
    `sample_class_stats.json`, `sample_class_stats_dict.json` and `samples_with_class.json`, with paths relative to the
    root. Every file appears whole or not at all, and train ids newer than what they are made from are kept, so an
    interrupted run continues where it stopped. Whether all places can be written is tried first.

    Args:
        root: Folder of Cityscapes; None: `$DATA_DIR/Cityscapes`.
        workers: Processes; None: one a core.
        progress: Called with (labels done, labels in all).

    Returns:
        Number of `labels` found, of train ids `written`, of those `drawn` from polygons, and of `train` labels in the
        statistics.

    Raises:
        DatasetNotFoundError: If Cityscapes is not where it was looked for.
        DataError: If it has no labels.
        ImageError: If a label cannot be read.
        OutputError: If a file cannot be written.
    """
    folder = data_root(Cityscapes, root)
    sources = [source for split in ("train", "val") for source in _sources(folder / "gtFine" / split)]
    if not sources:
        raise DataError(
            f"No labels to prepare: looked for '{folder}/gtFine/{{train,val}}/<city>/*{RAW_IDS_ENDING}' and for "
            f"*{POLYGONS_ENDING}. Unpack gtFine_trainvaltest.zip into the folder that holds leftImg8bit."
        )
    for place in {folder, *(path.parent for path in sources if not _is_current(path))}:
        prepare_folder(place)
    done = parallel_map(_train_ids, None, sources, workers=workers, progress=progress)
    rows = [
        (train_ids_path(path).relative_to(folder).as_posix(), counts)
        for path, (_, counts) in zip(sources, done, strict=True)
        if path.is_relative_to(folder / "gtFine" / "train")
    ]
    write_statistics(folder, rows)
    written = [path for path, (new, _) in zip(sources, done, strict=True) if new]
    drawn = sum(path.name.endswith(POLYGONS_ENDING) for path in written)
    return {"labels": len(sources), "written": len(written), "drawn": drawn, "train": len(rows)}


def train_ids_path(source: Path) -> Path:
    """Where the train ids of a file of raw ids or polygons belong."""
    stem = source.name.removesuffix(RAW_IDS_ENDING).removesuffix(POLYGONS_ENDING)
    return source.with_name(stem + TRAIN_IDS_ENDING)


def _sources(folder: Path) -> list[Path]:
    """What the train ids of a split are made from: one file for each annotation."""
    found = {train_ids_path(path): path for path in listing(folder, f"*/*{POLYGONS_ENDING}")}
    found.update({train_ids_path(path): path for path in listing(folder, f"*/*{RAW_IDS_ENDING}")})
    return [found[target] for target in sorted(found)]


def write_statistics(root: Path, rows: Sequence[tuple[str, npt.NDArray[np.int64]]]) -> None:
    """Write the three statistics files of the official preparation.

    Args:
        root: Folder of the data set.
        rows: Path relative to the root and (num_classes,) pixels, for each label.

    Raises:
        OutputError: If a file cannot be written.
    """
    present = [(file, {str(c): int(n) for c, n in enumerate(counts) if n}) for file, counts in rows]
    by_class: dict[str, list[list[Any]]] = {}
    for file, pixels in present:
        for label, count in pixels.items():
            by_class.setdefault(label, []).append([file, count])
    _write_json(root / STATISTICS, [{**pixels, "file": file} for file, pixels in present])
    _write_json(root / STATISTICS_BY_FILE, dict(present))
    _write_json(root / FILES_BY_CLASS, dict(sorted(by_class.items(), key=lambda item: int(item[0]))))


def _train_ids(_: None, source: Path) -> tuple[bool, npt.NDArray[np.int64]]:
    """Write the train ids of one annotation unless they are there; returns whether, and the pixels of each class."""
    target = train_ids_path(source)
    if _is_current(source):
        try:
            return False, histogram(read_label(target, CITYSCAPES).numpy(), CITYSCAPES.num_classes)
        except (ImageError, DataError):
            pass  # damaged by someone else: make it anew
    drawn = source.name.endswith(POLYGONS_ENDING)
    labels = draw_train_ids(source) if drawn else read_label(source, CITYSCAPES, raw=True).numpy()
    with atomic(target) as draft:
        Image.fromarray(labels).save(draft)
    return True, histogram(labels, CITYSCAPES.num_classes)


def _is_current(source: Path) -> bool:
    """Whether the train ids of an annotation are there and newer; those of the future were made by a wrong clock."""
    target = train_ids_path(source)
    return target.is_file() and source.stat().st_mtime_ns <= target.stat().st_mtime_ns <= time.time_ns()


def _write_json(path: Path, content: object) -> None:
    with atomic(path) as draft:
        draft.write_text(json.dumps(content))
