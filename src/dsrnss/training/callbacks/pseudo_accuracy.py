"""How right the pseudo-labels are, class by class, where the truth is known (as on SynthNight)."""

from typing import Any

import lightning as L
import torch
from torch import Tensor

from dsrnss.adaptation.records import StepRecord
from dsrnss.collectives import summed
from dsrnss.labels import IGNORE_INDEX, LabelSpace
from dsrnss.training.processes import host_group

STAGES = ("teacher", "refined")
"""Before and after the refinement by the day reference."""


class PseudoAccuracy(L.Callback):
    """Logs the share of right pixels of each class now and then; the truth is only measured, never learnt from.

    Args:
        label_space: Names the classes.
        every: Optimiser steps between two reports.
    """

    def __init__(self, label_space: LabelSpace, every: int = 50) -> None:
        self.label_space, self.every = label_space, every
        # right and labelled pixels; in the checkpoint, so that a resumed run reports the same numbers
        self.counts = torch.zeros(len(STAGES), 2, label_space.num_classes, dtype=torch.int64)

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Count the step's pseudo-labels, and report when that is due."""
        record = outputs.get("record") if isinstance(outputs, dict) else None
        if isinstance(record, StepRecord):
            for stage, labels in measurable(record, batch).items():
                self.update(stage, labels, batch["target"]["label"])
        if shares := self.report(trainer.global_step):
            for logger in trainer.loggers:
                logger.log_metrics(shares, trainer.global_step)

    @torch.no_grad()
    def update(self, stage: str, labels: Tensor, truth: Tensor) -> None:
        """Count a batch.

        Args:
            stage: `teacher` or `refined`.
            labels: (B, H, W) pseudo-labels.
            truth: (B, H, W) true labels, 255 ignored.
        """
        self.counts = self.counts.to(truth.device)
        known = truth != IGNORE_INDEX
        number = self.label_space.num_classes
        counts = self.counts[STAGES.index(stage)]
        counts[0] += torch.bincount(truth[known & (labels == truth)], minlength=number)
        counts[1] += torch.bincount(truth[known], minlength=number)

    def report(self, step: int) -> dict[str, float]:
        """Share of right pixels of each class since the last report, of all processes, when one is due.

        Args:
            step: Optimiser steps done.

        Returns:
            `pseudo/STAGE_class/NAME` -> share of the class's pixels that are right; empty when none is due.
        """
        if step % self.every:
            return {}
        counts = summed(self.counts.cpu(), host_group())
        shares = {
            f"pseudo/{stage}_class/{name}": right / total
            for stage, (rights, totals) in zip(STAGES, counts.tolist(), strict=True)
            for name, right, total in zip(self.label_space.names, rights, totals, strict=True)
            if total
        }
        self.counts.zero_()
        return shares

    def state_dict(self) -> dict[str, Any]:
        """The counts, for the checkpoint."""
        return {"counts": self.counts.clone()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take back what `state_dict` gave."""
        self.counts = state_dict["counts"]


def measurable(record: StepRecord, batch: Any) -> dict[str, Tensor]:
    """The pseudo-labels of the night images of a step by their stage, where the truth is known.

    Args:
        record: Of the step.
        batch: What it was given.

    Returns:
        Stage -> (B, H, W) train ids.
    """
    target = record.target
    if target is None or target.is_reference or "label" not in batch["target"]:
        return {}
    before = {} if target.unrefined is None else {"teacher": target.unrefined}
    return {**before, "refined": target.pseudo.labels}
