"""What a network is made of, and the check of it where anybody may have written it into a file."""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, TypeGuard

from dsrnss.errors import CheckpointError, ConfigError, check_range

Part = str | dict[str, Any]
"""A backbone or a head: a name, a class path, or a mapping of `class_path` and `init_args`."""

_PARTS = ("backbone", "head")
_CLASS_PATH = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)+")
_TIMM = "timm/"
_COUNTS = {"head_channels": 8192, "num_classes": 254}
"""Whole numbers and their greatest value: networks beyond it would be built of nonsense."""
_RATES = ("drop_path", "dropout")
_STAGES = ("strides", "dilations")
_LARGEST_STEP = 64


@dataclass(frozen=True)
class NetworkConfig:
    """What a network is made of; it is stored beside its weights.

    Args:
        backbone: `mit_b0` to `mit_b5`; `resnet18_v1c`, `resnet50_v1c`, `resnet101_v1c` (deep stem) or the same without
            `_v1c` (torchvision's stem); `compact` (a small convolutional encoder for CPUs). Or a class of your own:
            `my_module.MyBackbone`, or a mapping of `class_path` and `init_args` (docs/extending.md).
            Or an encoder of timm, `timm/NAME` (docs/encoders.md).
        head: `daformer`, `segformer`, `deeplabv2`, `refinenet`, or the light ones `fpn` and `linear`; or a
            class of your own.
        head_channels: Channels inside the head; `deeplabv2` and `linear` have none to choose.
        num_classes: Number of classes.
        drop_path: Stochastic depth of the backbone's last block.
        dropout: Dropout2d before the classifier; `deeplabv2` has none, `refinenet` its own of 0.5.
        hrda: Fuse a wide low-resolution and a narrow high-resolution view (HRDA).
        strides: Of the four stages of a ResNet; None: 1, 2, 1, 1 under the DeepLabV2 head, else 1, 2, 2, 2.
        dilations: Of the four stages of a ResNet; None: 1, 1, 2, 4 under the DeepLabV2 head, else 1, 1, 1, 1.
    """

    backbone: str | dict[str, Any] = "mit_b5"
    head: str | dict[str, Any] = "daformer"
    head_channels: int = 256
    num_classes: int = 19
    drop_path: float = 0.1
    dropout: float = 0.1
    hrda: bool = False
    strides: tuple[int, int, int, int] | None = None
    dilations: tuple[int, int, int, int] | None = None

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises:
            ConfigError: If a value is outside its range.
        """
        for name, most in _COUNTS.items():
            check_range(f"network.{name}", getattr(self, name), 1, most)
        for name in _RATES:
            check_range(f"network.{name}", getattr(self, name), 0, 1)

    def __str__(self) -> str:
        """Backbone and head, for messages."""
        return f"{name_of(self.backbone)} + {name_of(self.head)}{', HRDA' if self.hrda else ''}"

    def to_dict(self) -> dict[str, Any]:
        """The configuration as plain values, for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "NetworkConfig":
        """The inverse of `to_dict`.

        Raises:
            CheckpointError: If a key is unknown (the file was written by a newer version), or a value is of the wrong
                type or out of its range.
        """
        return cls(**checked_values(values, cls.__dataclass_fields__))


def split_part(kind: str, part: object) -> tuple[str, dict[str, Any]]:
    """The name or class path of a backbone or a head, and its `init_args`.

    Args:
        kind: `backbone` or `head`, for messages.
        part: What was written: a `Part`, if it is right.

    Raises:
        ConfigError: If it is none.
    """
    if isinstance(part, str) and (not is_class_path(part) or _CLASS_PATH.fullmatch(part)):
        return part, {}
    if isinstance(part, Mapping):
        path, init_args = part.get("class_path"), part.get("init_args", {})
        right = isinstance(path, str) and _CLASS_PATH.fullmatch(path) and isinstance(init_args, Mapping)
        if right and part.keys() <= {"class_path", "init_args"} and all(isinstance(key, str) for key in init_args):
            return str(path), dict(init_args)
    raise ConfigError(
        f"{kind}: expected a name, a class path such as 'my_module.MyClass', or a mapping of class_path and init_args "
        f"({{'class_path': 'my_module.MyClass', 'init_args': {{'width': 64}}}}), not {_shown(part)}."
    )


def is_timm(name: str) -> bool:
    """Whether this is the name of an encoder of timm."""
    return name.startswith(_TIMM)


def is_class_path(name: str) -> bool:
    """Whether this names a class of the user's own: only class paths, and some names of timm, have dots."""
    return "." in name and not is_timm(name)


def name_of(part: Part) -> str:
    """What to call a backbone or a head: its name or its class path."""
    return part if isinstance(part, str) else str(part.get("class_path"))


def checked_values(values: object, known: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a network's configuration, in the types of the configuration.

    Args:
        values: What a file says, as JSON gives it.
        known: The fields there are.

    Raises:
        CheckpointError: Naming the field whose type or range is wrong, or that is unknown.
    """
    if not isinstance(values, Mapping):
        raise CheckpointError(f"The network's configuration is a JSON object, not a {type(values).__name__}.")
    unknown = sorted(str(key) for key in values if key not in known)
    if unknown:
        raise CheckpointError(f"The network's configuration has unknown keys {unknown}: a newer dsrnss wrote it.")
    return {key: _checked(key, value) for key, value in values.items()}


def is_whole(value: object, least: int, most: int) -> TypeGuard[int]:
    """Whether a value is a whole number in a range; True and False are none."""
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def _checked(key: str, value: Any) -> Any:
    if key in _PARTS:
        try:
            split_part(key, value)
        except ConfigError as error:
            raise CheckpointError(f"The network's configuration: {error}") from error
        return value
    if key in _COUNTS:
        right, expected = is_whole(value, 1, _COUNTS[key]), f"a whole number from 1 to {_COUNTS[key]}"
    elif key in _RATES:
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        right, expected = number and 0 <= value <= 1, "a number from 0 to 1"
    elif key in _STAGES:
        steps = isinstance(value, (list, tuple)) and len(value) == 4
        right = value is None or (steps and all(is_whole(step, 1, _LARGEST_STEP) for step in value))
        expected = f"null or four whole numbers from 1 to {_LARGEST_STEP}"
    else:
        right, expected = isinstance(value, bool), "true or false"
    if not right:
        raise CheckpointError(f"The network's configuration: {key} is {expected}, not {_shown(value)}.")
    return tuple(value) if isinstance(value, list) else value


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
