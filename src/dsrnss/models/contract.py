"""What a backbone and a head give, checked where they may be anybody's."""

from collections.abc import Callable, Iterable
from typing import Any

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


def layers_of(backbone: nn.Module) -> dict[str, int]:
    """The layer of each parameter of a backbone, counted from the input.

    Raises:
        ConfigError: If it does not say.
    """
    tell = getattr(backbone, "layer_ids", None)
    if tell is None:
        raise ConfigError(
            f"optimizer.layer_decay needs to know the layers of the backbone {type(backbone).__name__}: expected a "
            "method `layer_ids` that gives the number of the layer of each of its parameters, by their names."
        )
    return dict(tell())


def fresh_of(backbone: nn.Module) -> tuple[str, ...]:
    """How the names of those parameters of a backbone begin that no pretrained file holds."""
    return tuple(getattr(backbone, "fresh", ()))


def facts_of(backbone: nn.Module) -> dict[str, Any]:
    """What a model's card tells of its backbone: JSON values."""
    return dict(getattr(backbone, "facts", {}))


def number_layers(names: Iterable[str], place: Callable[[str], tuple[int, ...]]) -> dict[str, int]:
    """Number the layers of parameters.

    Args:
        names: Of the parameters.
        place: Where a parameter lies, in an order that sorts from the input to the output.
    """
    places = {name: place(name) for name in names}
    order = {at: number for number, at in enumerate(sorted(set(places.values())))}
    return {name: order[at] for name, at in places.items()}


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
