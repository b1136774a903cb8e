"""Paint trees, hedges, lamps, posts, signs and traffic lights."""

from __future__ import annotations

import math
from collections.abc import Sequence

from .canvas import Canvas
from .houses import daylight_on, papered, treetops
from .scene import Furniture, Hedge, Lamp, Post, Sign, TrafficLight, Tree
from .textures import foliage, leaves
from .types import ClassId, Colour, Point, tint

CIRCLE = [(math.cos(math.pi * k / 6), math.sin(math.pi * k / 6)) for k in range(12)]
TRUNK: Colour = (72, 58, 48)
SODIUM: Colour = (255, 200, 120)
SIGNAL: tuple[Colour, ...] = ((60, 220, 110), (250, 180, 30), (245, 40, 35))


def upright(x0: float, x1: float, y0: float, y1: float, z: float) -> list[Point]:
    """Return a rectangle facing the camera."""
    return [(x0, y0, z), (x1, y0, z), (x1, y1, z), (x0, y1, z)]


def paint_furniture(canvas: Canvas, item: Furniture, pole: Colour, burning: float) -> None:
    """Paint one piece of furniture; hedges are painted in pieces by `paint_hedge`.

    Args:
        canvas: what to paint on.
        item: what to paint.
        pole: colour of the city's poles.
        burning: share of the lamps that burn.
    """
    match item:
        case Tree():
            _tree(canvas, item)
        case Lamp():
            _lamp(canvas, item, pole, burning)
        case Post():
            _mast(canvas, item.x, item.z, item.height, item.radius, pole)
        case Sign():
            _sign(canvas, item, tint(pole, 1.1))
        case TrafficLight():
            _traffic_light(canvas, item, pole)
        case Hedge():
            pass


def _mast(canvas: Canvas, x: float, z: float, height: float, radius: float, colour: Colour) -> float:
    """Paint a pole at least one pixel wide; return its half width in metres."""
    scale = canvas.pixels_per_metre(x, z)
    if scale > 0:
        radius = max(radius, 0.42 / scale)
        canvas.polygon(upright(x - radius, x + radius, 0.0, height, z), colour, ClassId.POLE)
        if radius * scale > 2:
            canvas.polygon(upright(x, x + radius, 0.0, height, z), colour, ClassId.POLE, shade=0.75)
    return radius


def _tree(canvas: Canvas, tree: Tree) -> None:
    scale = canvas.pixels_per_metre(tree.x, tree.z)
    if scale == 0:
        return
    h = tree.height
    trunk = upright(tree.x - 0.14, tree.x + 0.14, 0.0, h * tree.trunk + 0.6, tree.z)
    canvas.polygon(trunk, TRUNK, ClassId.VEGETATION)
    crown = tree.crown * h
    n = 128 if crown * scale < 220 else 384
    colour = tint(tree.colour, 1.1 if canvas.day else 1.0)
    place = (tree.x, h * tree.trunk - 0.4, tree.z)
    canvas.sprite(place, (crown, 0.78 * h * (tree.crown / 0.8)), foliage(tree.variant, n), colour, ClassId.VEGETATION)


def paint_hedge(canvas: Canvas, hedge: Hedge, piece: tuple[float, float]) -> None:
    """Paint a piece of a hedge: its front with a ragged top edge, and its top where the camera looks over it."""
    z0, z1 = piece
    strip = leaves(hedge.variant)
    light = (daylight_on(canvas, hedge.side) + 1.0) / 2
    width = max(8, min(256, int((z1 - z0) * 16)))

    n = max(12, min(80, int((z1 - z0) * 5)))
    outline = treetops(hedge.variant + int(z0 * 7) % 50, n, 0.16)
    depth = 0.5
    for offset, dark in ((depth, 0.8), (0.0, 1.0)):
        x = hedge.x + hedge.side * offset
        if offset == 0.0 and hedge.height < canvas.camera.y - canvas.road.height(canvas.camera.z):
            back, top = x + hedge.side * depth, 0.9 * hedge.height
            lid: list[Point] = [(x, top, z0), (x, top, z1), (back, top, z1), (back, top, z0)]
            canvas.polygon(lid, hedge.colour, ClassId.VEGETATION, shade=0.95, exact_depth=True)
        start, end = ((x, z0), (x, z1)) if hedge.side < 0 else ((x, z1), (x, z0))
        texture = papered(strip[:, :width], tint(hedge.colour, light * dark))
        canvas.wall(start, end, 0.0, hedge.height, texture, ClassId.VEGETATION, outline=outline)


