"""Mix Transformer (MiT-B0 .. B5), the encoder of SegFormer (arXiv 2105.15203), with its checkpoints' key names."""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from torchvision.ops import StochasticDepth

from dsrnss.errors import ConfigError, did_you_mean
from dsrnss.models.contract import number_layers
from dsrnss.models.onednn import linear


@dataclass(frozen=True)
class MiTVariant:
    """What differs between the sizes: channels and number of blocks of the four stages."""

    channels: tuple[int, int, int, int]
    depths: tuple[int, int, int, int]


MIT_VARIANTS = {
    "mit_b0": MiTVariant((32, 64, 160, 256), (2, 2, 2, 2)),
    "mit_b1": MiTVariant((64, 128, 320, 512), (2, 2, 2, 2)),
    "mit_b2": MiTVariant((64, 128, 320, 512), (3, 4, 6, 3)),
    "mit_b3": MiTVariant((64, 128, 320, 512), (3, 4, 18, 3)),
    "mit_b4": MiTVariant((64, 128, 320, 512), (3, 8, 27, 3)),
    "mit_b5": MiTVariant((64, 128, 320, 512), (3, 6, 40, 3)),
}
NUM_HEADS = (1, 2, 5, 8)
REDUCTIONS = (8, 4, 2, 1)
MLP_RATIO = 4


def _to_map(tokens: Tensor, height: int, width: int) -> Tensor:
    # in this order a single image is known to be channels-last too, and the convolution behind copies nothing
    features: Tensor = tokens.unflatten(1, (height, width)).permute(0, 3, 1, 2)
    return features


def _to_tokens(features: Tensor) -> Tensor:
    return features.flatten(2).transpose(1, 2)


