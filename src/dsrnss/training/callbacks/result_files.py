"""What `dsrnss test` leaves behind: JSON, CSV and two pictures for each set that was measured."""

import csv
import io
import json
import logging
import math
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from rich.console import Console

from dsrnss.errors import OutputError
from dsrnss.labels import CITYSCAPES, LabelSpace
from dsrnss.metrics import Scores
from dsrnss.paths import expanded
from dsrnss.reporting.result_plots import draw_bars, draw_confusion
from dsrnss.reporting.tables import print_scores
from dsrnss.writing import atomic, prepare_folder

_log = logging.getLogger(__name__)

_MORE_ROWS = {"mean, classes that occur": "mIoU_present", "UIoU": "UIoU"}


class ResultFiles(Callback):
    """Writes the results of a test into the folder `<checkpoint>_test` beside the checkpoint.

    Args:
        fallback: Where to, when no checkpoint file is tested or nothing can be written beside it.

    Attributes:
        folder: Where the results of the last test are; None before it.
        failure: Why they could not be written; the scores are told all the same.
    """

    def __init__(self, fallback: Path) -> None:
        self.fallback = fallback
        self.folder: Path | None = None
        self.failure: OutputError | None = None
        self._place: Path | None = None

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """See where something can be written, before hours are spent.

        Raises:
            OutputError: If it is nowhere.
        """
        if trainer.is_global_zero:
            checkpoint = None if trainer.ckpt_path is None else str(trainer.ckpt_path)
            self._place = writable_folder(results_folder(checkpoint, self.fallback), self.fallback)

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the module's `results`: the scores of each set by its name."""
        results: Mapping[str, Scores] = getattr(pl_module, "results", {})
        if not results or not trainer.is_global_zero:
            return
        checkpoint = None if trainer.ckpt_path is None else str(trainer.ckpt_path)
        space: LabelSpace = getattr(pl_module, "label_space", CITYSCAPES)
        about = {
            "checkpoint": checkpoint,
            "created": datetime.now().astimezone().isoformat(timespec="seconds"),
            "step": trainer.global_step,
        }
        folder = self._place or results_folder(checkpoint, self.fallback)
        try:
            for name, scores in results.items():
                write_results(folder, name, scores, space, about)
            self.folder = folder
        except OutputError as error:
            self.failure = error


def writable_folder(folder: Path, fallback: Path) -> Path:
    """A folder if it can be written to, else the other one; one that was made to try it is removed again.

    Raises:
        OutputError: If neither can.
    """
    existed = folder.exists()
    try:
        prepare_folder(folder)
    except OutputError as error:
        if folder == fallback:
            raise
        _log.info("%s The results go to '%s'.", error, fallback)
        return writable_folder(fallback, fallback)
    if not existed:
        folder.rmdir()
    return folder


def results_folder(checkpoint: str | None, fallback: Path) -> Path:
    """Where the results of a checkpoint belong: beside it, if it is a file of this machine."""
    if checkpoint is None or "://" in checkpoint:
        return fallback
    path = Path(checkpoint)
    return path.with_name(f"{path.stem}_test")


def write_results(
    folder: Path, name: str, scores: Scores, space: LabelSpace, about: Mapping[str, Any] | None = None
) -> list[Path]:
    """Write the scores of a set as `NAME.json`, `NAME.csv`, `NAME_iou.png` and `NAME_confusion.png`.

    Args:
        folder: Where to.
        name: Name of the set.
        scores: What was measured, shares from 0 to 1.
        space: Names and colours of the classes.
        about: Further facts for the JSON file.

    Returns:
        The files.

    Raises:
        OutputError: If one cannot be written.
    """
    stem = name.replace("/", "_")
    files = [expanded(folder) / f"{stem}{ending}" for ending in (".json", ".csv", "_iou.png", "_confusion.png")]
    content = {"set": name, **(about or {}), **as_json(scores, space)}
    with atomic(files[0]) as draft:
        draft.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    with atomic(files[1]) as draft:
        draft.write_text(as_csv(scores, space), encoding="utf-8")
    draw_bars(files[2], name, scores, space)
    draw_confusion(files[3], name, scores, space)
    return files


def as_json(scores: Scores, space: LabelSpace) -> dict[str, Any]:
    """Means, IoU of each class (null: neither in the truth nor predicted) and the confusion matrix, truth x prediction.

    Args:
        scores: What was measured.
        space: Names of the classes.
    """

    def by_class(values: Any) -> dict[str, float | None]:
        return {name: _number(value) for name, value in zip(space.names, values, strict=True)}

    uncertain = {} if scores.uiou is None else {"UIoU_per_class": by_class(scores.uiou)}
    return {
        "scores": {name: _number(value) for name, value in scores.summary().items()},
        "IoU": by_class(scores.iou),
        **uncertain,
        "classes": list(space.names),
        "confusion": scores.confusion.tolist(),
    }


def as_csv(scores: Scores, space: LabelSpace) -> str:
    """A row for each class (id, name, IoU, pixels in the truth, pixels predicted), then one for each mean."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["id", "class", "IoU", "truth_pixels", "predicted_pixels"])
    truth, predicted = scores.confusion.sum(1), scores.confusion.sum(0)
    for index, name in enumerate(space.names):
        table.writerow([index, name, _cell(scores.iou[index]), truth[index], predicted[index]])
    for name, value in scores.summary().items():
        table.writerow(["", name, _cell(value), "", ""])
    return text.getvalue()


def print_results(console: Console, results: Mapping[str, Scores], space: LabelSpace) -> None:
    """Print the IoU of every class and all means, a column for each set.

    Args:
        console: Where to print.
        results: Name of a set -> its scores.
        space: The classes.
    """
    summaries = {name: scores.summary() for name, scores in results.items()}
    more = {
        title: {name: summary.get(key, math.nan) for name, summary in summaries.items()}
        for title, key in _MORE_ROWS.items()
        if any(key in summary for summary in summaries.values())
    }
    print_scores(console, results, space, more)


def _number(value: Any) -> float | None:
    return None if math.isnan(value) else float(value)


def _cell(value: Any) -> str:
    return "" if math.isnan(value) else f"{float(value):.6f}"
