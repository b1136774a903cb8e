"""The road as a coordinate system: a gently bent, gently sloping strip.

The scene is laid out in road coordinates (lateral offset, height above ground, way along) and bent into
the world, X right, Y up, Z forward, by X = x + centre(z), Y = y + height(z), Z = z. Depth and flow come
from the world and are exact.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

FAR = 112.0
"""Where the backdrop closes the street, in metres."""


@dataclass(frozen=True)
class Road:
    """Cross-section, course and profile of the road; lengths in metres.

    Attributes:
        half: half width of the carriageway.
        sidewalk: width of the left and the right sidewalk.
        verge: width of the left and the right strip of terrain between carriageway and sidewalk.
        bend: quadratic coefficient of the centre line, 1 / (2 radius), in 1/m.
        twist: cubic coefficient of the centre line in 1/m^2.
        slope: gradient of the road at the camera.
        hill: quadratic coefficient of its height in 1/m.
    """

    half: float
    sidewalk: tuple[float, float]
    verge: tuple[float, float]
    bend: float = 0.0
    twist: float = 0.0
    slope: float = 0.0
    hill: float = 0.0

    def centre(self, z: float) -> float:
        """Return the world X of the centre line at `z`."""
        return z * z * (self.bend + z * self.twist)

    def height(self, z: float) -> float:
        """Return the world Y of the ground at `z`."""
        return z * (self.slope + z * self.hill)

    def frontage(self, side: int) -> float:
        """Return the lateral distance of the facades on `side` (-1 left, 1 right) from the centre line."""
        k = 0 if side < 0 else 1
        return self.half + self.verge[k] + self.sidewalk[k]

    @property
    def straight(self) -> bool:
        """Whether facades need no subdivision."""
        return self.bend == 0.0 and self.twist == 0.0 and self.hill == 0.0


def draw_road(
    rng: np.random.Generator,
    half: float,
    sidewalk: tuple[float, float],
    verge: tuple[float, float],
) -> Road:
    """Draw the course of a road: a quarter straight and flat, the others bent, hilly or both."""
    bend = twist = slope = hill = 0.0
    if rng.random() < 0.5:
        bend = float(rng.uniform(0.0006, 0.0030) * rng.choice([-1, 1]))
        if rng.random() < 0.4:
            twist = float(-bend * rng.uniform(0.006, 0.014))
    if rng.random() < 0.5:
        slope = float(rng.uniform(-0.04, 0.04))
        hill = float(rng.uniform(-0.00028, 0.00050))
    return Road(half, sidewalk, verge, bend, twist, slope, hill)
