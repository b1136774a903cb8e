"""From a configuration to a network with fresh weights."""

from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from dsrnss.errors import ConfigError, did_you_mean
from dsrnss.models.backbones import BACKBONES, build_timm
from dsrnss.models.class_path import construct, import_class
from dsrnss.models.config import NetworkConfig, is_class_path, is_timm, split_part
from dsrnss.models.contract import channels_of
from dsrnss.models.heads import HEADS
from dsrnss.models.hrda import HRDA
from dsrnss.models.segmentor import Segmentor


def list_models() -> list[str]:
    """Names of the backbones that `NetworkConfig.backbone` takes."""
    return list(BACKBONES)


def build_segmentor(config: NetworkConfig) -> Segmentor:
    """Build a network with fresh weights.

    A class path in the configuration is imported; of a file's configuration `check_imported` comes first.

    Raises:
        ConfigError: If the backbone or the head is unknown, is no class of a network, does not take its arguments, or
            they do not go together.
    """
    make_backbone, make_head = _backbone_of(config), _head_of(config)  # both named rightly, before one is built
    if config.hrda and config.head == "deeplabv2":
        raise ConfigError("HRDA needs a head whose logits have stride 4, which 'deeplabv2' has not: use 'daformer'.")
    backbone = make_backbone()
    head = make_head(channels_of(backbone))
    return (HRDA if config.hrda else Segmentor)(config, backbone, head)


def build_backbone(config: NetworkConfig) -> nn.Module:
    """The backbone of a network alone, with fresh weights.

    Raises:
        ConfigError: As of `build_segmentor`.
    """
    return _backbone_of(config)()


def _backbone_of(config: NetworkConfig) -> Callable[[], nn.Module]:
    name, init_args = split_part("backbone", config.backbone)
    if not is_class_path(name):
        build = build_timm if is_timm(name) else _of_table("backbone", name, BACKBONES)
        return lambda: build(name, config)
    found = import_class("backbone", name)
    return lambda: construct("backbone", found, {}, {"drop_path": config.drop_path}, init_args)


def _head_of(config: NetworkConfig) -> Callable[[tuple[int, ...]], nn.Module]:
    name, init_args = split_part("head", config.head)
    found = import_class("head", name) if is_class_path(name) else _of_table("head", name, HEADS)
    offered = {"channels": config.head_channels, "dropout": config.dropout}

    def build(in_channels: tuple[int, ...]) -> nn.Module:
        given = {"in_channels": in_channels, "num_classes": config.num_classes}
        return construct("head", found, given, offered, init_args)

    return build


def _of_table(kind: str, name: str, table: Mapping[str, Any]) -> Any:
    if name not in table:
        raise ConfigError(
            f"Unknown {kind} '{name}'.{did_you_mean(name, table)} A class of your own is named by its path, such as "
            f"'my_module.My{kind.capitalize()}'."
        )
    return table[name]
