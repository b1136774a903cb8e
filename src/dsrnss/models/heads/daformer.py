"""The DAFormer head (arXiv 2111.14887, section 4.2): all four stages fused by a context-aware ASPP."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from dsrnss.models.heads.layers import (
    ConvModule,
    LinearEmbedding,
    computed_again,
    embedded_pointwise,
    has_plain_norms,
    initialise_classifier,
    resize_to_first,
)
from dsrnss.models.heads.streaming import StreamedASPP

DILATIONS = (6, 12, 18)


class DepthwiseSeparableConvModule(nn.Module):
    """A depthwise and a pointwise convolution, each with its own batch norm and ReLU."""

    def __init__(self, in_channels: int, out_channels: int, dilation: int) -> None:
        super().__init__()
        self.depthwise_conv = ConvModule(in_channels, in_channels, 3, dilation=dilation, groups=in_channels)
        self.pointwise_conv = ConvModule(in_channels, out_channels, 1)

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, out_channels, H, W); the map between both is not kept for the backward pass."""
        if not (self.training and torch.is_grad_enabled() and has_plain_norms(self)) or torch.compiler.is_compiling():
            return self._both(features)
        out: Tensor = checkpoint(
            self._both, features, use_reentrant=False, preserve_rng_state=False, context_fn=_contexts
        )
        return out

    def _both(self, features: Tensor) -> Tensor:
        out: Tensor = self.pointwise_conv(self.depthwise_conv(features))
        return out


def _contexts() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
    return nullcontext(), computed_again()


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
        layers: list[LinearEmbedding] = list(self.embed_layers.values())  # type: ignore[arg-type]
        if self._streams:
            embedded = [layer(f) for layer, f in zip(layers, features, strict=True)]
            fused = StreamedASPP(self.fuse_layer, embedded)()
        else:
            fused = self.fuse_layer(features, layers)
        logits: Tensor = self.conv_seg(self.dropout(fused))
        return logits

    @property
    def _streams(self) -> bool:
        """Whether a teacher looks: many images, no gradient, batch norms by the statistics of the batch."""
        return self.fuse_layer.bottleneck.bn.training and not torch.is_grad_enabled() and has_plain_norms(self)
