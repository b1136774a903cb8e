"""Paint cars, trucks, buses and trams."""

from __future__ import annotations

from dataclasses import dataclass

from .bodywork import Bodywork, Profile
from .canvas import Canvas
from .scene import Vehicle
from .types import Colour, tint

GLASS: Colour = (44, 50, 58)
DARK: Colour = (26, 24, 24)
HEADLIGHT: Colour = (255, 248, 232)
TAIL_LIGHT: Colour = (235, 28, 24)
AMBER: Colour = (255, 165, 45)
INTERIOR: Colour = (232, 222, 190)
PLATE: Colour = (220, 218, 215)
CARGO_PAINTS: tuple[Colour, ...] = ((208, 206, 202), (125, 120, 118), (60, 95, 150), (60, 112, 64), (170, 130, 60))


@dataclass(frozen=True)
class _CarShape:
    """Outline of a car, its side windows as (forward in lengths, height), and how high its lamps sit."""

    outline: Profile
    side_window: tuple[tuple[float, float], ...]
    tail_light: float
    headlight: float


_WINDSCREEN, _REAR_WINDOW = 4, 6
"""Edges of the cars' outlines that are of glass."""
_SEDAN = _CarShape(
    outline=(
        (-0.49, 0.24, 1), (0.49, 0.24, 1), (0.5, 0.6, 1), (0.46, 0.78, 0.96), (0.22, 0.92, 0.96),
        (0.05, 1.4, 0.78), (-0.2, 1.42, 0.78), (-0.37, 0.98, 0.94), (-0.49, 0.92, 0.96), (-0.5, 0.6, 1),
    ),
    side_window=((-0.31, 0.98), (0.18, 0.97), (0.045, 1.33), (-0.19, 1.35)),
    tail_light=0.78,
    headlight=0.66,
)  # fmt: skip
_HATCHBACK = _CarShape(
    outline=(
        (-0.49, 0.24, 1), (0.49, 0.24, 1), (0.5, 0.62, 1), (0.46, 0.82, 0.96), (0.26, 0.96, 0.96),
        (0.08, 1.46, 0.8), (-0.32, 1.48, 0.8), (-0.46, 1.0, 0.94), (-0.49, 0.9, 0.96), (-0.5, 0.6, 1),
    ),
    side_window=((-0.4, 1.02), (0.22, 1.0), (0.07, 1.39), (-0.31, 1.41)),
    tail_light=0.78,
    headlight=0.66,
)  # fmt: skip
_VAN = _CarShape(
    outline=(
        (-0.49, 0.27, 1), (0.49, 0.27, 1), (0.5, 0.7, 1), (0.47, 0.95, 0.97), (0.34, 1.12, 0.97),
        (0.2, 1.75, 0.86), (-0.44, 1.8, 0.86), (-0.48, 1.08, 0.96), (-0.49, 1.0, 0.97), (-0.5, 0.66, 1),
    ),
    side_window=((-0.42, 1.14), (0.3, 1.15), (0.19, 1.66), (-0.4, 1.7)),
    tail_light=0.9,
    headlight=0.76,
)  # fmt: skip


def paint_vehicle(canvas: Canvas, vehicle: Vehicle) -> None:
    """Paint one vehicle with its shadow."""
    body = Bodywork(canvas, vehicle)
    body.ground_shadow()
    {"car": _car, "truck": _truck, "bus": _bus, "train": _train}[vehicle.kind](body)


def _car(body: Bodywork) -> None:
    colour, traits = body.vehicle.colour, body.vehicle.traits
    shape = _SEDAN if traits[0] < 0.4 else _HATCHBACK if traits[0] < 0.75 else _VAN
    body.end_wheels(0.33)
    body.extrude(shape.outline, colour, GLASS, (_WINDSCREEN, _REAR_WINDOW))
    length = 2 * body.half_length
    window = [(a * length, y) for a, y in shape.side_window]
    body.side_panel(window, GLASS, width=0.88)
    if body.scale > 14:
        low, high = window[0][1], window[2][1]
        for a in (-0.02 * length, -0.2 * length):
            body.side_panel([(a, low), (a + 0.09, low), (a + 0.07, high), (a, high)], colour, width=0.885)
    body.side_wheels((-0.3 * length, 0.31 * length), 0.32)
    body.lamp_pair(-1, 0.2, (0.3, 0.2), shape.tail_light, TAIL_LIGHT)
    body.lamp_pair(1, 0.22, (0.34, 0.17), shape.headlight, HEADLIGHT)
    if body.scale > 9:
        for end in (-1, 1):
            body.end_panel(end, (-0.26, 0.26, 0.46, 0.57), PLATE, emission=25)
            body.end_panel(end, (-0.8, 0.8, 0.3, 0.4), DARK)
        body.end_panel(1, (-0.42, 0.42, 0.6, 0.73), DARK)


