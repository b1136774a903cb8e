"""The DAFormer head (arXiv 2111.14887, section 4.2): all four stages fused by a context-aware ASPP."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from dsrnss.models.heads.layers import (
    ConvModule,
    LinearEmbedding,
    embedded_pointwise,
    initialise_classifier,
    resize_to_first,
)

DILATIONS = (6, 12, 18)


class DepthwiseSeparableConvModule(nn.Module):
    """A depthwise and a pointwise convolution, each with its own batch norm and ReLU."""

    def __init__(self, in_channels: int, out_channels: int, dilation: int) -> None:
        super().__init__()
        self.depthwise_conv = ConvModule(in_channels, in_channels, 3, dilation=dilation, groups=in_channels)
        self.pointwise_conv = ConvModule(in_channels, out_channels, 1)

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, out_channels, H, W)."""
        out: Tensor = self.pointwise_conv(self.depthwise_conv(features))
        return out


class ASPP(nn.Module):
    """Four parallel convolutions of growing dilation and a 3x3 bottleneck."""

    def __init__(self, in_channels: int, channels: int, dilations: Sequence[int] = DILATIONS) -> None:
        super().__init__()
        self.aspp_modules = nn.ModuleList(
            [
                ConvModule(in_channels, channels, 1),
                *(DepthwiseSeparableConvModule(in_channels, channels, dilation) for dilation in dilations),
            ]
        )
        self.bottleneck = ConvModule(channels * (1 + len(dilations)), channels, 3)

    def forward(self, features: Sequence[Tensor], layers: Sequence[LinearEmbedding]) -> Tensor:
        """Maps (B, C_i, H_i, W_i), finest first, and what embeds each -> (B, channels, H_0, W_0)."""
        narrow, *_ = self.aspp_modules
        assert isinstance(narrow, ConvModule)
        weights = narrow.conv.weight.flatten(1).chunk(len(layers), dim=1)
        branches = [narrow.activate(embedded_pointwise(weights, layers, features)), *self._dilated(features, layers)]
        fused: Tensor = self.bottleneck(torch.cat(branches, dim=1))
        return fused

    def _dilated(self, features: Sequence[Tensor], layers: Sequence[LinearEmbedding]) -> list[Tensor]:
        # what they see is the largest map of all: behind them nobody holds it
        embedded = [layer(f) for layer, f in zip(layers, features, strict=True)]
        maps = torch.cat(resize_to_first(embedded), dim=1)
        return [branch(maps) for branch in list(self.aspp_modules)[1:]]


class DAFormerHead(nn.Module):
    """Embed each stage, bring all to the first stage's size, fuse by the ASPP, classify.

    Args:
        in_channels: Channels of the feature maps, finest first.
        num_classes: Number of classes.
        channels: Channels of the embeddings and of the ASPP.
        dropout: Dropout2d before the classifier.
        dilations: Dilations of the separable branches of the ASPP.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        num_classes: int,
        channels: int = 256,
        dropout: float = 0.1,
        dilations: Sequence[int] = DILATIONS,
    ) -> None:
        super().__init__()
        self.embed_layers = nn.ModuleDict({str(i): LinearEmbedding(c, channels) for i, c in enumerate(in_channels)})
        self.fuse_layer = ASPP(channels * len(in_channels), channels, dilations)
        self.dropout = nn.Dropout2d(dropout)
        self.conv_seg = nn.Conv2d(channels, num_classes, 1)
        initialise_classifier(self.conv_seg)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Maps (B, C_i, H_i, W_i), finest first -> (B, num_classes, H_0, W_0) logits."""
        fused = self.fuse_layer(features, list(self.embed_layers.values()))
        logits: Tensor = self.conv_seg(self.dropout(fused))
        return logits
