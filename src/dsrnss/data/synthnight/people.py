"""Paint pedestrians, bicycles and motorcycles with their riders: flat figures of polygons."""

from __future__ import annotations

import math
from collections.abc import Sequence

from .canvas import Canvas
from .furniture import CIRCLE, upright
from .scene import Cycle, Pedestrian
from .types import ClassId, Colour, tint

DARK: Colour = (30, 28, 28)
METAL: Colour = (112, 110, 108)
WHITE_LIGHT: Colour = (255, 250, 235)
RED_LIGHT: Colour = (240, 30, 25)

Outline = Sequence[tuple[float, float]]


class _Figure:
    """Paints polygons of one class in an upright plane turned by `heading` about its foot."""

    def __init__(self, canvas: Canvas, x: float, z: float, heading: float, label: ClassId) -> None:
        self.canvas = canvas
        self.x, self.z = x, z
        self.label = label
        self._cos, self._sin = math.cos(heading), math.sin(heading)

    def part(self, outline: Outline, colour: Colour, shade: float = 1.0, emission: int = 0) -> None:
        points = [(self.x + a * self._cos, y, self.z + a * self._sin) for a, y in outline]
        self.canvas.polygon(points, colour, self.label, shade=shade, emission=emission)

    def disc(self, a: float, y: float, radius: float, colour: Colour, shade: float = 1.0) -> None:
        self.part([(a + radius * p, y + radius * q) for p, q in CIRCLE], colour, shade)

    def bar(self, start: tuple[float, float], end: tuple[float, float], width: float, colour: Colour) -> None:
        da, dy = end[0] - start[0], end[1] - start[1]
        scale = width / math.hypot(da, dy)
        na, ny = -dy * scale, da * scale
        self.part(
            [
                (start[0] + na, start[1] + ny),
                (end[0] + na, end[1] + ny),
                (end[0] - na, end[1] - ny),
                (start[0] - na, start[1] - ny),
            ],
            colour,
        )


def _skin_and_hair(traits: tuple[float, ...]) -> tuple[Colour, Colour]:
    return tint((190, 142, 112), 0.45 + 0.65 * traits[0]), tint((50, 36, 26), 0.4 + 1.8 * traits[1])


def paint_pedestrian(canvas: Canvas, person: Pedestrian) -> None:
    """Paint somebody walking or standing."""
    x, z = person.x, person.z
    canvas.shadow([(x - 0.3, z - 0.15), (x + 0.3, z - 0.15), (x + 0.3, z + 0.2), (x - 0.3, z + 0.2)], 0.4)
    s, traits = person.height / 1.75, person.traits
    figure = _Figure(canvas, x, z, 0.0, ClassId.PERSON)

    def part(outline: Outline, colour: Colour, shade: float = 1.0) -> None:
        figure.part([(a * s, y * s) for a, y in outline], colour, shade)

    skin, hair = _skin_and_hair(traits)
    stride, body = 0.05 + 0.2 * traits[2], 0.2 + 0.05 * traits[3]
    hand = -body - 0.04 - 0.3 * stride
    skirt = traits[5] < 0.2
    part([(-0.14, 0.9), (0.02, 0.9), (0.0 - 0.6 * stride, 0.05), (-0.13 - 0.6 * stride, 0.05)], person.legs)
    part([(-0.02, 0.9), (0.14, 0.9), (0.13 + 0.6 * stride, 0.05), (0.6 * stride, 0.05)], person.legs, 0.8)
    near = canvas.pixels_per_metre(x, z) > 16
    for foot in (-0.13 - 0.6 * stride, 0.6 * stride) if near else ():
        part([(foot - 0.02, 0.0), (foot + 0.16, 0.0), (foot + 0.14, 0.08), (foot, 0.08)], DARK)
    hem = 0.5 if skirt else 0.78
    wide = body * (1.15 if skirt else 0.85)
    part([(-0.08, 1.5), (0.08, 1.5), (body, 1.43), (0.85 * body, 1.0), (wide, hem), (-wide, hem),
          (-0.85 * body, 1.0), (-body, 1.43)], person.top)  # fmt: skip
    part([(-body, 1.43), (-body + 0.09, 1.42), (hand + 0.1, 0.82), (hand, 0.82)], person.top, 0.8)
    part([(body, 1.43), (body - 0.09, 1.42), (-hand - 0.1, 0.82), (-hand, 0.82)], person.top, 0.72)
    for side in (-1, 1) if near else ():
        part([(side * (-hand - 0.05) + 0.05 * p, 0.8 + 0.06 * q) for p, q in CIRCLE[::2]], skin)
    if traits[4] > 0.65:
        bag = tint((70, 50, 45), 0.6 + traits[4])
        part([(0.6 * body, 1.15), (body + 0.2, 1.1), (body + 0.2, 0.8), (0.6 * body, 0.8)], bag)
    part([(0.115 * p, 1.62 + 0.14 * q) for p, q in CIRCLE], skin)
    part([(0.125 * p, 1.66 + 0.11 * max(q, -0.1)) for p, q in CIRCLE], hair)


