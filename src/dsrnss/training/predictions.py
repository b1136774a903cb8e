"""What `dsrnss predict` writes: train ids and colours of every picture, at its size on disk."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch.nn.functional as F
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import BasePredictionWriter
from PIL import Image
from torch import Tensor

from dsrnss.labels import CITYSCAPES, LabelSpace
from dsrnss.training.evaluation import Network
from dsrnss.writing import atomic

LABELS, COLOURS = "labelTrainIds", "labelColor"


class Prediction(NamedTuple):
    """The labels of one picture.

    Attributes:
        name: Of the sample.
        labels: (H, W) uint8 train ids.
        confidence: (H, W) float32 probability of the label, 0 to 1.
    """

    name: str
    labels: npt.NDArray[np.uint8]
    confidence: npt.NDArray[np.float32]


def predict_batch(network: Network, batch: Mapping[str, Any]) -> list[Prediction]:
    """Label the pictures of a batch, each at its size on disk.

    Args:
        network: In eval mode.
        batch: `image` (B, 3, H, W) normalised RGB, `name`, and `size` (B, 2), height and width on disk.
    """
    logits = network.predict(batch["image"])
    sizes = batch["size"].tolist() if "size" in batch else [logits.shape[-2:]] * len(logits)
    predictions = []
    # one by one: 19 logits of a picture at full size take 160 MB
    for name, small, (height, width) in zip(batch["name"], logits.split(1), sizes, strict=True):
        if small.shape[-2:] != (height, width):
            small = F.interpolate(small, (height, width), mode="bilinear", align_corners=False)
        best, labels = small[0].max(0)
        confidence = (best - small[0].logsumexp(0)).exp()
        predictions.append(Prediction(name, labels.byte().cpu().numpy(), confidence.float().cpu().numpy()))
    return predictions


def each_prediction(prediction: Sequence[Prediction] | Tensor, names: Sequence[str]) -> Iterator[Prediction]:
    """The pictures of what a `predict_step` returned: predictions, or bare (B, H, W) train ids with confidence 1."""
    if not isinstance(prediction, Tensor):
        yield from prediction
        return
    for name, labels in zip(names, prediction.byte().cpu().numpy(), strict=True):
        yield Prediction(name, labels, np.ones(labels.shape, np.float32))


class PredictionWriter(BasePredictionWriter):
    """Writes `FOLDER/SET/labelTrainIds/NAME.png` and `.../labelColor/NAME.png` while predicting.

    The names are those of the pictures, as the benchmarks' servers want them. Nothing piles up in memory.

    Args:
        folder: Where to write.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__("batch")
        self.folder = folder
        self.written: int = 0

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
        sets = list(getattr(trainer.datamodule, "predict", {}))  # type: ignore[attr-defined]
        folder = self.folder / sets[dataloader_idx] if sets else self.folder
        for one in each_prediction(prediction, batch["name"]):
            self._write(one, folder, space)
            self.written += 1

    def _write(self, one: Prediction, folder: Path, space: LabelSpace) -> None:
        for kind, pixels in ((LABELS, one.labels), (COLOURS, space.colorize(one.labels))):
            with atomic(folder / kind / f"{one.name}.png") as draft:
                Image.fromarray(pixels).save(draft, "PNG", compress_level=3)
