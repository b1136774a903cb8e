"""What stands beside the weights of a network of this package: its configuration, its classes and its card."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

import dsrnss
from dsrnss.errors import CheckpointError, ConfigError
from dsrnss.labels import CoOccurrence, LabelSpace
from dsrnss.models.class_path import check_imported, own_classes
from dsrnss.models.config import NetworkConfig, is_whole
from dsrnss.models.factory import build_segmentor
from dsrnss.models.segmentor import Segmentor

FORMAT = 1
"""Counts up when an older version could no longer read what is written."""


def describe(config: NetworkConfig, label_space: LabelSpace, card: Mapping[str, Any]) -> dict[str, Any]:
    """What stands beside the weights, as plain values."""
    space = asdict(label_space)
    space["raw_ids"] = {str(raw): train for raw, train in label_space.raw_ids.items()}
    return {
        "format": FORMAT,
        "dsrnss": dsrnss.__version__,
        "network": config.to_dict(),
        "label_space": space,
        "card": dict(card),
    }


def read_description(description: Mapping[str, Any], path: Path) -> tuple[NetworkConfig, LabelSpace, dict[str, Any]]:
    """The inverse of `describe`.

    Args:
        description: What was written, or what somebody made of it.
        path: Where it was read, for messages.

    Raises:
        CheckpointError: If a newer version wrote it, a part is missing, a value is of the wrong kind or range, or the
            network is made of code that the user has not imported.
    """
    _check_format(description.get("format"), path)
    try:
        config = NetworkConfig.from_dict(description["network"])
        label_space = label_space_from_dict(description["label_space"])
        card = dict(description.get("card") or {})
    except KeyError as error:
        raise CheckpointError(f"The description of the network in '{path}' is incomplete: no {error}.") from error
    except (CheckpointError, ConfigError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise CheckpointError(f"The description of the network in '{path}' is wrong: {_sentence(error)}") from error
    check_imported(config, str(path))
    return config, label_space, card


def build_described(config: NetworkConfig, source: str) -> Segmentor:
    """Build a network as a file describes it: without memory for its tensors, on the meta device, if that can be.

    Args:
        config: What a file says that it is made of.
        source: The file, for messages.

    Raises:
        CheckpointError: If there is no such network.
    """
    # of classes of the user's own only the real thing is known to work: many count in tensors when they are built
    place = "cpu" if own_classes(config) else "meta"
    try:
        with torch.device(place):
            return build_segmentor(config)
    except Exception as error:  # the values come from a file: whatever they make of a layer is the file's fault
        raise CheckpointError(f"The network of '{source}' cannot be built: {_sentence(error)}") from error


def label_space_from_dict(values: Mapping[str, Any]) -> LabelSpace:
    """Rebuild a label space from the plain values of `describe`.

    Raises:
        CheckpointError: If a colour or an id is out of its range.
        ConfigError: If the parts do not fit each other.
    """
    plain = dict(values)
    plain["palette"] = tuple(tuple(colour) for colour in plain["palette"])
    plain["raw_ids"] = {int(raw): int(train) for raw, train in plain["raw_ids"].items()}
    plain["co_occurrence"] = tuple(
        CoOccurrence(tuple(rule["chosen"]), tuple(rule["added"])) for rule in plain["co_occurrence"]
    )
    for group in ("names", "large_static", "dynamic", "small", "tail", "feature_distance"):
        plain[group] = tuple(plain[group])
    for colour in plain["palette"]:
        if len(colour) != 3 or not all(is_whole(channel, 0, 255) for channel in colour):
            raise CheckpointError(f"a colour of the palette is three whole numbers from 0 to 255, not {list(colour)}.")
    if not all(isinstance(name, str) for name in plain["names"]):
        raise CheckpointError("the names of the classes are texts.")
    if not all(is_whole(raw, 0, 255) for raw in plain["raw_ids"]):
        raise CheckpointError("raw_ids are from 0 to 255.")
    return LabelSpace(**plain)


def _check_format(found: object, path: Path) -> None:
    if is_whole(found, FORMAT, FORMAT):
        return
    if isinstance(found, int) and found > FORMAT:
        raise CheckpointError(
            f"'{path}' is of format {found}, which a newer dsrnss wrote; this one ({dsrnss.__version__}) reads format "
            f"{FORMAT}. Update it: pip install -U dsrnss."
        )
    raise CheckpointError(f"The description of the network in '{path}' has format {found!r}; expected {FORMAT}.")


def _sentence(error: Exception) -> str:
    text = (str(error).splitlines() or [type(error).__name__])[0]
    return text if text.endswith((".", "?")) else f"{text}."
