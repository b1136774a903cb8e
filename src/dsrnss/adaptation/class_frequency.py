"""Class weights from the running class frequency of the source (DSRNSS section III-C; method section 5)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from dsrnss.adaptation.cells import count
from dsrnss.collectives import summed
from dsrnss.labels import LabelSpace


class ClassFrequency(nn.Module):
    """Running frequency of each class, and weights that are high for rare, dynamic and small classes.

    With f_c the running share of class c among the labelled source pixels and m the median of f over the classes seen
    so far, w_c = clip((m / f_c) ** 0.5, 1/4, 4), times 1.5 for raised classes, all divided by their mean: the weights
    have mean 1. A class never seen counts as the rarest (4). Frequencies are buffers: they stand in the checkpoint.

    Args:
        num_classes: C.
        raised: Train ids of the dynamic and small classes.
        momentum: Of the moving average, a batch.
    """

    POWER = 0.5
    LIMIT = 4.0
    RAISE = 1.5

    frequency: Tensor
    raised: Tensor

    def __init__(self, num_classes: int, raised: Sequence[int] = (), momentum: float = 0.99) -> None:
        super().__init__()
        self.momentum = momentum
        mask = torch.zeros(num_classes, dtype=torch.bool)
        mask[list(raised)] = True
        self.register_buffer("frequency", torch.zeros(num_classes))
        self.register_buffer("raised", mask, persistent=False)

    @classmethod
    def of(cls, label_space: LabelSpace) -> "ClassFrequency":
        """For a label space: its dynamic and small classes are raised."""
        return cls(label_space.num_classes, sorted({*label_space.dynamic, *label_space.small}))

    @torch.no_grad()
    def update(self, labels: Tensor) -> None:
        """Take a batch of source labels into account, with those of all processes that train together.

        Args:
            labels: (B, H, W) int64 train ids, 255 ignored; a batch without a label changes nothing.
        """
        num_classes = len(self.frequency)
        counts = summed(count(labels.clamp(max=num_classes), num_classes + 1)[:num_classes])
        shares = counts / counts.sum().clamp(min=1)
        # The average starts at 0; that scales all frequencies alike, and the weights use their ratios only
        self.frequency.copy_(
            torch.where(counts.sum() > 0, self.frequency.lerp(shares, 1 - self.momentum), self.frequency)
        )

    def weights(self) -> Tensor:
        """(C,) weights of mean 1; before the first update they only raise the raised classes."""
        seen = self.frequency > 0
        median = torch.where(seen, self.frequency, torch.nan).nanmedian()
        weights = (median / self.frequency) ** self.POWER  # infinite for a class never seen: clipped
        weights = torch.where(seen.any(), weights.clamp(1 / self.LIMIT, self.LIMIT), 1.0)
        weights = torch.where(self.raised, self.RAISE * weights, weights)
        return weights / weights.mean()
