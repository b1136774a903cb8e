"""What a backbone and a head give, checked where they may be anybody's."""

from torch import Tensor, nn

from dsrnss.errors import ConfigError


def channels_of(backbone: nn.Module) -> tuple[int, ...]:
    """Channels of a backbone's feature maps, finest first.

    Raises:
        ConfigError: If it does not say.
    """
    channels = getattr(backbone, "channels", None)
    if not isinstance(channels, (tuple, list)) or not channels or not all(isinstance(c, int) for c in channels):
        raise ConfigError(
            f"The backbone {type(backbone).__name__} has no `channels`: expected the channels of its feature maps, "
            f"finest first, such as (64, 128, 320, 512), not {channels!r}."
        )
    return tuple(channels)


def checked_features(backbone: nn.Module, features: object) -> list[Tensor]:
    """What a backbone returned, as feature maps (B, C_i, H_i, W_i).

    Raises:
        ConfigError: If it is something else.
    """
    channels = channels_of(backbone)
    maps = list(features) if isinstance(features, (tuple, list)) else []
    fit = len(maps) == len(channels) and all(
        isinstance(found, Tensor) and found.ndim == 4 and found.shape[1] == count
        for found, count in zip(maps, channels, strict=False)
    )
    if not fit:
        raise ConfigError(
            f"The backbone {type(backbone).__name__} returned {_shown(features)}: expected a list of feature maps "
            f"(B, C, H, W) of {', '.join(map(str, channels))} channels, as its `channels` say."
        )
    return maps


def checked_logits(head: nn.Module, logits: object, num_classes: int) -> Tensor:
    """What a head returned, as logits (B, num_classes, h, w).

    Raises:
        ConfigError: If it is something else.
    """
    if isinstance(logits, Tensor) and logits.ndim == 4 and logits.shape[1] == num_classes:
        return logits
    raise ConfigError(
        f"The head {type(head).__name__} returned {_shown(logits)}: expected logits (B, {num_classes}, h, w)."
    )


def _shown(value: object) -> str:
    if isinstance(value, Tensor):
        return f"a tensor {tuple(value.shape)}"
    if isinstance(value, (tuple, list)):
        return f"a {type(value).__name__} of {', '.join(_shown(item) for item in value) or 'nothing'}"
    return f"a {type(value).__name__}"