def _lamp(canvas: Canvas, lamp: Lamp, pole: Colour, burning: float) -> None:
    x, z, h = lamp.x, lamp.z, lamp.height
    radius = _mast(canvas, x, z, h, 0.065, pole)
    tip = x - lamp.side * lamp.arm
    arm: list[Point] = [(x, h - 0.05, z), (tip, h + 0.22, z), (tip, h + 0.22 + radius, z), (x, h + radius, z)]
    canvas.polygon(arm, pole, ClassId.POLE)
    on = lamp.burning < burning
    head = upright(tip - 0.28, tip + 0.28, h + 0.12, h + 0.3, z)
    colour = SODIUM if on and not canvas.day else tint(pole, 0.9)
    canvas.polygon(head, colour, ClassId.POLE, emission=200 if on else 0)
    if on:
        canvas.light((tip, h + 0.1, z), SODIUM, 0.2)


def _rescale(points: Sequence[tuple[float, float]], size: float) -> list[tuple[float, float]]:
    return [(size * a, size * b) for a, b in points]


_RED, _WHITE, _BLUE, _YELLOW = (190, 30, 35), (230, 228, 225), (25, 80, 170), (230, 190, 30)
_DIAMOND = [(0.0, 1.0), (1.0, 0.0), (0.0, -1.0), (-1.0, 0.0)]
_TRIANGLE = [(0.0, 1.0), (1.0, -0.8), (-1.0, -0.8)]
_DESIGNS: tuple[tuple[list[tuple[float, float]], Colour, list[tuple[float, float]], Colour], ...] = (
    (CIRCLE, _RED, _rescale(CIRCLE, 0.7), _WHITE),
    (_TRIANGLE, _RED, [(0.0, 0.55), (0.6, -0.55), (-0.6, -0.55)], _WHITE),
    (CIRCLE, _BLUE, [(0.2, 0.6), (0.2, -0.6), (-0.2, -0.6), (-0.2, 0.6)], _WHITE),
    (_DIAMOND, _WHITE, _rescale(_DIAMOND, 0.62), _YELLOW),
    (
        [(-1.5, 0.6), (1.5, 0.6), (1.5, -0.6), (-1.5, -0.6)],
        (225, 190, 40),
        [(-1.2, 0.15), (1.2, 0.15), (1.2, -0.1), (-1.2, -0.1)],
        (30, 30, 30),
    ),
    (
        [(-0.8, 0.9), (0.8, 0.9), (0.8, -0.9), (-0.8, -0.9)],
        (30, 85, 175),
        [(-0.5, 0.5), (0.5, 0.5), (0.5, -0.2), (-0.5, -0.2)],
        _WHITE,
    ),
)


def _sign(canvas: Canvas, sign: Sign, pole: Colour) -> None:
    x, h, z = sign.x, sign.height, sign.z
    _mast(canvas, x, z, h, 0.033, pole)
    outer, colour, inner, symbol = _DESIGNS[sign.design]
    # signs are retro-reflecting: a little light of their own stands for the headlights thrown back
    canvas.polygon(
        [(x + sign.size * a, h + sign.size * b, z) for a, b in outer], colour, ClassId.TRAFFIC_SIGN, emission=28
    )
    canvas.polygon(
        [(x + sign.size * a, h + sign.size * b, z) for a, b in inner], symbol, ClassId.TRAFFIC_SIGN, emission=28
    )


def _traffic_light(canvas: Canvas, light: TrafficLight, pole: Colour) -> None:
    x, z, h = light.x, light.z, light.height
    heads = [(x, h)]
    if light.arm:
        _mast(canvas, x, z, h + 2.0, 0.06, pole)
        tip = x - light.side * 2.4
        canvas.polygon(upright(min(x, tip), max(x, tip), h + 1.85, h + 1.98, z), pole, ClassId.POLE)
        heads.append((tip, h + 1.35))
    else:
        _mast(canvas, x, z, h, 0.055, pole)
    for hx, hy in heads:
        # the light rim of the backing board is what shows the head's outline at night
        board = upright(hx - 0.3, hx + 0.3, hy - 0.5, hy + 0.8, z)
        canvas.polygon(board, (205, 203, 200), ClassId.TRAFFIC_LIGHT, emission=26)
        canvas.polygon(upright(hx - 0.24, hx + 0.24, hy - 0.44, hy + 0.74, z), (40, 42, 42), ClassId.TRAFFIC_LIGHT)
        for k, colour in enumerate(SIGNAL):
            centre = hy - 0.23 + 0.37 * k
            lit = k == light.phase
            disc: list[Point] = [(hx + 0.16 * a, centre + 0.16 * b, z) for a, b in CIRCLE]
            canvas.polygon(disc, colour, ClassId.TRAFFIC_LIGHT, shade=1.0 if lit else 0.28, emission=255 if lit else 0)
            if lit:
                canvas.light((hx, centre, z), colour, 0.16)
