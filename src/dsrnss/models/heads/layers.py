"""Layers that several heads share, with the key names of the authors' checkpoints."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dsrnss.models.onednn import pointwise


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
        tracing = torch.jit.is_tracing()  # type: ignore[attr-defined, no-untyped-call]
        if torch.is_grad_enabled() or self.bn.training or tracing:
            return self.activate(self.conv(features))
        return F.relu_(_folded(self.conv, self.bn, features))

    def activate(self, features: Tensor) -> Tensor:
        """Batch norm and ReLU of what the convolution gives; takes its place in memory where autograd allows it."""
        # what a batch norm gives is needed by no backward pass
        return F.relu_(_normalised(self.bn, features))


def _folded(conv: nn.Conv2d, norm: nn.BatchNorm2d, features: Tensor) -> Tensor:
    """A convolution whose weights do what the batch norm behind it would: no tensor of its own for that."""
    mean, variance = norm.running_mean, norm.running_var
    assert mean is not None and variance is not None
    scale = norm.weight * torch.rsqrt(variance + norm.eps)
    weight, bias = conv.weight * scale[:, None, None, None], norm.bias - mean * scale
    if conv.kernel_size == (1, 1) and conv.groups == 1:
        return pointwise(features, weight, bias)
    above, beside = conv.padding
    if features.is_cpu and conv.groups > 1 and beside > 8:  # oneDNN's fast kernel takes no padding this wide
        features, beside = F.pad(features, (beside, beside)), 0
    return F.conv2d(features, weight, bias, conv.stride, (above, beside), conv.dilation, conv.groups)


def _normalised(norm: nn.BatchNorm2d, features: Tensor) -> Tensor:
    """A batch norm; on a CPU and without gradient by the statistics of the batch in place, in half of torch's time."""
    plain = features.is_cpu and features.dtype == torch.float32 and features.is_contiguous()
    count = features.numel() // features.shape[1]
    if torch.is_grad_enabled() or count == 1 or not (norm.training and plain and type(norm) is nn.BatchNorm2d):
        normalised: Tensor = norm(features)
        return normalised
    momentum = norm.momentum
    assert norm.running_mean is not None and norm.running_var is not None and momentum is not None
    assert norm.num_batches_tracked is not None
    mean = features.flatten(2).mean(2).mean(0)
    features.sub_(mean[:, None, None])
    variance = torch.linalg.vector_norm(features.flatten(2), dim=2).square().sum(0) / count
    norm.num_batches_tracked.add_(1)
    norm.running_mean.lerp_(mean, momentum)
    norm.running_var.lerp_(variance * (count / (count - 1)), momentum)
    features.mul_((norm.weight * torch.rsqrt(variance + norm.eps))[:, None, None])
    return features.add_(norm.bias[:, None, None])


class LinearEmbedding(nn.Module):
    """A linear layer over the channels of a feature map."""

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        self.proj = nn.Linear(in_channels, channels)

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, channels, H, W)."""
        # As a 1x1 convolution it keeps the memory layout of the map: twice as fast on the CPU in channels_last.
        return pointwise(features, self.proj.weight[..., None, None], self.proj.bias)


def initialise_classifier(layer: nn.Conv2d) -> None:
    """Start a classifier near equal scores: weights of standard deviation 0.01, no bias."""
    nn.init.normal_(layer.weight, std=0.01)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


def embedded_pointwise(
    weights: Sequence[Tensor], layers: Sequence[LinearEmbedding], features: Sequence[Tensor]
) -> Tensor:
    """A 1x1 convolution of embedded maps that are resized to the first, without making any of them.

    It is the sum of the resized convolutions, and two linear layers in a row are one.

    Args:
        weights: The convolution's (C_out, channels) for each map.
        layers: Which embed the maps.
        features: (B, C_i, H_i, W_i), finest first.

    Returns:
        (B, C_out, H_0, W_0).
    """
    finest, *others = resize_to_first(
        [
            pointwise(f, (weight @ layer.proj.weight)[..., None, None], weight @ layer.proj.bias)
            for weight, layer, f in zip(weights, layers, features, strict=True)
        ]
    )
    return sum(others, finest)


def resize_to_first(maps: Sequence[Tensor]) -> list[Tensor]:
    """Bring maps (B, C_i, H_i, W_i) bilinearly to the height and width of the first."""
    size = maps[0].shape[-2:]
    return [maps[0], *(F.interpolate(m, size, mode="bilinear", align_corners=False) for m in maps[1:])]
