"""Scores as plain JSON values, and back: what `test`, `adapt` and the demo leave for the pages of several runs."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from dsrnss.detail import BrightnessGroup, Detail
from dsrnss.labels import LabelSpace
from dsrnss.metrics import Scores, scores


def as_json(found: Scores, space: LabelSpace) -> dict[str, Any]:
    """Means, IoU of each class (null: neither in the truth nor predicted) and the confusion matrix, truth x prediction.

    Args:
        found: What was measured.
        space: Names and colours of the classes.
    """
    uncertain = {} if found.uiou is None else {"UIoU_per_class": by_class(found.uiou, space.names)}
    detail = {} if found.detail is None else {"detail": _detail(found.detail)}
    return {
        "scores": {name: number(value) for name, value in found.summary().items()},
        "IoU": by_class(found.iou, space.names),
        **uncertain,
        **detail,
        "classes": list(space.names),
        "colours": [list(colour) for colour in space.palette],
        "dynamic": list(space.dynamic),
        "small": list(space.small),
        "confusion": found.confusion.tolist(),
    }


def _detail(detail: Detail) -> dict[str, Any]:
    pixels, right, confidence = detail.calibration.T.tolist()
    return {
        "calibration_error": number(detail.calibration_error),
        "calibration": {"pixels": pixels, "right": right, "confidence": confidence},
        "brightness": [
            {"brightness": group.brightness, "pictures": group.pictures, "mIoU": number(group.mean_iou)}
            for group in detail.brightness
        ],
    }


def label_space_of(content: Mapping[str, Any]) -> LabelSpace:
    """The classes that `as_json` has written.

    Raises:
        KeyError: If they are not there; TypeError, ValueError or ConfigError where they are something else.
    """
    return LabelSpace(
        names=tuple(map(str, content["classes"])),
        palette=tuple((int(red), int(green), int(blue)) for red, green, blue in content["colours"]),
        dynamic=tuple(content["dynamic"]),
        small=tuple(content["small"]),
    )


def from_json(content: Mapping[str, Any], space: LabelSpace) -> Scores:
    """The scores that `as_json` has written; the UIoU and the single pictures are not among them.

    Raises:
        KeyError: If a part is not there; TypeError or ValueError where it is something else.
    """
    counts = np.array(content["confusion"], np.int64)
    if counts.shape != (space.num_classes, space.num_classes):
        raise ValueError(f"a confusion matrix {counts.shape} of {space.num_classes} classes")
    told = content.get("detail")
    if told is None:
        return scores(counts, space)
    calibration = np.array([told["calibration"][key] for key in ("pixels", "right", "confidence")], np.float64).T
    groups = [
        BrightnessGroup(float(one["brightness"]), int(one["pictures"]), _value(one["mIoU"]))
        for one in told["brightness"]
    ]
    return scores(counts, space, Detail(calibration, (), groups))


def by_class(values: npt.NDArray[np.float64], names: tuple[str, ...]) -> dict[str, float | None]:
    """Name of a class -> its value."""
    return {name: number(float(value)) for name, value in zip(names, values, strict=True)}


def number(value: float) -> float | int | None:
    """A number that JSON has; None where it does not exist."""
    if isinstance(value, int):
        return value
    return float(value) if math.isfinite(value) else None


def _value(value: float | None) -> float:
    return math.nan if value is None else float(value)
