"""Checks of the plain values of a network's configuration, which anybody may have written into its file."""

from collections.abc import Mapping
from typing import Any, TypeGuard

from dsrnss.errors import CheckpointError

_NAMES = ("backbone", "head")
_COUNTS = {"head_channels": 8192, "num_classes": 254}
"""Whole numbers and their greatest value: networks beyond it would be built of nonsense."""
_RATES = ("drop_path", "dropout")
_STAGES = ("strides", "dilations")
_LARGEST_STEP = 64


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