def _paint_rider(canvas: Canvas, cycle: Cycle, motor: bool) -> None:
    along = abs(math.sin(cycle.heading)) > 0.6
    lift = 0.05 if motor else 0.12
    figure = _Figure(canvas, cycle.x, cycle.z, 0.0 if along else cycle.heading, ClassId.RIDER)

    def part(outline: Outline, colour: Colour, shade: float = 1.0) -> None:
        figure.part([(a, y + lift) for a, y in outline], colour, shade)

    skin, hair = _skin_and_hair(cycle.traits)
    helmet = hair if not motor and cycle.traits[2] > 0.5 else tint((225, 225, 225), 0.3 + 0.7 * cycle.traits[3])
    if along:
        for side in (-1, 1):
            part([(side * 0.06, 0.86), (side * 0.24, 0.84), (side * 0.22, 0.2), (side * 0.1, 0.2)], cycle.legs, 0.85)
            part([(side * 0.2, 1.4), (side * 0.3, 1.34), (side * 0.4, 1.0), (side * 0.3, 0.98)], cycle.top, 0.8)
        part([(-0.22, 0.78), (0.22, 0.78), (0.24, 1.38), (0.1, 1.46), (-0.1, 1.46), (-0.24, 1.38)], cycle.top)
        head = (0.0, 1.6)
    else:
        part([(-0.05, 0.82), (0.16, 0.88), (0.24, 0.5), (0.1, 0.42)], cycle.legs)
        part([(0.12, 0.5), (0.24, 0.5), (0.16, 0.06), (0.06, 0.06)], cycle.legs, 0.85)
        part([(-0.22, 0.76), (0.1, 0.74), (0.24, 1.36), (0.0, 1.46)], cycle.top)
        part([(0.08, 1.36), (0.2, 1.28), (0.52, 1.02), (0.46, 0.94)], cycle.top, 0.8)
        head = (0.2, 1.58)
    size = 0.15 if motor else 0.13
    part([(head[0] + 0.12 * p, head[1] + 0.14 * q) for p, q in CIRCLE], skin)
    part([(head[0] + size * p, head[1] + 0.04 + size * max(q, -0.15)) for p, q in CIRCLE], helmet)


def paint_cycle(canvas: Canvas, cycle: Cycle) -> None:
    """Paint a bicycle or motorcycle, ridden or parked."""
    c = abs(math.cos(cycle.heading))
    dx, x, z = 0.7 * c + 0.15, cycle.x, cycle.z
    canvas.shadow([(x - dx, z - 0.2), (x + dx, z - 0.2), (x + dx, z + 0.25), (x - dx, z + 0.25)], 0.4)
    if cycle.motor:
        _motorcycle(canvas, cycle)
    else:
        _bicycle(canvas, cycle)
    if cycle.ridden:
        _paint_rider(canvas, cycle, cycle.motor)
        if not canvas.day:
            oncoming = math.sin(cycle.heading) < 0
            colour = WHITE_LIGHT if oncoming else RED_LIGHT
            canvas.light((x, 0.8, z - 0.1), colour, 0.09 if cycle.motor else 0.045)


