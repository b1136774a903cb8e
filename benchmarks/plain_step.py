"""The plain baseline of `step_cost.py`: the same networks and numbers, computed as the papers' figures show it.

Attention with its whole matrix, linear layers on tokens, every map brought to full size before it is convolved,
activations in tensors of their own and none computed again, all images at once, and a retained backward pass for each
loss term.
"""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dsrnss.adaptation.records import Losses
from dsrnss.models.backbones.mit import EfficientAttention, MixFFN
from dsrnss.models.heads.daformer import DAFormerHead
from dsrnss.models.heads.layers import ConvModule, LinearEmbedding
from dsrnss.models.heads.segformer import SegFormerHead
from dsrnss.models.segmentor import Segmentor


def make_plain(network: nn.Module) -> None:
    """Let a network compute in the plain way: its modules' `forward` are replaced."""
    for module in network.modules():
        if isinstance(module, Segmentor):
            module._at_once = lambda _: None  # type: ignore[method-assign]
        for kind, forward in _FORWARDS.items():
            if isinstance(module, kind):
                module.forward = forward.__get__(module)


def backward(losses: Losses) -> None:
    """One backward pass for each term."""
    for loss in losses.values():
        loss.backward(retain_graph=True)


def _attend(self: EfficientAttention, tokens: Tensor, height: int, width: int) -> Tensor:
    query = self.q(tokens).unflatten(-1, (self.heads, -1)).transpose(1, 2)
    context = tokens
    if self.reduction > 1:
        reduced = self.sr(tokens.transpose(1, 2).unflatten(2, (height, width)))
        context = self.norm(reduced.flatten(2).transpose(1, 2))
    key, value = self.kv(context).unflatten(-1, (2, self.heads, -1)).permute(2, 0, 3, 1, 4)
    weights = (query @ key.transpose(-2, -1) * query.shape[-1] ** -0.5).softmax(-1)
    return self.proj((weights @ value).transpose(1, 2).flatten(2))


def _feed_forward(self: MixFFN, tokens: Tensor, height: int, width: int) -> Tensor:
    return self.fc2(F.gelu(self.dwconv(self.fc1(tokens), height, width)))


def _convolve(self: ConvModule, features: Tensor) -> Tensor:
    return F.relu(self.bn(self.conv(features)))


def _embed(self: LinearEmbedding, features: Tensor) -> Tensor:
    tokens: Tensor = self.proj(features.flatten(2).transpose(1, 2))
    return tokens.transpose(1, 2).unflatten(2, features.shape[-2:])


def _fused(layers: Sequence[LinearEmbedding], features: Sequence[Tensor]) -> list[Tensor]:
    size = features[0].shape[-2:]
    maps = [layer(feature) for layer, feature in zip(layers, features, strict=True)]
    return [F.interpolate(m, size, mode="bilinear", align_corners=False) for m in maps]


def _daformer(self: DAFormerHead, features: Sequence[Tensor]) -> Tensor:
    maps, aspp = torch.cat(_fused(list(self.embed_layers.values()), features), 1), self.fuse_layer
    branches = [aspp.aspp_modules[0](maps)]
    branches += [branch.pointwise_conv(branch.depthwise_conv(maps)) for branch in list(aspp.aspp_modules)[1:]]
    return self.conv_seg(self.dropout(aspp.bottleneck(torch.cat(branches, 1))))


def _segformer(self: SegFormerHead, features: Sequence[Tensor]) -> Tensor:
    layers = [getattr(self, f"linear_c{level}") for level in range(1, self.levels + 1)]
    return self.linear_pred(self.dropout(self.linear_fuse(torch.cat(_fused(layers, features)[::-1], 1))))


_FORWARDS: dict[type[nn.Module], Callable[..., Tensor]] = {
    EfficientAttention: _attend,
    MixFFN: _feed_forward,
    ConvModule: _convolve,
    LinearEmbedding: _embed,
    DAFormerHead: _daformer,
    SegFormerHead: _segformer,
}