class OverlapPatchEmbed(nn.Module):
    """A strided convolution whose kernel is wider than its stride, and a LayerNorm."""

    def __init__(self, in_channels: int, channels: int, kernel: int, stride: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(in_channels, channels, kernel, stride, kernel // 2)
        self.norm = nn.LayerNorm(channels, eps=1e-5)

    def forward(self, features: Tensor) -> tuple[Tensor, int, int]:
        """(B, C, H, W) -> (B, h*w, channels) tokens, h and w."""
        features = self.proj(features)
        height, width = features.shape[-2:]
        return self.norm(_to_tokens(features)), height, width


class EfficientAttention(nn.Module):
    """Self-attention whose keys and values come from a map reduced by a strided convolution."""

    def __init__(self, channels: int, heads: int, reduction: int) -> None:
        super().__init__()
        self.heads = heads
        self.q = nn.Linear(channels, channels)
        self.kv = nn.Linear(channels, 2 * channels)
        self.proj = nn.Linear(channels, channels)
        self.reduction = reduction
        if reduction > 1:
            self.sr = nn.Conv2d(channels, channels, reduction, reduction)
            self.norm = nn.LayerNorm(channels, eps=1e-5)

    def forward(self, tokens: Tensor, height: int, width: int) -> Tensor:
        """(B, h*w, C) tokens -> the same shape."""
        query = linear(self.q, tokens).unflatten(-1, (self.heads, -1)).transpose(1, 2)
        context = tokens
        if self.reduction > 1:
            context = self.norm(_to_tokens(self.sr(_to_map(tokens, height, width))))
        key, value = linear(self.kv, context).unflatten(-1, (2, self.heads, -1)).permute(2, 0, 3, 1, 4)
        attended = F.scaled_dot_product_attention(query, key, value)
        return linear(self.proj, attended.transpose(1, 2).flatten(2))


class DepthwiseConv(nn.Module):
    """The 3x3 convolution that tells the mix-FFN where a token lies."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.dwconv = nn.Conv2d(channels, channels, 3, 1, 1, groups=channels)

    def forward(self, tokens: Tensor, height: int, width: int) -> Tensor:
        """(B, h*w, C) tokens -> the same shape."""
        return _to_tokens(self.dwconv(_to_map(tokens, height, width)))


class MixFFN(nn.Module):
    """Linear, depthwise convolution, GELU, linear."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(channels, hidden)
        self.dwconv = DepthwiseConv(hidden)
        self.fc2 = nn.Linear(hidden, channels)

    def forward(self, tokens: Tensor, height: int, width: int) -> Tensor:
        """(B, h*w, C) tokens -> the same shape; for the backward pass one of three hidden maps is kept."""
        hidden = linear(self.fc1, tokens)
        if not (self.training and torch.is_grad_enabled()) or torch.compiler.is_compiling():
            return self._narrowed(hidden, height, width)
        out: Tensor = checkpoint(self._narrowed, hidden, height, width, use_reentrant=False, preserve_rng_state=False)
        return out

    def _narrowed(self, hidden: Tensor, height: int, width: int) -> Tensor:
        return linear(self.fc2, F.gelu(self.dwconv(hidden, height, width)))


class MiTBlock(nn.Module):
    """Attention and mix-FFN, each behind a LayerNorm, each residual with stochastic depth."""

    def __init__(self, channels: int, heads: int, reduction: int, drop_path: float) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(channels, eps=1e-6)
        self.attn = EfficientAttention(channels, heads, reduction)
        self.norm2 = nn.LayerNorm(channels, eps=1e-6)
        self.mlp = MixFFN(channels, MLP_RATIO * channels)
        self.drop_path = StochasticDepth(drop_path, "row")

    def forward(self, tokens: Tensor, height: int, width: int) -> Tensor:
        """(B, h*w, C) tokens -> the same shape."""
        tokens = tokens + self.drop_path(self.attn(self.norm1(tokens), height, width))
        out: Tensor = tokens + self.drop_path(self.mlp(self.norm2(tokens), height, width))
        return out


class MixTransformer(nn.Module):
    """MiT-B0 .. B5.

    Args:
        variant: `mit_b0` to `mit_b5`.
        drop_path: Stochastic depth of the last block; it grows linearly from 0 at the first.

    Raises:
        ConfigError: If there is no such variant.
    """

    def __init__(self, variant: str = "mit_b5", drop_path: float = 0.1) -> None:
        super().__init__()
        if variant not in MIT_VARIANTS:
            raise ConfigError(f"Unknown backbone '{variant}'.{did_you_mean(variant, MIT_VARIANTS)}")
        self.channels = MIT_VARIANTS[variant].channels
        depths = MIT_VARIANTS[variant].depths
        rates = iter(drop_path * i / (sum(depths) - 1) for i in range(sum(depths)))
        inputs = (3, *self.channels[:3])
        for i, (in_channels, channels, depth) in enumerate(zip(inputs, self.channels, depths, strict=True)):
            kernel, stride = (7, 4) if i == 0 else (3, 2)
            blocks = [MiTBlock(channels, NUM_HEADS[i], REDUCTIONS[i], next(rates)) for _ in range(depth)]
            setattr(self, f"patch_embed{i + 1}", OverlapPatchEmbed(in_channels, channels, kernel, stride))
            setattr(self, f"block{i + 1}", nn.ModuleList(blocks))
            setattr(self, f"norm{i + 1}", nn.LayerNorm(channels, eps=1e-6))
        self.apply(_initialise)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Encode images.

        Args:
            images: (B, 3, H, W) normalised RGB.

        Returns:
            Four feature maps of stride 4, 8, 16 and 32: (B, C_i, H_i, W_i).
        """
        features = images
        outputs = []
        for stage in range(1, 5):
            tokens, height, width = getattr(self, f"patch_embed{stage}")(features)
            for block in getattr(self, f"block{stage}"):
                tokens = block(tokens, height, width)
            features = _to_map(getattr(self, f"norm{stage}")(tokens), height, width).contiguous()
            outputs.append(features)
        return outputs

    def layer_ids(self) -> dict[str, int]:
        """The layer of each parameter: patch embeddings and blocks; a stage's norm belongs to its last block."""

        def place(name: str) -> tuple[int, int]:
            part, index, *_ = name.split(".")
            kind, stage = part[:-1], int(part[-1])
            if kind == "block":
                return stage, int(index)
            return stage, -1 if kind == "patch_embed" else len(getattr(self, f"block{stage}")) - 1

        return number_layers((name for name, _ in self.named_parameters()), place)


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        nn.init.zeros_(module.bias)
    elif isinstance(module, nn.Conv2d):
        fan_out = module.kernel_size[0] * module.kernel_size[1] * module.out_channels // module.groups
        nn.init.normal_(module.weight, 0, math.sqrt(2.0 / fan_out))
        if module.bias is not None:
            nn.init.zeros_(module.bias)
