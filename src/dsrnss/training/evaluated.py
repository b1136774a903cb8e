"""Validation, test and prediction with the student or its teacher."""

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import lightning as L
from torch import Tensor

from dsrnss.adaptation.teacher import EMATeacher
from dsrnss.labels import LabelSpace
from dsrnss.metrics import ConfusionMatrix, Scores, scores
from dsrnss.models.segmentor import Segmentor
from dsrnss.training.config import InferenceConfig
from dsrnss.training.evaluation import count_batch
from dsrnss.training.predictions import Prediction, predict_batch


class Predictor(NamedTuple):
    """A network and how pictures pass it."""

    network: Segmentor
    inference: InferenceConfig

    def predict(self, images: Tensor) -> Tensor:
        """Logits of images: (B, 3, H, W) -> (B, C, H, W)."""
        return self.inference.predict(self.network, images)


class EvaluatedModule(L.LightningModule):
    """What a task needs to be validated, tested and to predict.

    Attributes:
        results: The scores of each set that was measured last.
    """

    student: Segmentor
    teacher: EMATeacher
    evaluate: Literal["student", "teacher"]
    label_space: LabelSpace
    inference: InferenceConfig

    def __init__(self) -> None:
        super().__init__()
        self._initial_weights: tuple[str, str] | None = None
        self.confusion: list[ConfusionMatrix] = []
        self.results: dict[str, Scores] = {}

    def read_initial_weights(self) -> None:
        """Read the weights that a run begins with; nothing here."""

    @property
    def evaluated(self) -> Segmentor:
        """The network that is validated and tested."""
        return self.student if self.evaluate == "student" else self.teacher.network

    def _prepare_evaluated(self) -> None:
        """Make the network ready: its weights, eval mode, and a teacher's batch-norm statistics."""
        self.read_initial_weights()
        self.evaluated.eval()
        if self.evaluate == "teacher":
            self.teacher.adopt_statistics(self.student)

    def _start_evaluation(self, stage: str) -> None:
        self._prepare_evaluated()
        names = self._names(stage)
        self.confusion = [ConfusionMatrix(self.label_space.num_classes).to(self.device) for _ in names]

    def _evaluate(self, batch: dict[str, Any], dataloader_idx: int) -> None:
        count_batch(Predictor(self.evaluated, self.inference), batch, self.confusion[dataloader_idx])

    def _end_evaluation(self, stage: str) -> None:
        for name, confusion in zip(self._names(stage), self.confusion, strict=True):
            self.results[name] = scores(confusion.compute().cpu().numpy(), self.label_space)
            means = {f"{stage}/{name}/{metric}": value for metric, value in self.results[name].summary().items()}
            self.log_dict(means, add_dataloader_idx=False)
        self.teacher.train(self.training)

    def _names(self, stage: str) -> Sequence[str]:
        return list(getattr(self.trainer.datamodule, stage))  # type: ignore[attr-defined]

    def on_validation_epoch_start(self) -> None:
        """Begin with empty confusion matrices."""
        self._start_evaluation("val")

    def validation_step(self, batch: dict[str, Any], batch_idx: int, dataloader_idx: int = 0) -> None:
        """Count a batch."""
        self._evaluate(batch, dataloader_idx)

    def on_validation_epoch_end(self) -> None:
        """Log the means of each set."""
        self._end_evaluation("val")

    def on_test_epoch_start(self) -> None:
        """Begin with empty confusion matrices."""
        self._start_evaluation("test")

    def test_step(self, batch: dict[str, Any], batch_idx: int, dataloader_idx: int = 0) -> None:
        """Count a batch."""
        self._evaluate(batch, dataloader_idx)

    def on_test_epoch_end(self) -> None:
        """Log the means of each set."""
        self._end_evaluation("test")

    def on_predict_start(self) -> None:
        """Read the initial weights, if no checkpoint brought any; predict with what `test` measures."""
        self._prepare_evaluated()

    def predict_step(self, batch: dict[str, Any], batch_idx: int, dataloader_idx: int = 0) -> list[Prediction]:
        """Labels and confidences of a batch, each picture at its size on disk."""
        return predict_batch(Predictor(self.evaluated, self.inference), batch)
