"""Image panels of a run: every few hundred steps one picture of what the step saw, made and predicted."""

import io
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import lightning as L
import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from PIL import Image
from torch import Tensor

from dsrnss.adaptation.geometry import warp
from dsrnss.adaptation.records import StepRecord, Target
from dsrnss.errors import OutputError, check_range
from dsrnss.labels import CITYSCAPES, LabelSpace
from dsrnss.normalisation import denormalise
from dsrnss.writing import write_atomically

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Pixels = npt.NDArray[np.uint8]
Panels = list[tuple[str, Pixels]]

COLUMNS = 4
PANEL_INCHES, TITLE_INCHES, EDGE_INCHES = 3.4, 0.3, 0.5
LONGEST_SIDE = 512
"""Panels of larger crops are shrunk to this."""


class ImagePanels(L.Callback):
    """Writes `panels/step_000500.png` into the run's folder, and to TensorBoard where it is a logger.

    Draws no random number and changes no tensor of the training: the losses are the same with and without it.

    Args:
        every_n_steps: Optimiser steps between two files; 0 switches them off.
        images: Pictures of the batch that are shown, at most.
    """

    def __init__(self, every_n_steps: int = 500, images: int = 2) -> None:
        check_range("panels.every_n_steps", every_n_steps, 0)
        check_range("panels.images", images, 1)
        self.every_n_steps, self.images = every_n_steps, images
        self._drawn = -1
        self._warned = False

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Draw what the step made when a panel is due; once, where a step accumulates batches."""
        step = trainer.global_step
        record = outputs.get("record") if isinstance(outputs, Mapping) else None
        due = self.every_n_steps and step and step % self.every_n_steps == 0 and step != self._drawn
        if not due or not trainer.is_global_zero or not isinstance(record, StepRecord):
            return
        self._drawn = step
        space = getattr(pl_module, "label_space", CITYSCAPES)
        shown = min(self.images, len(batch["source"]["image"]))
        rows = [panels_of(record, batch, index, space) for index in range(shown)]
        self._write(trainer, draw(rows, space, f"step {step}"))

    def _write(self, trainer: L.Trainer, figure: "Figure") -> None:
        from matplotlib.backends.backend_agg import FigureCanvasAgg

        canvas = FigureCanvasAgg(figure)
        canvas.draw()  # type: ignore[no-untyped-call]
        pixels = np.asarray(canvas.buffer_rgba())[..., :3]  # type: ignore[no-untyped-call]
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "PNG")
        path = panels_folder(trainer) / f"step_{self._drawn:06d}.png"
        try:
            write_atomically(path, buffer.getvalue())
        except OutputError as error:
            if not self._warned:
                warnings.warn(str(error), RuntimeWarning, stacklevel=2)
            self._warned = True
        for logger in trainer.loggers:
            if isinstance(logger, TensorBoardLogger):
                logger.experiment.add_image("panels", pixels, self._drawn, dataformats="HWC")


def panels_folder(trainer: L.Trainer) -> Path:
    """`panels` in the folder of the run, or in the trainer's root where nothing is logged."""
    for logger in trainer.loggers:
        if isinstance(logger, TensorBoardLogger | CSVLogger):
            return Path(logger.log_dir) / "panels"
    return Path(trainer.default_root_dir) / "panels"


@torch.no_grad()
def panels_of(record: StepRecord, batch: Mapping[str, Any], index: int, space: LabelSpace) -> Panels:
    """Titles and (H, W, 3) pictures of one place of a batch; parts that the step did not have are left out.

    Args:
        record: Of the step.
        batch: What it was given.
        index: Number of the picture in the batch.
        space: Names and colours of the classes.
    """
    source, target = batch["source"], batch.get("target", {})
    reference = target.get("reference")
    made, mixed = record.target, record.mixed
    flow, confidence = (None, None) if made is None or made.alignment is None else made.alignment
    warped = None
    if reference is not None and flow is not None:
        warped = warp(reference[index : index + 1].float(), flow[index : index + 1].float())[0]

    def image(title: str, images: Tensor | None, at: int = index) -> Iterator[tuple[str, Pixels]]:
        if images is not None and at < len(images):
            yield title, _picture(images[at])

    def label(title: str, labels: Tensor | None) -> Iterator[tuple[str, Pixels]]:
        if labels is not None and index < len(labels):
            yield title, space.colorize(_shrunk(labels[index][None].float(), "nearest")[0].long().cpu().numpy())

    confidence = None if confidence is None else confidence[:, :1]
    predicted = None if record.prediction is None else record.prediction.argmax(1)
    if predicted is not None and mixed is not None:
        predicted = F.interpolate(predicted[:, None].float(), mixed.labels.shape[-2:], mode="nearest")[:, 0]
    return [
        *image(f"source: {_name(source, index)}", source["image"]),
        *label("source label", source["label"]),
        *image(f"target: {_name(target, index)}", target.get("image")),
        *label("target label (never learnt from)", target.get("label")),
        *image("day reference", reference),
        *image("reference, warped to the target", warped, 0),
        *((title, _grey(pixels)) for title, pixels in _at("confidence of the alignment", confidence, index)),
        *label("pseudo-label, before refinement", None if made is None else made.unrefined),
        *(() if made is None else label(_pseudo_title(made), made.pseudo.labels)),
        *image("mixed image", None if mixed is None else mixed.images),
        *label("mixed label", None if mixed is None else mixed.labels),
        *label("student on the mixed image", predicted),
    ]


