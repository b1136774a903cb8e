"""What `dsrnss predict` writes: train ids and colours of every picture, at its size on disk."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import BasePredictionWriter
from PIL import Image
from torch import Tensor

from dsrnss.collectives import everyones
from dsrnss.labels import CITYSCAPES, LabelSpace
from dsrnss.training.predictions import Prediction, each_prediction
from dsrnss.training.protocol import training_data
from dsrnss.writing import atomic, prepare_folder

LABELS, COLOURS = "labelTrainIds", "labelColor"


class PredictionWriter(BasePredictionWriter):
    """Writes `FOLDER/SET/labelTrainIds/NAME.png` and `.../labelColor/NAME.png` while predicting.

    The names are those of the pictures, as the benchmarks' servers want them. Nothing piles up in memory.

    Args:
        folder: Where to write.

    Attributes:
        written: Pictures of which it has written files.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__("batch")
        self.folder = folder
        self.written: int = 0

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """See that something can be written, before hours are spent.

        Raises:
            OutputError: If not.
        """
        prepare_folder(self.folder)

    def write_on_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        prediction: Sequence[Prediction] | Tensor,
        batch_indices: Sequence[int] | None,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int,
    ) -> None:
        """Write what a `predict_step` returned for a batch."""
        space = getattr(pl_module, "label_space", CITYSCAPES)
        data = training_data(trainer)
        folder = self.folder if data is None else self.folder / data.set_names("predict")[dataloader_idx]
        for one in each_prediction(prediction, batch["name"]):
            self._write(one, folder, space)
            self.written += 1

    def count_all(self) -> None:
        """Count what the other processes have written; all call it together, also one that had no picture."""
        self.written = sum(everyones(self.written))

    def _write(self, one: Prediction, folder: Path, space: LabelSpace) -> None:
        for kind, pixels in ((LABELS, one.labels), (COLOURS, space.colorize(one.labels))):
            with atomic(folder / kind / f"{one.name}.png") as draft:
                Image.fromarray(pixels).save(draft, "PNG", compress_level=3)