def _bicycle(canvas: Canvas, cycle: Cycle) -> None:
    figure = _Figure(canvas, cycle.x, cycle.z, cycle.heading, ClassId.BICYCLE)
    frame, radius = cycle.colour, 0.34
    for a in (-0.52, 0.52):
        figure.disc(a, radius, radius, DARK)
        figure.disc(a, radius, 0.76 * radius, (98, 97, 95))
        # a reflector in the spokes
        figure.part([(a + 0.05, 0.5), (a + 0.13, 0.5), (a + 0.13, 0.56), (a + 0.05, 0.56)], (250, 180, 60), 1.0, 40)
    if canvas.pixels_per_metre(cycle.x, cycle.z) > 12:
        figure.bar((-0.52, radius), (-0.1, 0.35), 0.035, frame)
        figure.bar((-0.52, radius), (-0.18, 0.8), 0.035, frame)
    figure.bar((-0.1, 0.35), (-0.18, 0.88), 0.045, frame)
    figure.bar((-0.1, 0.35), (0.38, 0.85), 0.045, frame)
    figure.bar((-0.18, 0.8), (0.38, 0.85), 0.045, frame)
    figure.bar((0.52, radius), (0.36, 1.0), 0.045, frame)
    figure.bar((-0.3, 0.92), (-0.06, 0.92), 0.05, DARK)
    figure.bar((0.22, 1.04), (0.46, 1.02), 0.04, DARK)
    if abs(math.sin(cycle.heading)) > 0.6:
        # nearly edge-on it would vanish: give it tyre, handlebar and saddle across
        x, z = cycle.x, cycle.z
        canvas.polygon(upright(x - 0.05, x + 0.05, 0.0, 0.7, z), DARK, ClassId.BICYCLE)
        canvas.polygon(upright(x - 0.29, x + 0.29, 0.98, 1.05, z), DARK, ClassId.BICYCLE)
        canvas.polygon(upright(x - 0.11, x + 0.11, 0.86, 0.95, z), DARK, ClassId.BICYCLE)
        canvas.polygon(upright(x - 0.05, x + 0.05, 0.62, 0.7, z), (235, 40, 30), ClassId.BICYCLE, emission=60)


def _motorcycle(canvas: Canvas, cycle: Cycle) -> None:
    figure = _Figure(canvas, cycle.x, cycle.z, cycle.heading, ClassId.MOTORCYCLE)
    paint, radius = cycle.colour, 0.33
    scooter = cycle.traits[5] < 0.35
    size = 0.25 if scooter else radius
    for a in (-0.66, 0.7):
        figure.disc(a, size, size, (22, 22, 24))
        figure.disc(a, size, 0.5 * size, METAL)
    if scooter:
        figure.part([(-0.8, 0.72), (-0.15, 0.74), (-0.05, 0.35), (0.35, 0.3), (0.45, 1.0), (0.6, 0.98),
                     (0.62, 0.25), (-0.5, 0.22), (-0.85, 0.4)], paint)  # fmt: skip
    else:
        figure.part([(-0.85, 0.85), (-0.3, 0.8), (0.05, 1.0), (0.45, 0.95), (0.66, 0.6), (0.35, 0.28),
                     (-0.35, 0.26), (-0.55, 0.5)], paint)  # fmt: skip
        figure.part([(-0.3, 0.55), (0.3, 0.55), (0.24, 0.2), (-0.28, 0.2)], (72, 70, 70))
        figure.bar((-0.7, 0.28), (0.0, 0.24), 0.06, METAL)
    figure.part([(-0.85, 0.88), (-0.1, 0.9), (-0.1, 0.76), (-0.75, 0.74)], DARK)
    figure.part([(0.44, 1.14), (0.58, 1.12), (0.77, 0.32), (0.64, 0.32)], METAL)
    figure.part([(0.5, 0.98), (0.72, 0.95), (0.72, 0.78), (0.55, 0.78)], (215, 212, 205), 1.0, 40)
    figure.part([(-0.92, 0.82), (-0.82, 0.82), (-0.82, 0.7), (-0.92, 0.7)], (235, 40, 30), 1.0, 60)
    if abs(math.sin(cycle.heading)) > 0.6:
        x, z = cycle.x, cycle.z
        canvas.polygon(upright(x - 0.1, x + 0.1, 0.0, 0.7, z), (22, 22, 24), ClassId.MOTORCYCLE)
        canvas.polygon(upright(x - 0.25, x + 0.25, 0.5, 0.95, z), paint, ClassId.MOTORCYCLE)
        canvas.polygon(upright(x - 0.4, x + 0.4, 1.0, 1.08, z), DARK, ClassId.MOTORCYCLE)
        canvas.polygon(upright(x - 0.1, x + 0.1, 0.7, 0.82, z), (235, 40, 30), ClassId.MOTORCYCLE, emission=70)
