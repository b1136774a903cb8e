"""What a run asks of the data module that it is trained and measured with."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import lightning as L
import numpy as np
import numpy.typing as npt


@runtime_checkable
class TrainingData(Protocol):
    """A data module that knows its sets; `AdaptationDataModule` is one, plain loaders do without."""

    def source_size(self) -> tuple[int, int]:
        """(height, width) of the source pictures before cropping."""

    def source_counts(self) -> npt.NDArray[np.int64]:
        """(C,) pixels of each class in the source set."""

    def source_places(self, grid: tuple[int, int]) -> npt.NDArray[np.int64]:
        """(C, rows, columns) pixels of each class in each cell of a (rows, columns) grid over the source pictures."""

    def set_names(self, stage: str) -> Sequence[str]:
        """Names of the sets of `val`, `test` or `predict`, in the order of their loaders."""


def training_data(trainer: L.Trainer) -> TrainingData | None:
    """The data module of a run, if it is one that knows its sets."""
    data = getattr(trainer, "datamodule", None)
    return data if isinstance(data, TrainingData) else None


def set_names(trainer: L.Trainer, stage: str, loaders: int) -> list[str]:
    """Names of the sets that a stage measures; numbers where nobody knows better.

    Args:
        trainer: Of the run.
        stage: `val`, `test` or `predict`.
        loaders: How many loaders there are.
    """
    data = training_data(trainer)
    return [str(number) for number in range(loaders)] if data is None else list(data.set_names(stage))
