"""The reference encoder: the student's backbone as it was before training (DAFormer; method section 0)."""

import copy

import torch
from torch import Tensor, nn

from dsrnss.models.segmentor import Segmentor


class ReferenceEncoder(nn.Module):
    """A frozen copy of the backbone, always in eval mode.

    Args:
        student: The network whose backbone is copied.
    """

    def __init__(self, student: Segmentor) -> None:
        super().__init__()
        self.backbone = copy.deepcopy(student.backbone).requires_grad_(False)
        self.train()

    def train(self, mode: bool = True) -> "ReferenceEncoder":
        """Stay in eval mode."""
        return super().train(False)

    def copy_from(self, student: Segmentor) -> None:
        """Become the student's backbone as it is now."""
        self.backbone.load_state_dict(student.backbone.state_dict())

    @torch.no_grad()
    def forward(self, views: Tensor) -> Tensor:
        """Features of the last stage: (B, 3, H, W) as the backbone sees them -> (B, D, h, w)."""
        features: Tensor = self.backbone(views)[-1]
        return features
