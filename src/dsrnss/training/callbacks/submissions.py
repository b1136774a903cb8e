"""`dsrnss predict --submission`: the archive for a test server, written while predicting and checked at its end."""

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from torch import Tensor

from dsrnss.data.base import SegmentationDataset
from dsrnss.data.files import FileDataset
from dsrnss.data.originals import unwrapped
from dsrnss.data.sets import known_sets
from dsrnss.data.submission.archive import Add, benchmark, submission_archive
from dsrnss.data.submission.validation import validate_submission
from dsrnss.errors import ConfigError, DataError
from dsrnss.labels import CITYSCAPES
from dsrnss.paths import expanded
from dsrnss.training.predictions import Prediction, each_prediction


class SubmissionWriter(Callback):
    """Writes the predictions for a benchmark's test pictures into the archive that its server takes.

    Args:
        path: The zip file.
        kind: Name of the data set on the command line, such as `darkzurich`.
        threshold: Pixels of lower confidence are declared invalid (Dark Zurich).

    Attributes:
        pictures: Number of pictures in the written archive.
        faults: What the check found in it.

    Raises:
        ConfigError: If there is no such benchmark.
    """

    def __init__(self, path: Path, kind: str, threshold: float = 0.5) -> None:
        self.path = expanded(path)
        self.benchmark = benchmark(kind)
        self.dataset = known_sets()[kind]
        self.threshold = threshold
        self.pictures = 0
        self.faults: tuple[str, ...] = ()
        self._sets: list[SegmentationDataset | None] = []
        self._add: Add | None = None
        self._open = contextlib.ExitStack()

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Find the test set and begin the archive.

        Raises:
            ConfigError: If no set of the experiment is the benchmark's test set, the classes are others, or several
                devices would write one file.
        """
        if trainer.world_size > 1:
            raise ConfigError("A submission is one file: predict with trainer.devices: 1.")
        if getattr(pl_module, "label_space", CITYSCAPES).names != CITYSCAPES.names:
            raise ConfigError(f"{self.benchmark.title} has the 19 classes of Cityscapes; this network has others.")
        sets: dict[str, SegmentationDataset] = trainer.datamodule.predict  # type: ignore[attr-defined]
        self._sets = [dataset if self._is_test_set(dataset) else None for dataset in sets.values()]
        if all(dataset is None for dataset in self._sets):
            raise ConfigError(
                f"A submission to {self.benchmark.title} wants the split 'test' of {self.dataset.__name__} under "
                f"data.predict; there is {', '.join(f'{k} ({type(v).__name__} {v.split})' for k, v in sets.items())}."
            )
        self._add = self._open.enter_context(submission_archive(self.path, self.benchmark, self.threshold))

    def on_predict_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Sequence[Prediction] | Tensor,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Add the pictures of a batch."""
        if self._add is not None and self._sets[dataloader_idx] is not None:
            for one in each_prediction(outputs, batch["name"]):
                # the servers know no folders inside theirs
                self._add(one.name.rpartition("/")[2], one.labels, one.confidence)

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Finish the archive and check it."""
        self._open.close()
        found = validate_submission(self.path, self.dataset.key, self._names(), complete=True)
        self.pictures, self.faults = found.pictures, found.faults

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Leave nothing half-written behind."""
        with contextlib.suppress(BaseException):
            self._open.__exit__(type(exception), exception, exception.__traceback__)

    def _is_test_set(self, dataset: SegmentationDataset) -> bool:
        inner = unwrapped(dataset)
        return isinstance(inner, self.dataset) and inner.split == "test"

    def _names(self) -> set[str]:
        """Names of all pictures that the sets hold."""
        found: set[str] = set()
        for dataset in self._sets:
            inner = None if dataset is None else unwrapped(dataset)
            if inner is not None and not isinstance(inner, FileDataset):
                raise DataError(f"{type(inner).__name__} has no list of pictures to check the submission against.")
            found |= {entry.name for entry in inner.entries} if inner is not None else set()
        return found
