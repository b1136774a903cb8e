"""A small task, a few batches of noise that stay the same, and a trainer over them."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch

from dsrnss.adaptation.alignment import GivenAligner
from dsrnss.adaptation.feature_distance import FeatureDistanceConfig
from dsrnss.adaptation.mixing import MixingConfig
from dsrnss.adaptation.prototypes import PrototypeConfig
from dsrnss.data import AdaptationDataModule, SynthNight
from dsrnss.models.config import NetworkConfig
from dsrnss.training.schedule import OptimizerConfig, ScheduleConfig
from dsrnss.training.task import AdaptationTask

Batch = dict[str, dict[str, Any]]
SIZE = (32, 64)


def make_task(**options: Any) -> AdaptationTask:
    """All parts but feature distance and prototypes, which tests switch on where they need them."""
    torch.manual_seed(0)
    defaults: dict[str, Any] = {
        "mixing": MixingConfig(threshold=0.1),
        "schedule": ScheduleConfig(warmup_steps=0, max_steps=100),
        "optimizer": OptimizerConfig(lr=1e-3),
        "feature_distance": FeatureDistanceConfig(weight=0),
        "prototypes": PrototypeConfig(enabled=False),
        "aligner": GivenAligner(),
        "seed": 0,
    }
    return AdaptationTask(NetworkConfig("compact", "fpn", 8, drop_path=0, dropout=0), **(defaults | options))


def make_batches(number: int, *, target: bool = True) -> list[Batch]:
    """Batches whose pictures are called a0, b0, c0, d0, a1, ..."""
    rng = torch.Generator().manual_seed(1)

    def labels() -> torch.Tensor:
        return torch.randint(0, 19, (2, 4, 8), generator=rng).repeat_interleave(8, 1).repeat_interleave(8, 2)

    def images() -> torch.Tensor:
        return torch.randn(2, 3, *SIZE, generator=rng)

    batches: list[Batch] = []
    for n in range(number):
        batch: Batch = {"source": {"image": images(), "label": labels(), "name": [f"a{n}", f"b{n}"]}}
        if target:
            more = {"image": images(), "reference": images(), "label": labels(), "name": [f"c{n}", f"d{n}"]}
            more |= {"flow": torch.randn(2, 2, *SIZE, generator=rng)}
            batch["target"] = more | {"confidence": torch.rand(2, 1, *SIZE, generator=rng)}
        batches.append(batch)
    return batches


class Given(AdaptationDataModule):
    """Gives the batches in their order."""

    def __init__(self, batches: Sequence[Batch]) -> None:
        super().__init__(SynthNight("source", length=2, size=(64, 128)))
        self.batches = batches

    def setup(self, stage: str) -> None:
        pass

    def train_dataloader(self) -> Any:
        return torch.utils.data.DataLoader(self.batches, batch_size=None)  # type: ignore[arg-type]


@pytest.fixture
def task() -> Callable[..., AdaptationTask]:
    return make_task


@pytest.fixture
def batches() -> Callable[..., list[Batch]]:
    return make_batches


@pytest.fixture
def fit(tmp_path: Path) -> Callable[..., L.Trainer]:
    """Trains a task on batches, once each."""

    def run(model: AdaptationTask, given: Sequence[Batch], *callbacks: L.Callback, **options: Any) -> L.Trainer:
        settings: dict[str, Any] = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
        settings |= {"max_epochs": 1, "accelerator": "cpu", "default_root_dir": tmp_path}
        settings["enable_checkpointing"] = any(isinstance(c, L.pytorch.callbacks.ModelCheckpoint) for c in callbacks)
        trainer = L.Trainer(callbacks=list(callbacks), **(settings | options))
        trainer.fit(model, datamodule=Given(given))
        return trainer

    return run
