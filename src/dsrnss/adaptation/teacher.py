"""The EMA teacher (mean teacher, arXiv 1703.01780; method section 0)."""

import copy
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from dsrnss.errors import check_range
from dsrnss.models.hrda import HRDA
from dsrnss.models.segmentor import Segmentor

TeacherDetail = Literal["overlapping", "tiles", "night_tiles"]


@dataclass(frozen=True)
class SelfTrainingConfig:
    """The teacher and the mixed loss.

    Args:
        momentum: Final momentum of the teacher's moving average.
        teacher_dropout: Leave the teacher's dropout and stochastic depth on, as officially.
        adapt_to_reference: With probability 0.5 a step adapts to the day reference instead of the night image.
        mixed_weight: Weight of the mixed loss; None: 0.8 with HRDA, 1 without, as officially.
        teacher_detail: What HRDA's teacher sees in detail: `overlapping` crops, each pixel in up to four, as in the
            paper; `tiles`, each pixel in one, which halves its work; `night_tiles`: tiles of the night images alone,
            references in context, which leaves a third of it. See docs/performance.md.
        joint_forward: Pass source and mixed images through the student as one batch, so that batch norms see both:
            for backbones with batch norm. Officially one after the other.
    """

    momentum: float = 0.999
    teacher_dropout: bool = False
    adapt_to_reference: bool = False
    mixed_weight: float | None = None
    teacher_detail: TeacherDetail = "overlapping"
    joint_forward: bool = False

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises:
            ConfigError: If a value is outside its range.
        """
        check_range("self_training.momentum", self.momentum, 0, 1)
        if self.mixed_weight is not None:
            check_range("self_training.mixed_weight", self.mixed_weight, 0)

    def weight_of_mixed(self, hrda: bool) -> float:
        """The weight of the mixed loss."""
        if self.mixed_weight is not None:
            return self.mixed_weight
        return 0.8 if hrda else 1.0


def ema_momentum(step: int, momentum: float) -> float:
    """Momentum at a step: it grows from 0, so that the teacher begins as a copy of the student.

    Args:
        step: 0-based optimiser step.
        momentum: Its final value.
    """
    return min(1 - 1 / (step + 1), momentum)


class EMATeacher(nn.Module):
    """An exponential moving average of the student's parameters, never trained by gradient.

    Its batch norms normalise by the statistics of the batch, unless the student's are frozen; its dropout and
    stochastic depth are off, unless `dropout` (the official code leaves them on).

    Args:
        student: The network to follow.
        momentum: Final momentum of the average.
        dropout: Whether dropout and stochastic depth stay on.
        detail: What HRDA sees in detail where it labels for a student.
    """

    def __init__(
        self,
        student: Segmentor,
        momentum: float = 0.999,
        dropout: bool = False,
        detail: TeacherDetail = "overlapping",
    ) -> None:
        super().__init__()
        self.network = copy.deepcopy(student).requires_grad_(False)
        self.momentum = momentum
        self.dropout, self.detail = dropout, detail
        self.moved_at = -1
        self.train()

    def train(self, mode: bool = True) -> "EMATeacher":
        """Set the mode: when training, batch norms use batch statistics and the rest is in eval mode."""
        super().train(mode)
        if mode and not self.dropout:
            self.network.eval()
            for module in self.network.modules():
                if isinstance(module, _BatchNorm) and not self.network.batch_norm_frozen:
                    module.train()
        return self

    @torch.no_grad()
    def update(self, student: Segmentor, step: int) -> None:
        """Move every parameter towards the student's; buffers are left alone.

        A second call in the same step, where it accumulates several batches, does nothing.

        Args:
            student: The network to follow.
            step: 0-based optimiser step.
        """
        if step == self.moved_at:
            return
        self.moved_at = step
        momentum = ema_momentum(step, self.momentum)
        own: list[Tensor] = [*self.network.parameters()]
        other = [parameter.detach() for parameter in student.parameters()]
        torch._foreach_mul_(own, momentum)
        torch._foreach_add_(own, other, alpha=1 - momentum)

    def get_extra_state(self) -> int:
        """The step it moved at last, for the checkpoint."""
        return self.moved_at

    def set_extra_state(self, state: int) -> None:
        """Take back what `get_extra_state` gave."""
        self.moved_at = state

    @torch.no_grad()
    def forward(self, images: Tensor, references: Tensor | None = None) -> Tensor:
        """Logits at the images' size, without gradient.

        Args:
            images: (B, 3, H, W) normalised RGB.
            references: (B, 3, H, W) by day.

        Returns:
            (B, C, H, W) logits; with references those follow: (2 B, C, H, W).
        """
        both = images if references is None else torch.cat((images, references))
        if self.detail == "overlapping" or not isinstance(self.network, HRDA):
            return self.network.predict(both)
        with self.network.tiled(len(images) if self.detail == "night_tiles" else None):
            return self.network.predict(both)

    def copy_from(self, student: Segmentor) -> None:
        """Become the student as it is now."""
        self.network.load_state_dict(student.state_dict())

    @torch.no_grad()
    def adopt_statistics(self, student: Segmentor) -> None:
        """Take the student's batch-norm statistics, to be evaluated with.

        Its own come from batches of night and day images side by side, which is not what it is evaluated on.
        """
        for own, other in zip(self.network.buffers(), student.buffers(), strict=True):
            own.copy_(other)
