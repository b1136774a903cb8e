"""The EMA teacher (mean teacher, arXiv 1703.01780; method section 0)."""

import copy

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from dsrnss.models.segmentor import Segmentor


def ema_momentum(step: int, momentum: float) -> float:
    """Momentum at a step: it grows from 0, so that the teacher begins as a copy of the student.

    Args:
        step: 0-based optimiser step.
        momentum: Its final value.
    """
    return min(1 - 1 / (step + 1), momentum)


class EMATeacher(nn.Module):
    """An exponential moving average of the student's parameters, never trained by gradient.

    Its batch norms normalise by the statistics of the batch; its dropout and stochastic depth are off, unless
    `dropout` (the official code leaves them on).

    Args:
        student: The network to follow.
        momentum: Final momentum of the average.
        dropout: Whether dropout and stochastic depth stay on.
    """

    def __init__(self, student: Segmentor, momentum: float = 0.999, dropout: bool = False) -> None:
        super().__init__()
        self.network = copy.deepcopy(student).requires_grad_(False)
        self.momentum = momentum
        self.dropout = dropout
        self.train()

    def train(self, mode: bool = True) -> "EMATeacher":
        """Set the mode: when training, batch norms use batch statistics and the rest is in eval mode."""
        super().train(mode)
        if mode and not self.dropout:
            self.network.eval()
            for module in self.network.modules():
                if isinstance(module, _BatchNorm):
                    module.train()
        return self

    @torch.no_grad()
    def update(self, student: Segmentor, step: int) -> None:
        """Move every parameter towards the student's; buffers are left alone.

        Args:
            student: The network to follow.
            step: 0-based optimiser step.
        """
        momentum = ema_momentum(step, self.momentum)
        own: list[Tensor] = [*self.network.parameters()]
        other = [parameter.detach() for parameter in student.parameters()]
        torch._foreach_mul_(own, momentum)
        torch._foreach_add_(own, other, alpha=1 - momentum)

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        """Logits at the images' size, without gradient.

        Args:
            images: (B, 3, H, W) normalised RGB.

        Returns:
            (B, C, H, W) logits.
        """
        return self.network.predict(images)

    @torch.no_grad()
    def adopt_statistics(self, student: Segmentor) -> None:
        """Take the student's batch-norm statistics, to be evaluated with.

        Its own come from batches of night and day images side by side, which is not what it is evaluated on.
        """
        for own, other in zip(self.network.buffers(), student.buffers(), strict=True):
            own.copy_(other)