def _lit(body: Bodywork, colour: Colour, emission: int) -> tuple[Colour, int]:
    """Return colour and emission of a window: lit inside at night, dark glass by day."""
    return (colour, emission) if body.lights else (GLASS, 0)


def _truck(body: Bodywork) -> None:
    vehicle, length = body.vehicle, 2 * body.half_length
    traits = vehicle.traits
    cargo = tint(CARGO_PAINTS[int(traits[1] * len(CARGO_PAINTS))], 0.8 + 0.3 * traits[2])
    top = 2.9 + 0.6 * traits[0]
    nose, cab = body.half_length, body.half_length - 2.1
    front_first = body.eye[0] < 0

    def paint_cab() -> None:
        profile = [
            (cab / length, 0.4, 0.96), (nose / length, 0.4, 0.96), (nose / length, 1.3, 0.96),
            ((nose - 0.18) / length, 2.45, 0.92), ((nose - 0.5) / length, 2.6, 0.9), (cab / length, 2.6, 0.92),
        ]  # fmt: skip
        body.extrude(profile, vehicle.colour, GLASS, (2,))
        body.side_panel([(cab + 0.7, 1.35), (nose - 0.15, 1.35), (nose - 0.3, 2.2), (cab + 0.7, 2.2)], GLASS)

    def paint_cargo() -> None:
        body.box(-body.half_length, cab - 0.15, 0.95, top, cargo)
        body.side_strip(-body.half_length, cab - 0.2, 0.55, 0.95, DARK)
        if body.scale > 7:
            for k in range(4):
                a = -body.half_length + 0.3 + k * 1.35
                body.side_strip(a, a + 0.5, 1.0, 1.1, (240, 190, 60), emission=60)

    for part in (paint_cab, paint_cargo) if front_first else (paint_cargo, paint_cab):
        part()
    body.side_wheels((cab + 0.9, -body.half_length + 1.2, -body.half_length + 2.2), 0.48)
    _truck_ends(body, top, cargo)


def _truck_ends(body: Bodywork, top: float, cargo: Colour) -> None:
    body.end_wheels(0.5)
    body.end_panel(-1, (-1.15, 1.15, 0.45, 0.95), DARK)
    body.end_panel(-1, (-0.02, 0.02, 1.0, top - 0.1), tint(cargo, 0.5))
    body.end_panel(-1, (-1.12, 1.12, top - 0.15, top - 0.05), tint(cargo, 0.6))
    # the retro-reflecting plates of a lorry's rear
    for side in (-1, 1):
        edges = sorted((side * 0.35, side * 1.1))
        body.end_panel(-1, (edges[0], edges[1], 0.72, 0.9), (240, 200, 40), emission=80)
    body.lamp_pair(-1, 0.25, (0.34, 0.16), 0.58, TAIL_LIGHT)
    body.lamp_pair(1, 0.32, (0.34, 0.2), 0.7, HEADLIGHT)
    body.end_panel(1, (-0.75, 0.75, 0.5, 1.1), DARK)
    for front, colour in ((-1, TAIL_LIGHT), (1, AMBER)):
        for b in (-0.95, 0.95):
            y = top - 0.12 if front < 0 else 2.5
            body.end_panel(front, (b - 0.1, b + 0.1, y - 0.06, y + 0.06), colour, emission=190 if body.lights else 20)


def _bus(body: Bodywork) -> None:
    vehicle, traits = body.vehicle, body.vehicle.traits
    top, n = 3.05, body.half_length
    body.end_wheels(0.48)
    body.box(-n, n, 0.35, top, vehicle.colour)
    if traits[3] > 0.5:
        body.box(-0.5 * n, 0.3 * n, top, top + 0.22, tint(vehicle.colour, 0.9), width=0.8)
    window, glow = _lit(body, INTERIOR, 120)
    _window_row(body, -n + 0.4, n - 0.3, 1.25, 2.45, 1.45, (window, glow))
    body.side_strip(-n, n, 0.35, 0.72, tint(vehicle.colour, 0.55))
    for a in (0.35 * n, -0.25 * n):
        body.side_strip(a, a + 1.2, 0.5, 2.4, *_lit(body, INTERIOR, 100))
        body.side_strip(a + 0.56, a + 0.64, 0.5, 2.4, DARK)
    body.side_wheels((-0.62 * n, 0.62 * n), 0.48)
    body.end_panel(1, (-1.1, 1.1, 1.05, 2.45), *_lit(body, tint(INTERIOR, 0.75), 70))
    body.end_panel(-1, (-1.0, 1.0, 1.5, 2.4), *_lit(body, INTERIOR, 100))
    body.end_panel(-1, (-0.9, 0.9, 0.6, 1.2), tint(vehicle.colour, 0.7))
    for end, half in ((1, 0.85), (-1, 0.4)):
        body.end_panel(end, (-half - 0.1, half + 0.1, 2.53, 2.93), DARK)
        body.end_panel(end, (-half, half, 2.6, 2.86), *_display(body))
    body.side_strip(0.55 * n, 0.8 * n, 2.55, 2.85, *_display(body))
    body.lamp_pair(1, 0.3, (0.36, 0.2), 0.7, HEADLIGHT)
    body.lamp_pair(-1, 0.22, (0.26, 0.36), 0.9, TAIL_LIGHT)
    body.end_panel(1, (-0.26, 0.26, 0.42, 0.54), PLATE, emission=25)


