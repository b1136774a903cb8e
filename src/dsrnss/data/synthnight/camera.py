"""Pinhole camera with yaw and a shifted horizon."""

from __future__ import annotations

import math
from dataclasses import dataclass

from .presets import CityStyle
from .road import Road
from .types import Array


@dataclass(frozen=True)
class Pose:
    """Offset from the scene's own camera: metres sideways and forward, radians, image heights of pitch."""

    dx: float = 0.0
    dz: float = 0.0
    yaw: float = 0.0
    pitch: float = 0.0


@dataclass(frozen=True)
class Camera:
    """A camera in the world; image coordinates are continuous, pixel (i, j) covers [i, i + 1) x [j, j + 1).

    Pitch is a shift of the principal point, so that vertical lines stay vertical and depth is constant along
    the columns of any vertical plane.
    """

    width: int
    height: int
    x: float
    y: float
    z: float
    yaw: float
    focal: float
    u0: float
    v0: float

    @property
    def cos(self) -> float:
        """Cosine of the yaw."""
        return math.cos(self.yaw)

    @property
    def sin(self) -> float:
        """Sine of the yaw."""
        return math.sin(self.yaw)

    def unproject(self, u: Array, v: Array, depth: Array) -> tuple[Array, Array, Array]:
        """Return the world coordinates seen at image coordinates `u`, `v` and `depth` (broadcastable)."""
        xc = depth * ((u - self.u0) / self.focal)
        y = self.y - depth * ((v - self.v0) / self.focal)
        c, s = self.cos, self.sin
        return c * xc + s * depth + self.x, y, c * depth - s * xc + self.z

    def project(self, x: Array, y: Array, z: Array) -> tuple[Array, Array, Array]:
        """Return image coordinates `u`, `v` and depth of world points in front of the camera."""
        c, s = self.cos, self.sin
        dx, dz = x - self.x, z - self.z
        depth = s * dx + c * dz
        safe = depth.clip(0.05)
        u = self.u0 + self.focal * (c * dx - s * dz) / safe
        v = self.v0 - self.focal * (y - self.y) / safe
        return u, v, depth


def place_camera(
    style: CityStyle,
    road: Road,
    size: tuple[int, int],
    lateral: float,
    elevation: float,
    horizon: float,
    pose: Pose,
) -> Camera:
    """Put a camera of a city on the road, pitched with its slope.

    Args:
        style: the city, for the focal length.
        road: the road the camera stands on.
        size: height and width of the image in pixels.
        lateral: offset from the centre line in metres.
        elevation: height above the ground in metres.
        horizon: row of the road's vanishing point in image heights.
        pose: offset from that place.
    """
    height, width = size
    # wide images keep the focal length of the width; tall ones would see only sky and bonnet
    focal = style.focal * min(width, 2.4 * height)
    v0 = height * (horizon + pose.pitch) + road.slope * focal
    z = pose.dz
    return Camera(
        width,
        height,
        x=road.centre(z) + lateral + pose.dx,
        y=road.height(z) + elevation,
        z=z,
        yaw=pose.yaw,
        focal=focal,
        u0=width / 2,
        v0=v0,
    )
