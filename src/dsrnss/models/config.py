"""What a network is made of, and the check of it where anybody may have written it into a file."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, TypeGuard

from dsrnss.errors import CheckpointError

_NAMES = ("backbone", "head")
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
            `_v1c` (torchvision's stem); `compact` (a small convolutional encoder for CPUs).
        head: `daformer`, `segformer`, `deeplabv2`, `refinenet`, or `fpn` (a light one for CPUs).
        head_channels: Channels inside the head; `deeplabv2` and `refinenet` have none to choose.
        num_classes: Number of classes.
        drop_path: Stochastic depth of the backbone's last block.
        dropout: Dropout2d before the classifier; `deeplabv2` has none, `refinenet` its own of 0.5.
        hrda: Fuse a wide low-resolution and a narrow high-resolution view (HRDA).
        strides: Of the four stages of a ResNet; None: 1, 2, 1, 1 under the DeepLabV2 head, else 1, 2, 2, 2.
        dilations: Of the four stages of a ResNet; None: 1, 1, 2, 4 under the DeepLabV2 head, else 1, 1, 1, 1.
    """

    backbone: str = "mit_b5"
    head: str = "daformer"
    head_channels: int = 256
    num_classes: int = 19
    drop_path: float = 0.1
    dropout: float = 0.1
    hrda: bool = False
    strides: tuple[int, int, int, int] | None = None
    dilations: tuple[int, int, int, int] | None = None

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
    if key in _NAMES:
        right, expected = isinstance(value, str), "a name"
    elif key in _COUNTS:
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
