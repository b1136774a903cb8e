"""The ASPP of a teacher, whose batches are large: what is resized and each branch exist one after the other.

Batch norms by the statistics of the batch forbid to pass a few images at a time, but not a few channels: each has
statistics of its own, and convolutions are sums over channels.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dsrnss.models.heads.layers import ConvModule, resized, with_channels
from dsrnss.models.onednn import pointwise

if TYPE_CHECKING:
    from dsrnss.models.heads.daformer import ASPP

_VALUES_AT_ONCE = {"cpu": 2**22}
"""Of a temporary: 16 MiB on a CPU; elsewhere large kernels count."""
_VALUES_ELSEWHERE = 2**27


class StreamedASPP:
    """An ASPP of maps that are resized to the first and concatenated, without gradient.

    The largest tensors have a quarter of the channels of that concatenation; there are four, each of which is used
    again for what comes next.

    Args:
        aspp: Its layers; they have torch's own batch norms.
        maps: (B, C, H_i, W_i) embedded maps, finest first.
    """

    def __init__(self, aspp: "ASPP", maps: Sequence[Tensor]) -> None:
        self.aspp, self.maps, first = aspp, maps, maps[0]
        shape = (len(first), aspp.bottleneck.conv.out_channels, *first.shape[-2:])
        self._depthwise = first.new_empty((len(first), max(m.shape[1] for m in maps), *shape[-2:]))
        # sums of numbers of 16 bits are taken in 32
        exact = torch.promote_types(first.dtype, torch.float32)
        self._branch, self._fused = (first.new_empty(shape, dtype=exact) for _ in range(2))

    def __call__(self) -> Tensor:
        """(B, channels, H, W)."""
        bottleneck = self.aspp.bottleneck.conv
        weights = bottleneck.weight.chunk(len(self.aspp.aspp_modules), dim=1)
        for index, (branch, weight) in enumerate(zip(self.aspp.aspp_modules, weights, strict=True)):
            features = self._pointwise(branch) if isinstance(branch, ConvModule) else self._separable(branch)
            _by_images(partial(F.conv2d, weight=weight, padding=bottleneck.padding), features, self._fused, index > 0)
        return self.aspp.bottleneck.activate(self._fused)

    def _pointwise(self, module: ConvModule) -> Tensor:
        """A 1x1 convolution of resized maps is the sum of the resized convolutions."""

        def convolved(weight: Tensor, features: Tensor) -> Tensor:
            return resized(pointwise(features, weight, None), self.maps[0])

        for channels, features in with_channels(self.maps):
            weight = module.conv.weight[:, channels]
            _by_images(partial(convolved, weight), features, self._branch, channels.start > 0)
        return module.activate(self._branch)

    def _separable(self, module: nn.Module) -> Tensor:
        depthwise, narrow = cast(Iterator[ConvModule], module.children())

        def convolved(weight: Tensor, features: Tensor) -> Tensor:
            conv, features = depthwise.conv, resized(features, self.maps[0])
            return F.conv2d(features, weight, None, conv.stride, conv.padding, conv.dilation, len(weight))

        for channels, features in with_channels(self.maps):
            part = self._depthwise[:, : features.shape[1]]
            _by_images(partial(convolved, depthwise.conv.weight[channels]), features, part, False)
            part = depthwise.activate(part, channels)
            weight = narrow.conv.weight[:, channels]
            _by_images(partial(pointwise, weight=weight, bias=None), part, self._branch, channels.start > 0)
        return narrow.activate(self._branch)


def _by_images(function: Callable[[Tensor], Tensor], features: Tensor, into: Tensor, add: bool) -> None:
    """Apply to a few images at a time, so that temporaries are small.

    Args:
        function: (b, c, h, w) -> (b, C, H, W), each image by itself.
        features: (B, c, h, w).
        into: (B, C, H, W), where the result goes.
        add: Whether it is added to what stands there.
    """
    count = max(1, _VALUES_AT_ONCE.get(into.device.type, _VALUES_ELSEWHERE) // into[0].numel())
    for start in range(0, len(features), count):
        part, images = into[start : start + count], features[start : start + count]
        if add:
            part += function(images)
        else:
            part.copy_(function(images))
