"""The DAFormer head (arXiv 2111.14887, section 4.2): all four stages fused by a context-aware ASPP."""

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import reduce
from typing import Any

import torch
import torch.nn.functional as F
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
    with_channels,
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
        return _recomputed(self._both, features) if _learns(self) else self._both(features)

    def of_parts(self, parts: Sequence[Tensor]) -> Tensor:
        """The same of maps (B, C_i, H, W) that are not concatenated."""
        return self.pointwise_conv.activate(
            _sum(_recomputed(self._part, part, channels) for channels, part in with_channels(parts))
        )

    def _both(self, features: Tensor) -> Tensor:
        out: Tensor = self.pointwise_conv(self.depthwise_conv(features))
        return out

    def _part(self, features: Tensor, channels: slice) -> Tensor:
        conv = self.depthwise_conv.conv
        weight = conv.weight[channels]
        wide = F.conv2d(features, weight, None, conv.stride, conv.padding, conv.dilation, len(weight))
        return F.conv2d(self.depthwise_conv.activate(wide, channels), self.pointwise_conv.conv.weight[:, channels])


def _learns(module: nn.Module) -> bool:
    """Whether a backward pass will come, for which activations can be computed again."""
    return module.training and torch.is_grad_enabled() and has_plain_norms(module) and not torch.compiler.is_compiling()


def _recomputed(function: Callable[..., Tensor], *given: Any) -> Tensor:
    out: Tensor = checkpoint(function, *given, use_reentrant=False, preserve_rng_state=False, context_fn=_contexts)
    return out


def _contexts() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
    return nullcontext(), computed_again()


def _sum(maps: Iterable[Tensor]) -> Tensor:
    """Of maps that nobody else needs, each made when the one before is in the sum."""
    return reduce(Tensor.add_, maps)


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
        first = narrow.activate(embedded_pointwise(weights, layers, features))
        if not _learns(self) or first.dtype != torch.float32 or torch.is_autocast_enabled(first.device.type):
            fused: Tensor = self.bottleneck(torch.cat([first, *self._dilated(features, layers)], dim=1))
            return fused
        # Convolutions are sums over channels: so that no map of all channels is made, and copied. Not of 16 bits,
        # whose sums would be rounded four times.
        branches, conv = [first, *self._dilated_by_parts(features, layers)], self.bottleneck.conv
        parts = zip(branches, conv.weight.chunk(len(branches), dim=1), strict=True)
        return self.bottleneck.activate(_sum(F.conv2d(branch, w, padding=conv.padding) for branch, w in parts))

    # what the dilated branches see are the largest maps of all: behind them nobody holds those

    def _dilated(self, features: Sequence[Tensor], layers: Sequence[LinearEmbedding]) -> list[Tensor]:
        maps = torch.cat(_embedded(features, layers), dim=1)
        return [branch(maps) for branch in list(self.aspp_modules)[1:]]

    def _dilated_by_parts(self, features: Sequence[Tensor], layers: Sequence[LinearEmbedding]) -> list[Tensor]:
        parts = _embedded(features, layers)
        return [branch.of_parts(parts) for branch in list(self.aspp_modules)[1:]]  # type: ignore[operator]


def _embedded(features: Sequence[Tensor], layers: Sequence[LinearEmbedding]) -> list[Tensor]:
    return resize_to_first([layer(f) for layer, f in zip(layers, features, strict=True)])


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
