"""Layers that several heads share, with the key names of the authors' checkpoints."""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn


class ConvModule(nn.Module):
    """Convolution without bias, batch norm, ReLU."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int, *, dilation: int = 1, groups: int = 1) -> None:
        super().__init__()
        padding = dilation * (kernel // 2)
        self.conv = nn.Conv2d(
            in_channels, out_channels, kernel, padding=padding, dilation=dilation, groups=groups, bias=False
        )
        self.bn = nn.BatchNorm2d(out_channels)

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, out_channels, H, W)."""
        # in place: what a batch norm gives is needed by no backward pass
        return F.relu_(self.bn(self.conv(features)))


class LinearEmbedding(nn.Module):
    """A linear layer over the channels of a feature map."""

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        self.proj = nn.Linear(in_channels, channels)

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, channels, H, W)."""
        # As a 1x1 convolution it keeps the memory layout of the map: twice as fast on the CPU in channels_last.
        return F.conv2d(features, self.proj.weight[..., None, None], self.proj.bias)


def initialise_classifier(layer: nn.Conv2d) -> None:
    """Start a classifier near equal scores: weights of standard deviation 0.01, no bias."""
    nn.init.normal_(layer.weight, std=0.01)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


def resize_to_first(maps: Sequence[Tensor]) -> list[Tensor]:
    """Bring maps (B, C_i, H_i, W_i) bilinearly to the height and width of the first."""
    size = maps[0].shape[-2:]
    return [maps[0], *(F.interpolate(m, size, mode="bilinear", align_corners=False) for m in maps[1:])]
