"""A small convolutional encoder that trains on a CPU: the network of the demo, not of the paper."""

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from dsrnss.errors import ConfigError, did_you_mean
from dsrnss.models.contract import number_layers


@dataclass(frozen=True)
class CompactVariant:
    """Channels of the stem and of the four stages, and residual blocks a stage."""

    stem: int
    channels: tuple[int, int, int, int]
    depths: tuple[int, int, int, int]


COMPACT_VARIANTS = {"compact": CompactVariant(24, (40, 80, 128, 160), (1, 1, 1, 1))}


def conv_bn_relu(in_channels: int, out_channels: int, stride: int = 1) -> nn.Sequential:
    """A 3x3 convolution, batch norm and ReLU."""
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, 3, stride, 1, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(inplace=True),
    )


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions around a shortcut (ResNet's basic block)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = conv_bn_relu(channels, channels)
        self.second = nn.Sequential(nn.Conv2d(channels, channels, 3, 1, 1, bias=False), nn.BatchNorm2d(channels))

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, H, W) -> the same shape."""
        return F.relu(features + self.second(self.first(features)))


class CompactNet(nn.Module):
    """Five strided 3x3 convolutions, with residual blocks in the last four stages.

    Args:
        variant: `compact`.

    Raises:
        ConfigError: If there is no such variant.
    """

    def __init__(self, variant: str = "compact") -> None:
        super().__init__()
        if variant not in COMPACT_VARIANTS:
            raise ConfigError(f"Unknown backbone '{variant}'.{did_you_mean(variant, COMPACT_VARIANTS)}")
        facts = COMPACT_VARIANTS[variant]
        self.channels = facts.channels
        self.stem = conv_bn_relu(3, facts.stem, stride=2)
        inputs = (facts.stem, *facts.channels[:3])
        self.stages = nn.ModuleList(
            nn.Sequential(conv_bn_relu(i, o, stride=2), *(ResidualBlock(o) for _ in range(depth)))
            for i, o, depth in zip(inputs, facts.channels, facts.depths, strict=True)
        )

    def forward(self, images: Tensor) -> list[Tensor]:
        """Encode images.

        Args:
            images: (B, 3, H, W) normalised RGB.

        Returns:
            Four feature maps of stride 4, 8, 16 and 32: (B, C_i, H_i, W_i).
        """
        features = self.stem(images)
        outputs = []
        for stage in self.stages:
            features = stage(features)
            outputs.append(features)
        return outputs

    def layer_ids(self) -> dict[str, int]:
        """The layer of each parameter: the stem, and the stages' modules."""

        def place(name: str) -> tuple[int, int]:
            part, *numbers = name.split(".")
            return (1 + int(numbers[0]), int(numbers[1])) if part == "stages" else (0, 0)

        return number_layers((name for name, _ in self.named_parameters()), place)
