"""How right the pseudo-labels are, class by class, where the truth is known (as on SynthNight)."""

import torch
from torch import Tensor, nn

from dsrnss.labels import IGNORE_INDEX, LabelSpace

STAGES = ("teacher", "refined")
"""Before and after the refinement by the day reference."""


class PseudoAccuracy(nn.Module):
    """Counts right and labelled pixels of each class over some steps; the truth is only measured, never learnt from.

    Args:
        label_space: Names the classes.
        every: Optimiser steps between two reports.
    """

    counts: Tensor

    def __init__(self, label_space: LabelSpace, every: int = 50) -> None:
        super().__init__()
        self.label_space, self.every = label_space, every
        # in the checkpoint, so that a resumed run reports the same numbers
        self.register_buffer("counts", torch.zeros(len(STAGES), 2, label_space.num_classes, dtype=torch.int64))

    @torch.no_grad()
    def update(self, stage: str, labels: Tensor, truth: Tensor) -> None:
        """Count a batch.

        Args:
            stage: `teacher` or `refined`.
            labels: (B, H, W) pseudo-labels.
            truth: (B, H, W) true labels, 255 ignored.
        """
        known = truth != IGNORE_INDEX
        number = self.label_space.num_classes
        counts = self.counts[STAGES.index(stage)]
        counts[0] += torch.bincount(truth[known & (labels == truth)], minlength=number)
        counts[1] += torch.bincount(truth[known], minlength=number)

    def report(self, step: int) -> dict[str, float]:
        """Share of right pixels of each class since the last report, when one is due.

        Args:
            step: Optimiser steps done.

        Returns:
            `pseudo/STAGE_class/NAME` -> share of the class's pixels that are right; empty when none is due.
        """
        if step % self.every or not self.counts.any():
            return {}
        shares = {
            f"pseudo/{stage}_class/{name}": right / total
            for stage, (rights, totals) in zip(STAGES, self.counts.tolist(), strict=True)
            for name, right, total in zip(self.label_space.names, rights, totals, strict=True)
            if total
        }
        self.counts.zero_()
        return shares
