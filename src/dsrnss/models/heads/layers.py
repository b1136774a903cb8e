"""Layers that several heads share, with the key names of the authors' checkpoints."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from dsrnss.models.onednn import pointwise

_ALL = slice(None)


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

    def activate(self, features: Tensor, channels: slice = _ALL) -> Tensor:
        """Batch norm and ReLU of what the convolution gives; takes its place in memory where autograd allows it.

        Args:
            features: (B, C, H, W), or some channels of it.
            channels: Which they are.
        """
        # what a batch norm gives is needed by no backward pass
        return F.relu_(_normalised(self.bn, features, channels))


def _folded(conv: nn.Conv2d, norm: nn.BatchNorm2d, features: Tensor) -> Tensor:
    """A convolution whose weights do what the batch norm behind it would: no tensor of its own for that."""
    mean, variance = norm.running_mean, norm.running_var
    assert mean is not None and variance is not None
    scale = norm.weight * torch.rsqrt(variance + norm.eps)
    weight, bias = conv.weight * scale[:, None, None, None], norm.bias - mean * scale
    if conv.kernel_size == (1, 1) and conv.groups == 1:
        return pointwise(features, weight, bias)
    above, beside = (int(pixels) for pixels in conv.padding)
    if features.is_cpu and conv.groups > 1 and beside > 8:  # oneDNN's fast kernel takes no padding this wide
        features, beside = F.pad(features, (beside, beside)), 0
    return F.conv2d(features, weight, bias, conv.stride, (above, beside), conv.dilation, conv.groups)


_again = threading.local()


@contextmanager
def computed_again() -> Iterator[None]:
    """Inside the block batch norms leave their running statistics alone: they have seen this batch before."""
    _again.now = True
    try:
        yield
    finally:
        _again.now = False


def _normalised(norm: nn.BatchNorm2d, features: Tensor, channels: slice) -> Tensor:
    """A batch norm, or some channels of one; in place where it may be."""
    if norm.training and getattr(_again, "now", False):
        assert norm.running_mean is not None and norm.running_var is not None
        statistics = norm.running_mean[channels].clone(), norm.running_var[channels].clone()
        weight, bias = norm.weight[channels], norm.bias[channels]
        return F.batch_norm(features, *statistics, weight, bias, training=True, eps=norm.eps)
    plain = features.is_cpu and features.dtype == torch.float32 and features.is_contiguous()
    in_place = norm.training and plain and type(norm) is nn.BatchNorm2d and not torch.is_grad_enabled()
    if in_place and features.numel() > features.shape[1]:
        return _normalised_in_place(norm, features, channels)
    if channels == _ALL:
        normalised: Tensor = norm(features)
        return normalised
    mean, variance, momentum = _statistics(norm, channels)
    weight, bias = norm.weight[channels], norm.bias[channels]
    return F.batch_norm(features, mean, variance, weight, bias, norm.training, momentum, norm.eps)


def _normalised_in_place(norm: nn.BatchNorm2d, features: Tensor, channels: slice) -> Tensor:
    """By the statistics of the batch, on a CPU in half of torch's time."""
    running_mean, running_variance, momentum = _statistics(norm, channels)
    count = features.numel() // features.shape[1]
    mean = features.flatten(2).mean(2).mean(0)
    features.sub_(mean[:, None, None])
    variance = torch.linalg.vector_norm(features.flatten(2), dim=2).square().sum(0) / count
    running_mean.lerp_(mean, momentum)
    running_variance.lerp_(variance * (count / (count - 1)), momentum)
    features.mul_((norm.weight[channels] * torch.rsqrt(variance + norm.eps))[:, None, None])
    return features.add_(norm.bias[channels][:, None, None])


def _statistics(norm: nn.BatchNorm2d, channels: slice) -> tuple[Tensor, Tensor, float]:
    """The running statistics of some channels and their momentum; counts a batch for the first of them."""
    assert norm.running_mean is not None and norm.running_var is not None and norm.num_batches_tracked is not None
    norm.num_batches_tracked.add_(norm.training and not channels.start)
    momentum = norm.momentum
    if momentum is None:  # the mean of all batches, as torch.optim.swa_utils.update_bn asks for it
        momentum = 1 / max(int(norm.num_batches_tracked), 1)
    return norm.running_mean[channels], norm.running_var[channels], momentum


class LinearEmbedding(nn.Module):
    """A linear layer over the channels of a feature map."""

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        self.proj = nn.Linear(in_channels, channels)

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, channels, H, W)."""
        # As a 1x1 convolution it keeps the memory layout of the map: twice as fast on the CPU in channels_last.
        return pointwise(features, self.proj.weight[..., None, None], self.proj.bias)


def has_plain_norms(module: nn.Module) -> bool:
    """Whether all batch norms are torch's own: each process normalises its images by itself."""
    return all(type(one) is nn.BatchNorm2d for one in module.modules() if isinstance(one, _BatchNorm))


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
    return [maps[0], *(resized(m, maps[0]) for m in maps[1:])]


def with_channels(maps: Sequence[Tensor]) -> Iterator[tuple[slice, Tensor]]:
    """Maps (B, C_i, H_i, W_i) and which channels of their concatenation each is."""
    start = 0
    for features in maps:
        stop = start + features.shape[1]
        yield slice(start, stop), features
        start = stop


def resized(features: Tensor, like: Tensor) -> Tensor:
    """A map (B, C, h, w) bilinearly at the height and width of another; itself, if they are the same."""
    size = like.shape[-2:]
    if features.shape[-2:] == size:
        return features
    return F.interpolate(features, size, mode="bilinear", align_corners=False)