def _pseudo_title(made: Target) -> str:
    if made.unrefined is not None:
        return "pseudo-label, refined"
    return "pseudo-label, of the day reference" if made.is_reference else "pseudo-label, not refined"


def _at(title: str, values: Tensor | None, index: int) -> Iterator[tuple[str, Tensor]]:
    if values is not None and index < len(values):
        yield title, values[index]


def _name(sample: Mapping[str, Any], index: int) -> str:
    names = sample.get("name", [])
    name = Path(str(names[index])).name if index < len(names) else ""
    return name if len(name) <= 28 else f"...{name[-25:]}"


def _shrunk(planes: Tensor, mode: str) -> Tensor:
    """(C, H, W) at its size, or with its longest side shrunk to `LONGEST_SIDE`."""
    height, width = planes.shape[-2:]
    factor = LONGEST_SIDE / max(height, width)
    if factor >= 1:
        return planes
    size = (round(height * factor), round(width * factor))
    return F.interpolate(planes[None], size, mode=mode)[0]


def _picture(image: Tensor) -> Pixels:
    """The pixels of a normalised (3, H, W) image."""
    small = _shrunk(image.float(), "area").cpu()
    pixels: Pixels = (denormalise(small).nan_to_num().clamp(0, 1) * 255).byte().permute(1, 2, 0).numpy()
    return pixels


def _grey(plane: Tensor) -> Pixels:
    """(1, H, W) of 0 to 1 as grey pixels."""
    pixels: Pixels = (_shrunk(plane.float(), "area").nan_to_num().clamp(0, 1) * 255).byte().cpu().numpy()
    return np.repeat(pixels[0][..., None], 3, axis=2)


def draw(rows: list[Panels], space: LabelSpace, title: str) -> "Figure":
    """Draw the panels of some pictures below each other, with the colours of the classes below them.

    Args:
        rows: The panels of each picture.
        space: Names and colours of the classes.
        title: Of the whole.
    """
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    lines = [row[start : start + COLUMNS] for row in rows for start in range(0, len(row), COLUMNS)]
    height, width = rows[0][0][1].shape[:2]
    tall = PANEL_INCHES * height / width + TITLE_INCHES
    size = (PANEL_INCHES * COLUMNS, tall * len(lines) + 2 * EDGE_INCHES)
    figure = Figure(figsize=size, dpi=100)
    # placed by hand: matplotlib's own layout takes longer than all the drawing
    panel = ((PANEL_INCHES - 0.06) / size[0], (tall - TITLE_INCHES) / size[1])
    for down, line in enumerate(lines):
        for right, (name, pixels) in enumerate(line):
            left = (PANEL_INCHES * right + 0.03) / size[0]
            axis = figure.add_axes((left, (EDGE_INCHES + tall * (len(lines) - 1 - down)) / size[1], *panel))
            axis.imshow(pixels, interpolation="nearest")
            axis.set_title(name, fontsize=9, pad=4)
            axis.set_axis_off()
    figure.text(0.5, 1 - EDGE_INCHES / 2 / size[1], title, fontsize=11, ha="center", va="center")
    colours = [f"#{red:02x}{green:02x}{blue:02x}" for red, green, blue in space.palette]
    handles = [Patch(color=colour, label=name) for name, colour in zip(space.names, colours, strict=True)]
    figure.legend(handles=handles, loc="lower center", ncols=10, fontsize=8, frameon=False)
    return figure
