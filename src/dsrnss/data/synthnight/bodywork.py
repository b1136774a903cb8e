"""A vehicle's own frame: faces of an extruded profile, and panels on its sides and ends."""

from __future__ import annotations

import math
from collections.abc import Sequence

from .canvas import Canvas
from .scene import Vehicle
from .types import ClassId, Colour, Point

Profile = Sequence[tuple[float, float, float]]
"""Counter-clockwise outline: way forward in lengths, height in metres, half width as a share of the full one."""

LABELS = {"car": ClassId.CAR, "truck": ClassId.TRUCK, "bus": ClassId.BUS, "train": ClassId.TRAIN}
WHEEL = [(math.cos(math.pi * k / 6), math.sin(math.pi * k / 6)) for k in range(12)]
TYRE: Colour = (26, 24, 24)
RIM: Colour = (118, 116, 115)


class Bodywork:
    """Paints parts of one vehicle, given in its own frame: `a` metres forward, `b` to the right, `y` up.

    Attributes:
        eye: the camera in that frame.
        scale: pixels a metre.
    """

    def __init__(self, canvas: Canvas, vehicle: Vehicle) -> None:
        self.canvas = canvas
        self.vehicle = vehicle
        self.label = LABELS[vehicle.kind]
        self._sin, self._cos = math.sin(vehicle.heading), math.cos(vehicle.heading)
        self.half_length, self.half_width = vehicle.length / 2, vehicle.half_width
        self.eye = self._find_eye()
        self.scale = canvas.pixels_per_metre(vehicle.x, max(vehicle.z, canvas.camera.z + 1.0))
        self.lights = vehicle.lights and not canvas.day

    def _find_eye(self) -> tuple[float, float, float]:
        camera, road, z = self.canvas.camera, self.canvas.road, self.vehicle.z
        back = camera.z - z
        # the bend is taken as straight over the vehicle's length
        x = camera.x - road.centre(z) - back * z * (2 * road.bend + 3 * z * road.twist) - self.vehicle.x
        y = camera.y - road.height(z) - back * (road.slope + 2 * z * road.hill)
        return x * self._sin + back * self._cos, x * self._cos - back * self._sin, y

    def point(self, a: float, b: float, y: float) -> Point:
        """Turn a point of the vehicle's frame into road coordinates."""
        x = self.vehicle.x + a * self._sin + b * self._cos
        return x, y, self.vehicle.z + a * self._cos - b * self._sin

    def sees_side(self, side: int) -> bool:
        """Whether the camera sees the left (-1) or right (1) side."""
        return side * self.eye[1] > self.half_width

    def sees_end(self, front: int) -> bool:
        """Whether the camera sees the front (1) or the rear (-1)."""
        return front * self.eye[0] > self.half_length

    def _side_light(self, side: int) -> float:
        sun = self.canvas.sun
        if sun is None:
            return 0.85
        faces = side if self._cos > 0 else -side
        if not sun.shining:
            return 0.85
        return 1.0 if faces != sun.side else 0.66

    def extrude(
        self, profile: Profile, colour: Colour, glass: Colour, windows: Sequence[int] = (), glow: int = 0
    ) -> None:
        """Paint the visible faces of a profile across the vehicle's width.

        Args:
            profile: outline seen from the right.
            colour: paint.
            glass: colour of the windows.
            windows: which edges, by their first corner, are of glass.
            glow: emission of the glass.
        """
        corners = [(2 * self.half_length * a, y, self.half_width * w) for a, y, w in profile]
        ea, _, ey = self.eye
        faces = []
        for k, (a0, y0, w0) in enumerate(corners):
            a1, y1, w1 = corners[(k + 1) % len(corners)]
            if (ea - a0) * (y1 - y0) - (ey - y0) * (a1 - a0) > 0:
                faces.append((abs(ea - (a0 + a1) / 2), k, (a0, y0, w0), (a1, y1, w1)))
        for _, k, (a0, y0, w0), (a1, y1, w1) in sorted(faces, reverse=True):
            flat = abs(a1 - a0) / (abs(a1 - a0) + abs(y1 - y0) + 1e-9)
            shade = 0.82 + 0.36 * flat * (1.0 if self.canvas.day else 0.3)
            paint, emission = (glass, glow) if k in windows else (colour, 0)
            face = [self.point(a0, -w0, y0), self.point(a0, w0, y0), self.point(a1, w1, y1), self.point(a1, -w1, y1)]
            self.canvas.polygon(face, paint, self.label, shade=shade, emission=emission)
        for side in (-1, 1):
            if self.sees_side(side):
                outline = [self.point(a, side * w, y) for a, y, w in corners]
                self.canvas.polygon(outline, colour, self.label, shade=self._side_light(side))

    def box(self, a0: float, a1: float, y0: float, y1: float, colour: Colour, width: float = 1.0) -> None:
        """Paint a box between two places along the vehicle."""
        n = 2 * self.half_length
        profile = [(a0 / n, y0, width), (a1 / n, y0, width), (a1 / n, y1, width), (a0 / n, y1, width)]
        self.extrude(profile, colour, colour)

    def side_panel(
        self, corners: Sequence[tuple[float, float]], colour: Colour, emission: int = 0, width: float = 1.0
    ) -> None:
        """Paint a polygon of (forward, height) on each visible side."""
        for side in (-1, 1):
            if self.sees_side(side):
                b = side * (self.half_width * width + 0.01)
                points = [self.point(a, b, y) for a, y in corners]
                shade = 1.0 if emission else 0.6 + 0.4 * self._side_light(side)
                self.canvas.polygon(points, colour, self.label, shade=shade, emission=emission)

    def side_strip(self, a0: float, a1: float, y0: float, y1: float, colour: Colour, emission: int = 0) -> None:
        """Paint a rectangle on each visible side."""
        self.side_panel([(a0, y0), (a1, y0), (a1, y1), (a0, y1)], colour, emission)

    def end_panel(
        self, front: int, box: tuple[float, float, float, float], colour: Colour, emission: int = 0, a: float = 0.0
    ) -> None:
        """Paint a rectangle (b0, b1, y0, y1) on the front or rear, moved outwards by `a`, if that is seen."""
        if self.sees_end(front):
            b0, b1, y0, y1 = box
            way = front * (self.half_length + 0.01 + a)
            points = [self.point(way, b, y) for b, y in ((b0, y0), (b1, y0), (b1, y1), (b0, y1))]
            self.canvas.polygon(points, colour, self.label, emission=emission)

    def side_wheels(self, places: Sequence[float], radius: float) -> None:
        """Paint wheels at places along each visible side."""
        inner = 0.55 * radius
        for a in places:
            self.side_panel([(a + radius * p, radius + radius * q) for p, q in WHEEL], TYRE)
            if radius * self.scale > 3:
                self.side_panel([(a + inner * p, radius + inner * q) for p, q in WHEEL], RIM)

    def end_wheels(self, radius: float) -> None:
        """Paint the tyres that show under the visible end."""
        for front in (-1, 1):
            for side in (-1, 1):
                edges = sorted((side * (self.half_width - 0.04), side * (self.half_width - 0.28)))
                self.end_panel(front, (edges[0], edges[1], 0.0, radius + 0.05), TYRE, a=-0.25)

    def lamp_pair(self, front: int, inset: float, size: tuple[float, float], y: float, colour: Colour) -> None:
        """Paint two lamps on the front or rear; burning, or reflecting a little."""
        if not self.sees_end(front):
            return
        for side in (-1, 1):
            middle = side * (self.half_width - inset)
            box = (middle - size[0] / 2, middle + size[0] / 2, y - size[1] / 2, y + size[1] / 2)
            self.end_panel(front, box, colour, emission=230 if self.lights else 34)
            if self.lights:
                place = self.point(front * (self.half_length + 0.02), middle, y)
                self.canvas.light(place, colour, 0.15 if front > 0 else 0.09)

    def ground_shadow(self) -> None:
        """Darken the ground under the vehicle."""
        a, b = self.half_length + 0.2, self.half_width + 0.15
        corners = [self.point(p * a, q * b, 0.0) for p, q in ((-1, -1), (1, -1), (1, 1), (-1, 1))]
        self.canvas.shadow([(x, z) for x, _, z in corners])
