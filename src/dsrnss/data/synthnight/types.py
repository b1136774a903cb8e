"""Small shared vocabulary of SynthNight: class ids, arrays, colours and random streams."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Colour = tuple[float, float, float]
"""Red, green, blue albedo in 0..255."""
Point = tuple[float, float, float]
"""Road coordinates in metres: lateral offset from the centre line, height above ground, way along."""


class ClassId(IntEnum):
    """Cityscapes train ids."""

    ROAD = 0
    SIDEWALK = 1
    BUILDING = 2
    WALL = 3
    FENCE = 4
    POLE = 5
    TRAFFIC_LIGHT = 6
    TRAFFIC_SIGN = 7
    VEGETATION = 8
    TERRAIN = 9
    SKY = 10
    PERSON = 11
    RIDER = 12
    CAR = 13
    TRUCK = 14
    BUS = 15
    TRAIN = 16
    MOTORCYCLE = 17
    BICYCLE = 18


FIRST_DYNAMIC = ClassId.PERSON


@dataclass(frozen=True)
class PointLight:
    """A lamp seen by the camera: position in pixels, depth in metres, colour 0..255, radius in pixels.

    `mirror` is the row of its mirror image in a wet road.
    """

    u: float
    v: float
    depth: float
    colour: Colour
    radius: float
    mirror: float


@dataclass(frozen=True)
class Sun:
    """Day light: whether the sun shines, the side its shadows fall from (-1, 1) and their relative length."""

    shining: bool
    side: int
    shadow: float


class Stream(IntEnum):
    """Purposes of the random streams of one scene; each stream is independent of the others."""

    STREET = 0
    TRAFFIC = 1
    REFERENCE_TRAFFIC = 2
    REFERENCE_POSE = 3
    LIGHT = 4
    REFERENCE_LIGHT = 5
    WINDOWS = 6
    CITY = 7


def stream(seed: int, split_id: int, index: int, purpose: Stream) -> np.random.Generator:
    """Return the PCG64 generator of one purpose of one scene."""
    return np.random.default_rng([seed, split_id, index, int(purpose)])


def tint(colour: Colour, factor: float) -> Colour:
    """Scale a colour, clipped to 0..255."""
    r, g, b = colour
    return (
        min(255.0, max(0.0, r * factor)),
        min(255.0, max(0.0, g * factor)),
        min(255.0, max(0.0, b * factor)),
    )


def jitter(rng: np.random.Generator, colour: Colour, low: float, high: float, noise: float) -> Colour:
    """Vary a colour by a random gain in [low, high] and Gaussian noise of `noise` levels a channel."""
    gain = float(rng.uniform(low, high))
    r, g, b = (c * gain + float(n) for c, n in zip(colour, rng.normal(0.0, noise, 3), strict=True))
    return tint((r, g, b), 1.0)
