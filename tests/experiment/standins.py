"""A task and a data module as small as they can be, with the options that the command line is tested on."""

from dataclasses import dataclass
from typing import Any, Literal

import torch
from lightning.pytorch import LightningDataModule, LightningModule
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from dsrnss.errors import DatasetNotFoundError
from dsrnss.labels import CITYSCAPES, LabelSpace


@dataclass(frozen=True)
class Schedule:
    warmup: int = 10
    max_steps: int = 100


@dataclass(frozen=True)
class Optimizer:
    lr: float = 1e-2


class Task(LightningModule):
    def __init__(
        self,
        optimizer: Optimizer = Optimizer(),
        schedule: Schedule = Schedule(),
        label_space: LabelSpace = CITYSCAPES,
        evaluate: Literal["student", "teacher"] = "student",
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.net = nn.Linear(4, 1)
        self.optimizer, self.schedule, self.label_space, self.seed = optimizer, schedule, label_space, seed

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        loss = self.net(batch).pow(2).mean()
        self.log("loss", loss)
        return loss

    def validation_step(self, batch: Tensor, batch_idx: int, dataloader_idx: int = 0) -> None:
        self.log("val/loss", self.net(batch).pow(2).mean(), add_dataloader_idx=False)

    test_step = validation_step

    def predict_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> Tensor:
        return batch["image"].byte()

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=self.optimizer.lr)


class Numbers(Dataset[Tensor]):
    label_space = CITYSCAPES

    def __init__(self, split: str = "train", length: int = 16, size: tuple[int, int] = (4, 4), missing: bool = False):
        self.length, self.missing = length, missing

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Tensor:
        return torch.full((4,), float(index % 7))


class Data(LightningDataModule):
    def __init__(self, source: Numbers, val: dict[str, Numbers] | None = None, crop_size: int = 8, seed: int = 0):
        super().__init__()
        self.source, self.val, self.seed = source, val or {}, seed
        self.predict = {"night": None}

    def setup(self, stage: str) -> None:
        if self.source.missing:
            raise DatasetNotFoundError("Data set Numbers not found.")

    def source_size(self) -> tuple[int, int]:
        return 4, 4

    def source_counts(self) -> Any:
        return torch.ones(19).numpy()

    def source_places(self, grid: tuple[int, int]) -> Any:
        return torch.ones(19, *grid).numpy()

    def set_names(self, stage: str) -> list[str]:
        return list(getattr(self, stage))

    def train_dataloader(self) -> Any:
        return DataLoader(self.source, batch_size=4)

    def val_dataloader(self) -> Any:
        return [DataLoader(dataset) for dataset in self.val.values()]

    test_dataloader = val_dataloader

    def predict_dataloader(self) -> Any:
        return [DataLoader([{"name": f"city/{n}", "image": torch.full((3, 5), n)} for n in range(2)])]
