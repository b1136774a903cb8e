"""A light feature-pyramid head (arXiv 1612.03144) with global context, for training on a CPU: not of the paper."""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from dsrnss.models.heads.layers import ConvModule


class FPNHead(nn.Module):
    """From the coarsest map to the finest: resize, add the next one, smooth the two finest by a 3x3 convolution.

    Args:
        in_channels: Channels of the feature maps, finest first.
        num_classes: Number of classes.
        channels: Channels of the pyramid.
        dropout: Dropout2d before the classifier.
    """

    def __init__(self, in_channels: Sequence[int], num_classes: int, channels: int = 48, dropout: float = 0.1) -> None:
        super().__init__()
        self.laterals = nn.ModuleList(nn.Conv2d(c, channels, 1) for c in in_channels)
        self.context = nn.Conv2d(in_channels[-1], channels, 1)
        self.smooth = nn.ModuleList(ConvModule(channels, channels, 3) for _ in range(2))
        self.dropout = nn.Dropout2d(dropout)
        self.conv_seg = nn.Conv2d(channels, num_classes, 1)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Maps (B, C_i, H_i, W_i), finest first -> (B, num_classes, H_0, W_0) logits."""
        coarsest = features[-1]
        fused = self.laterals[-1](coarsest) + self.context(coarsest.mean((2, 3), keepdim=True))
        for level in range(len(features) - 2, -1, -1):
            size = features[level].shape[-2:]
            resized = F.interpolate(fused, size, mode="bilinear", align_corners=False)
            fused = resized + self.laterals[level](features[level])
            if level < len(self.smooth):
                fused = self.smooth[level](fused)
        logits: Tensor = self.conv_seg(self.dropout(fused))
        return logits
