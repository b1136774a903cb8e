"""The RefineNet head (arXiv 1611.06612, section 3.2): from the coarsest map to the finest by refinement blocks."""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from dsrnss.models.heads.layers import initialise_classifier

DROPOUT = 0.5


def conv3x3(in_channels: int, out_channels: int, *, bias: bool = False) -> nn.Conv2d:
    """A 3x3 convolution that keeps the size."""
    return nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=bias)


class ResidualConvUnit(nn.Module):
    """Blocks of two 3x3 convolutions, each behind a ReLU, around a shortcut (RCU)."""

    def __init__(self, channels: int, blocks: int) -> None:
        super().__init__()
        self.blocks = blocks
        for block in range(1, blocks + 1):
            self.add_module(f"{block}_conv", conv3x3(channels, channels, bias=True))
            self.add_module(f"{block}_conv_relu_varout_dimred", conv3x3(channels, channels))

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, H, W) -> the same shape."""
        for block in range(1, self.blocks + 1):
            inner = getattr(self, f"{block}_conv")(F.relu(features))
            features = features + getattr(self, f"{block}_conv_relu_varout_dimred")(F.relu(inner))
        return features


class ChainedResidualPooling(nn.Module):
    """A chain of 5x5 max pools and 3x3 convolutions whose every link is added to the input (CRP)."""

    def __init__(self, channels: int, links: int) -> None:
        super().__init__()
        self.links = links
        for link in range(1, links + 1):
            self.add_module(f"{link}_outvar_dimred", conv3x3(channels, channels))

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, H, W) -> the same shape."""
        pooled = features
        for link in range(1, self.links + 1):
            pooled = getattr(self, f"{link}_outvar_dimred")(F.max_pool2d(pooled, 5, stride=1, padding=2))
            features = features + pooled
        return features


class RefineNetHead(nn.Module):
    """Refinement blocks, of which each adds a finer map of the backbone to the path from the coarser ones.

    Half of the two coarsest maps and of the classifier's input is dropped.

    Args:
        in_channels: Channels of the feature maps, finest first.
        num_classes: Number of classes.
        channels: Channels of the blocks; the coarsest has twice as many.
    """

    def __init__(self, in_channels: Sequence[int], num_classes: int, channels: int = 256) -> None:
        super().__init__()
        self.levels = len(in_channels)
        self.dropout = nn.Dropout(DROPOUT)
        widths = (2 * channels, *[channels] * (self.levels - 1))
        for level, (inputs, width) in enumerate(zip(in_channels[::-1], widths, strict=True), start=1):
            self.add_module(f"p_ims1d2_outl{level}_dimred", conv3x3(inputs, width))
            self.add_module(f"adapt_stage{level}_b", nn.Sequential(ResidualConvUnit(width, 2)))
            if level > 1:
                self.add_module(f"adapt_stage{level}_b2_joint_varout_dimred", conv3x3(width, width))
            self.add_module(f"mflow_conv_g{level}_pool", nn.Sequential(ChainedResidualPooling(width, 4)))
            self.add_module(f"mflow_conv_g{level}_b", nn.Sequential(ResidualConvUnit(width, 3)))
            if level < self.levels:
                self.add_module(f"mflow_conv_g{level}_b3_joint_varout_dimred", conv3x3(width, widths[level]))
        self.clf_conv = conv3x3(widths[-1], num_classes, bias=True)
        initialise_classifier(self.clf_conv)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Maps (B, C_i, H_i, W_i), finest first -> (B, num_classes, H_0, W_0) logits."""
        path = None
        for level, feature in enumerate(reversed(features), start=1):
            path = self._refine(level, self.dropout(feature) if level <= 2 else feature, path)
        logits: Tensor = self.clf_conv(self.dropout(path))
        return logits

    def _refine(self, level: int, feature: Tensor, path: Tensor | None) -> Tensor:
        """One block: adapt the backbone's map, add the coarser path, pool, convolve."""
        adapted = getattr(self, f"adapt_stage{level}_b")(getattr(self, f"p_ims1d2_outl{level}_dimred")(feature))
        if path is not None:
            path = F.interpolate(path, feature.shape[-2:], mode="bilinear", align_corners=True)
            adapted = getattr(self, f"adapt_stage{level}_b2_joint_varout_dimred")(adapted) + path
        pooled = getattr(self, f"mflow_conv_g{level}_pool")(F.relu(adapted))
        refined: Tensor = getattr(self, f"mflow_conv_g{level}_b")(pooled)
        if level < self.levels:
            refined = getattr(self, f"mflow_conv_g{level}_b3_joint_varout_dimred")(refined)
        return refined
