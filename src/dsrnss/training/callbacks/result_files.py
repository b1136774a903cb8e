"""What `dsrnss test` leaves behind: JSON, CSV and pictures for each set that was measured, and a page of all."""

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

from dsrnss.data.datamodule import AdaptationDataModule
from dsrnss.detail import Detail
from dsrnss.errors import OutputError, RunError
from dsrnss.labels import CITYSCAPES, LabelSpace
from dsrnss.metrics import Scores
from dsrnss.paths import expanded
from dsrnss.reporting.content import Panel
from dsrnss.reporting.findings import extremes
from dsrnss.reporting.numbers import as_json
from dsrnss.reporting.result_plots import draw_bars, draw_confusion
from dsrnss.reporting.runs import read_run
from dsrnss.reporting.runs_page import write_runs_page
from dsrnss.reporting.scenes import write_scene
from dsrnss.reporting.tables import print_scores
from dsrnss.training.evaluation import predict
from dsrnss.writing import atomic, prepare_folder

PAGE = "report.html"
EXTREMES = 3
"""Worst pictures of a set that are kept, and best ones."""
_log = logging.getLogger(__name__)

_MORE_ROWS = {"mean, classes that occur": "mIoU_present", "UIoU": "UIoU"}


class ResultFiles(Callback):
    """Writes the results of a test into the folder `<checkpoint>_test` beside the checkpoint.

    Args:
        fallback: Where to, when no checkpoint file is tested or nothing can be written beside it.

    Attributes:
        folder: Where the results of the last test are; None before it.
        page: The page of the run and its results.
        failure: Why they could not be written; the scores are told all the same.
    """

    def __init__(self, fallback: Path) -> None:
        self.fallback = fallback
        self.folder: Path | None = None
        self.page: Path | None = None
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
            for number, (name, scores) in enumerate(results.items()):
                scenes = _scenes(trainer, pl_module, folder, name, scores)
                write_results(folder, name, scores, space, {**about, "number": number, "scenes": scenes})
            self.page = write_page_of_test(folder)
            self.folder = folder
        except OutputError as error:
            self.failure = error


def _scenes(
    trainer: Trainer, pl_module: LightningModule, folder: Path, name: str, scores: Scores
) -> list[dict[str, Any]]:
    """Store the worst and best pictures of a set, where it is known which those are."""
    data, network = getattr(trainer, "datamodule", None), getattr(pl_module, "predictor", None)
    if scores.detail is None or network is None or not isinstance(data, AdaptationDataModule):
        return []
    dataset, space = data.test[name], data.source.label_space
    ranked = extremes(scores, EXTREMES)
    labels = predict(network, dataset, [one.index for _, one in ranked], pl_module.device)
    found = []
    for (rank, one), prediction in zip(ranked, labels, strict=True):
        sample = dataset[one.index]
        image = sample["image"].permute(1, 2, 0).numpy()
        panel = Panel(one.name, image, sample["label"].numpy(), {"Prediction": prediction})
        found.append(write_scene(folder, f"{_stem(name)}_scenes", panel, rank, one.mean_iou, space))
    return found


def write_page_of_test(folder: Path) -> Path:
    """Write `report.html` into a folder of results: of the run whose checkpoint was tested, if it is beside it.

    Raises:
        OutputError: If it cannot be written.
    """
    page = folder / PAGE
    try:
        run = read_run(folder.parents[1], folder)
        write_runs_page([run if run.curves else read_run(folder)], page)
    except RunError as error:  # the logs of another version, say; the results are sound
        _log.warning("the page shows the results alone: %s", error)
        write_runs_page([read_run(folder)], page)
    return page


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
    """Write the scores of a set as `NAME.json`, `NAME.csv`, `NAME_iou.png`, `NAME_confusion.png`.

    Where each picture was counted by itself, `NAME_images.csv` comes on top.

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
    stem = _stem(name)
    files = [expanded(folder) / f"{stem}{ending}" for ending in (".json", ".csv", "_iou.png", "_confusion.png")]
    content = {"set": name, **(about or {}), **as_json(scores, space)}
    with atomic(files[0]) as draft:
        draft.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    with atomic(files[1]) as draft:
        draft.write_text(as_csv(scores, space), encoding="utf-8")
    draw_bars(files[2], name, scores, space)
    draw_confusion(files[3], name, scores, space)
    if scores.detail is not None:
        files.append(expanded(folder) / f"{stem}_images.csv")
        with atomic(files[-1]) as draft:
            draft.write_text(_images_csv(scores.detail), encoding="utf-8")
    return files


def _stem(name: str) -> str:
    """The beginning of the names of the files of a set."""
    return name.replace("/", "_")


def _images_csv(detail: Detail) -> str:
    """A row for each picture, in the order of the set."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["name", "brightness", "mIoU", "pixel_accuracy"])
    for one in detail.images:
        table.writerow([one.name, f"{one.brightness:.2f}", _cell(one.mean_iou), _cell(one.accuracy)])
    return text.getvalue()


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


def _cell(value: Any) -> str:
    return "" if math.isnan(value) else f"{float(value):.6f}"
