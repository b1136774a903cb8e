"""ResNet (arXiv 1512.03385) whose strides and dilations are free, with torchvision's or OpenMMLab's v1c stem.

The blocks are torchvision's: the stride lies on the 3x3 convolution.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock, Bottleneck

from dsrnss.errors import ConfigError, did_you_mean
from dsrnss.models.contract import number_layers

WIDTHS = (64, 128, 256, 512)


class DilatedBasicBlock(BasicBlock):  # type: ignore[misc]
    """torchvision's basic block, whose first convolution may be dilated as in OpenMMLab's."""

    def __init__(
        self, inplanes: int, planes: int, stride: int = 1, downsample: nn.Module | None = None, dilation: int = 1
    ) -> None:
        super().__init__(inplanes, planes, stride, downsample)
        self.conv1.dilation = self.conv1.padding = (dilation, dilation)


@dataclass(frozen=True)
class ResNetVariant:
    """Blocks of the four stages, their kind, and whether three 3x3 convolutions replace the 7x7 of the stem (v1c)."""

    depths: tuple[int, int, int, int]
    block: Any
    deep_stem: bool


RESNET_VARIANTS = {
    f"{name}{suffix}": ResNetVariant(depths, block, bool(suffix))
    for suffix in ("_v1c", "")
    for name, depths, block in (
        ("resnet18", (2, 2, 2, 2), DilatedBasicBlock),
        ("resnet50", (3, 4, 6, 3), Bottleneck),
        ("resnet101", (3, 4, 23, 3), Bottleneck),
    )
}


class ResNet(nn.Module):
    """ResNet-18, -50 or -101.

    Args:
        variant: `resnet18`, `resnet50` or `resnet101` with torchvision's stem; with `_v1c` behind it the deep stem.
        strides: Of the four stages; 1, 2, 1, 1 in DeepLabV2.
        dilations: Of the four stages, from their first block on; 1, 1, 2, 4 in DeepLabV2.

    Raises:
        ConfigError: If there is no such variant, or strides or dilations are not four positive numbers.
    """

    def __init__(
        self,
        variant: str = "resnet101_v1c",
        strides: Sequence[int] = (1, 2, 2, 2),
        dilations: Sequence[int] = (1, 1, 1, 1),
    ) -> None:
        super().__init__()
        if variant not in RESNET_VARIANTS:
            raise ConfigError(f"Unknown backbone '{variant}'.{did_you_mean(variant, RESNET_VARIANTS)}")
        for name, values in (("strides", strides), ("dilations", dilations)):
            if len(values) != 4 or min(values) < 1:
                raise ConfigError(f"{name} of a ResNet: expected four positive numbers, not {list(values)}.")
        facts = RESNET_VARIANTS[variant]
        self.channels: tuple[int, ...] = tuple(width * facts.block.expansion for width in WIDTHS)
        self.deep_stem = facts.deep_stem
        if facts.deep_stem:
            self.stem = _deep_stem()
        else:
            self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
            self.bn1 = nn.BatchNorm2d(64)
            self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        inputs = (64, *self.channels[:3])
        for i, depth in enumerate(facts.depths):
            stage = _stage(facts.block, inputs[i], WIDTHS[i], depth, strides[i], dilations[i])
            self.add_module(f"layer{i + 1}", stage)
        self.apply(_initialise)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Encode images.

        Args:
            images: (B, 3, H, W) normalised RGB.

        Returns:
            Four feature maps (B, C_i, H_i, W_i), the first of stride 4 times the first stage's.
        """
        stem = self.stem(images) if self.deep_stem else self.relu(self.bn1(self.conv1(images)))
        features = self.maxpool(stem)
        outputs = []
        for stage in range(1, 5):
            features = getattr(self, f"layer{stage}")(features)
            outputs.append(features)
        return outputs

    def layer_ids(self) -> dict[str, int]:
        """The layer of each parameter: the stem, and the blocks."""

        def place(name: str) -> tuple[int, int]:
            part, index, *_ = name.split(".")
            return (int(part.removeprefix("layer")), int(index)) if part.startswith("layer") else (0, 0)

        return number_layers((name for name, _ in self.named_parameters()), place)


def _deep_stem() -> nn.Sequential:
    layers: list[nn.Module] = []
    for inputs, outputs, stride in ((3, 32, 2), (32, 32, 1), (32, 64, 1)):
        conv = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        layers += [conv, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)


def _stage(block: Any, inputs: int, width: int, depth: int, stride: int, dilation: int) -> nn.Sequential:
    outputs = width * block.expansion
    shortcut = None
    if stride != 1 or inputs != outputs:
        shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))
    first = block(inputs, width, stride, shortcut, dilation=dilation)
    return nn.Sequential(first, *(block(outputs, width, dilation=dilation) for _ in range(depth - 1)))


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