def _display(body: Bodywork) -> tuple[Colour, int]:
    return (AMBER, 210) if body.lights else ((150, 105, 40), 0)


def _window_row(
    body: Bodywork, a0: float, a1: float, y0: float, y1: float, pitch: float, pane: tuple[Colour, int]
) -> None:
    """Paint a row of windows with pillars, and passengers' heads where they are large enough to see."""
    body.side_strip(a0, a1, y0, y1, *pane)
    if body.scale < 6:
        return
    for k in range(1, int((a1 - a0) / pitch)):
        a = a0 + k * pitch
        body.side_strip(a - 0.07, a + 0.07, y0, y1, DARK)
        if (k * 7 + int(body.vehicle.traits[4] * 10)) % 3 and body.scale > 9:
            body.side_strip(a - 0.7, a - 0.4, y0, y0 + 0.5, (52, 44, 42))


def _train(body: Bodywork) -> None:
    vehicle = body.vehicle
    n, length, top = body.half_length, 2 * body.half_length, 3.35
    nose = 0.55 / length
    profile: Profile = (
        (-0.5, 0.2, 1), (0.5, 0.2, 1), (0.5, 1.2, 1), (0.5 - nose, 2.9, 0.94), (0.5 - 2 * nose, top, 0.85),
        (-0.5 + 2 * nose, top, 0.85), (-0.5 + nose, 2.9, 0.94), (-0.5, 1.2, 1),
    )  # fmt: skip
    glass, glow = _lit(body, (160, 165, 160), 75)
    body.extrude(profile, vehicle.colour, glass, (2, 6), glow)
    body.side_strip(-n, n, 0.2, 0.7, (62, 62, 60))
    body.side_strip(-n + 0.3, n - 0.3, 0.95, 1.15, tint(vehicle.colour, 0.5))
    _window_row(body, -n + 0.8, n - 0.8, 1.3, 2.5, 1.7, _lit(body, (225, 232, 235), 130))
    for k in (-1, 1):
        # the joints of an articulated tram
        a = k * n / 3
        body.side_strip(a - 0.25, a + 0.25, 0.3, 3.1, DARK)
    for a in (-0.75 * n, 0.0, 0.7 * n):
        body.side_strip(a - 0.65, a + 0.65, 0.45, 2.55, *_lit(body, (235, 238, 235), 110))
        body.side_strip(a - 0.04, a + 0.04, 0.45, 2.55, DARK)
    for end in (-1, 1):
        body.end_panel(end, (-0.75, 0.75, 2.55, 2.85), *_display(body), a=-0.35)
        body.end_panel(end, (-1.25, 1.25, 0.2, 0.6), (62, 62, 60))
        body.end_panel(end, (-0.5, 0.5, 0.62, 0.8), DARK)
    body.lamp_pair(1, 0.35, (0.3, 0.22), 0.95, HEADLIGHT)
    body.lamp_pair(-1, 0.35, (0.3, 0.22), 0.95, TAIL_LIGHT)
    if body.lights and body.sees_end(1):
        body.end_panel(1, (-0.12, 0.12, 2.98, 3.14), HEADLIGHT, emission=230, a=-0.6)
        body.canvas.light(body.point(n - 0.5, 0.0, 3.06), HEADLIGHT, 0.1)
    _pantograph(body, top)


def _pantograph(body: Bodywork, top: float) -> None:
    a = 0.2 * body.half_length
    for b0, b1 in ((-0.5, 0.0), (0.5, 0.0)):
        feet = [body.point(a, b0, top), body.point(a, b0 + 0.06, top)]
        tips = [body.point(a, b1 + 0.06, top + 0.9), body.point(a, b1, top + 0.9)]
        body.canvas.polygon([*feet, *tips], DARK, body.label)
    low, high = top + 0.88, top + 0.96
    bar = [body.point(a, b, y) for b, y in ((-0.7, low), (0.7, low), (0.7, high), (-0.7, high))]
    body.canvas.polygon(bar, DARK, body.label)
