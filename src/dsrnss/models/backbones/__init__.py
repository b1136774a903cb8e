"""Encoders: images in, feature maps out. A new one is its file, and its line in the table."""

from collections.abc import Callable

from torch import nn

from dsrnss.models.backbones.compact import COMPACT_VARIANTS, CompactNet
from dsrnss.models.backbones.mit import MIT_VARIANTS, MixTransformer
from dsrnss.models.backbones.resnet import RESNET_VARIANTS, ResNet
from dsrnss.models.config import NetworkConfig


def _resnet(name: str, config: NetworkConfig) -> ResNet:
    dilated = config.head == "deeplabv2"
    strides = config.strides or ((1, 2, 1, 1) if dilated else (1, 2, 2, 2))
    dilations = config.dilations or ((1, 1, 2, 4) if dilated else (1, 1, 1, 1))
    return ResNet(name, strides, dilations)


def build_timm(name: str, config: NetworkConfig) -> nn.Module:
    """The encoder of a name that begins with `timm/`.

    Raises:
        ConfigError: If timm is missing, or has no such encoder.
    """
    from dsrnss.models.backbones.timm_encoder import TimmEncoder

    return TimmEncoder(name, config.drop_path)


BACKBONES: dict[str, Callable[[str, NetworkConfig], nn.Module]] = {
    **dict.fromkeys(MIT_VARIANTS, lambda name, config: MixTransformer(name, config.drop_path)),
    **dict.fromkeys(COMPACT_VARIANTS, lambda name, _: CompactNet(name)),
    **dict.fromkeys(RESNET_VARIANTS, _resnet),
}
"""How the backbone of each name is built, from the name and the configuration."""
