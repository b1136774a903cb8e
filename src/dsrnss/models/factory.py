"""From a configuration to a network with fresh weights."""

from dsrnss.errors import ConfigError, did_you_mean
from dsrnss.models.backbones import BACKBONES
from dsrnss.models.config import NetworkConfig
from dsrnss.models.heads import HEADS
from dsrnss.models.hrda import HRDA
from dsrnss.models.segmentor import Segmentor


def list_models() -> list[str]:
    """Names of the backbones that `NetworkConfig.backbone` takes."""
    return list(BACKBONES)


def build_segmentor(config: NetworkConfig) -> Segmentor:
    """Build a network with fresh weights.

    Raises:
        ConfigError: If the backbone or the head is unknown, or they do not go together.
    """
    for kind, name, known in (("backbone", config.backbone, BACKBONES), ("head", config.head, HEADS)):
        if name not in known:
            raise ConfigError(f"Unknown {kind} '{name}'.{did_you_mean(name, known)}")
    if config.hrda and config.head == "deeplabv2":
        raise ConfigError("HRDA needs a head whose logits have stride 4, which 'deeplabv2' has not: use 'daformer'.")
    backbone = BACKBONES[config.backbone](config.backbone, config)
    channels: tuple[int, ...] = backbone.channels  # type: ignore[assignment]
    head = HEADS[config.head](channels, config.num_classes, config.head_channels, config.dropout)
    return (HRDA if config.hrda else Segmentor)(config, backbone, head)
