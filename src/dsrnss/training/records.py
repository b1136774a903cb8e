"""What is watched of a training step beside its losses: the pseudo-labels' accuracy, and pictures if somebody asks."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import lightning as L
from torch import Tensor

from dsrnss.labels import LabelSpace
from dsrnss.metrics import pixel_accuracy
from dsrnss.training.pseudo_accuracy import PseudoAccuracy


@dataclass
class StepRecord:
    """The pictures inside one training step; a part that the step did not have stays None.

    Attributes:
        target: (B, 3, H, W) the images adapted to; the day references where `adapt_to_reference` drew them.
        flow: (B, 2, H, W) from the night images to their references, pixels, x first.
        confidence: (B, 1, H, W) of that flow.
        teacher: (B, H, W) pseudo-labels before the refinement.
        pseudo: (B, H, W) pseudo-labels as they are used.
        mixed_images: (B, 3, H, W) mixed images.
        mixed_labels: (B, H, W) their labels.
        prediction: (B, C, h, w) the student's logits of the mixed images.
    """

    target: Tensor | None = None
    flow: Tensor | None = None
    confidence: Tensor | None = None
    teacher: Tensor | None = None
    pseudo: Tensor | None = None
    mixed_images: Tensor | None = None
    mixed_labels: Tensor | None = None
    prediction: Tensor | None = None


class WatchedModule(L.LightningModule):
    """A task whose training steps fill `record` if one is there; without one, keeping costs nothing.

    Attributes:
        record: Put there by a callback before a step, and taken away by it after.
    """

    label_space: LabelSpace
    pseudo_accuracy: PseudoAccuracy
    record: StepRecord | None = None

    def keep(self, **parts: Tensor | None) -> None:
        """Keep parts of the step, by their names in `StepRecord`."""
        if self.record is not None:
            for name, value in parts.items():
                setattr(self.record, name, None if value is None else value.detach())

    def log_accuracy(self, stage: str, labels: Tensor, target: Mapping[str, Any]) -> None:
        """Measure (B, H, W) pseudo-labels, where the truth is known, before (`teacher`) or after being `refined`."""
        if "label" in target:
            self.log(f"pseudo/accuracy_{stage}", pixel_accuracy(labels, target["label"]))
            self.pseudo_accuracy.update(stage, labels, target["label"])

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Report the pseudo-labels' accuracy of each class now and then."""
        if shares := self.pseudo_accuracy.report(self.global_step):
            for logger in self.loggers:
                logger.log_metrics(shares, self.global_step)
