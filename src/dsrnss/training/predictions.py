"""What `dsrnss predict` writes: one PNG of train ids for each picture."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import BasePredictionWriter
from PIL import Image
from torch import Tensor

from dsrnss.data.writing import atomic


class PredictionWriter(BasePredictionWriter):
    """Writes `FOLDER/SET/NAME_labelTrainIds.png` while predicting, so that nothing piles up in memory.

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
        prediction: Tensor,
        batch_indices: Sequence[int] | None,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int,
    ) -> None:
        """Write a batch: (B, H, W) train ids, named by the batch's `name`."""
        sets = list(getattr(trainer.datamodule, "predict", {}))  # type: ignore[attr-defined]
        folder = self.folder / sets[dataloader_idx] if sets else self.folder
        for name, labels in zip(batch["name"], prediction.cpu().numpy(), strict=True):
            path = folder / f"{name}_labelTrainIds.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            with atomic(path) as draft:
                Image.fromarray(labels).save(draft, "PNG")
            self.written += 1
