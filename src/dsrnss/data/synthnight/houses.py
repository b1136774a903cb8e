"""Paint what lines the road: houses, walls, fences and the backdrop."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from .canvas import Canvas, Texture
from .road import FAR
from .scene import Backdrop, Block
from .textures import GAIN, SHOP, SHOP_SIGN, facade_sheet, fence_pattern, leaves, masonry, scaled
from .types import Array, ClassId, Colour, Point, tint

GABLE = 9.0
"""Depth of a house away from the road in metres."""

WINDOW_TABLES = 16

Windows = Callable[[int], Array | None]
"""Gives the (256, 4) uint8 RGBE look-up table of lit windows for a block's number, or None by day."""


def no_windows(number: int) -> Array | None:
    """Return the table by day: nothing is lit."""
    return None


def lit_windows(rng: np.random.Generator, share: float) -> Windows:
    """Return the tables of one night in which `share` of the windows are lit."""
    n = WINDOW_TABLES
    lit = rng.random((n, 256)) < share * rng.uniform(0.3, 1.8, (n, 1))
    lit[:, SHOP:] = rng.random((n, 1)) < 2.2 * share + 0.1
    lit[:, 0] = False
    warm = np.where(rng.random((n, 256, 1)) < 0.75, (240, 185, 110), (205, 215, 225))
    tables = np.zeros((n, 256, 4), np.uint8)
    tables[..., :3] = warm * rng.uniform(0.6, 1.0, (n, 256, 1))
    tables[..., 3] = rng.uniform(50, 150, (n, 256))
    tables[:, SHOP:, 3] = rng.uniform(50, 165, (n, 256 - SHOP))
    tables[:, SHOP_SIGN, :3] = rng.integers(60, 255, (n, 3))
    tables[~lit] = 0

    def table(number: int) -> Array:
        return np.asarray(tables[number % n])

    return table


def _multiply(picture: Array, colour: Colour) -> Array:
    r, g, b = (c / GAIN for c in colour)
    return scaled(picture, (r, g, b, 1.0))


def papered(picture: Array, colour: Colour) -> Texture:
    """Return a neutral picture as texture in a colour."""

    def texture(pixels: float) -> Array:
        level = picture
        while level.shape[0] > 2.2 * pixels and min(level.shape[:2]) > 3:
            level = cv2.resize(level, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
        return _multiply(level, colour)

    return texture


@dataclass(frozen=True)
class FacadePart:
    """A stretch of a facade: metres from the sheet's left edge, length, and the light on it."""

    begin: float
    length: float
    light: float


def facade_texture(block: Block, style: str, part: FacadePart, lut: Array | None, density: int) -> Texture:
    """Return the texture of a part of a facade."""
    sheet = facade_sheet(style, block.variant, block.floors, density)

    def texture(pixels: float) -> Array:
        level = 0
        while level + 1 < len(sheet.albedo) and sheet.albedo[level].shape[0] > 1.7 * pixels:
            level += 1
        albedo, windows = sheet.albedo[level], sheet.windows[level]
        scale = albedo.shape[1] / sheet.width
        x0 = min(albedo.shape[1] - 2, int(part.begin * scale))
        x1 = min(albedo.shape[1], max(x0 + 2, round((part.begin + part.length) * scale)))
        wall = cv2.cvtColor(albedo[:, x0:x1], cv2.COLOR_RGB2RGBA)
        wall[..., 3] = 0
        wall = _multiply(wall, tint(block.colour, part.light))
        if lut is not None:
            lit = lut.view(np.uint32)[:, 0].take(windows[:, x0:x1])
            cv2.max(wall, lit.view(np.uint8).reshape(wall.shape), wall)
        return wall

    return texture


def _pieces(canvas: Canvas, z0: float, z1: float) -> list[tuple[float, float]]:
    """Cut a stretch into pieces short enough to follow the road, the farthest first."""
    road, middle = canvas.road, max(0.0, (z0 + z1) / 2 - canvas.camera.z)
    curvature = abs(road.bend + 3 * road.twist * middle) + 2 * abs(road.hill)
    # the chord may leave the arc by a few centimetres near by, by more far away
    longest = 2 * math.sqrt((0.05 + 0.003 * middle) / max(curvature, 1e-6))
    n = math.ceil((z1 - z0) / longest)
    step = (z1 - z0) / n
    return [(z0 + k * step, z0 + (k + 1) * step) for k in reversed(range(n))]


def daylight_on(canvas: Canvas, side: int) -> float:
    """Return the light on what faces the road on `side`."""
    if canvas.sun is None:
        return 1.0
    if not canvas.sun.shining:
        return 0.9
    return 0.62 if canvas.sun.side == side else 1.12


def paint_gable(canvas: Canvas, block: Block, lut: Array | None, style: str, density: int) -> None:
    """Paint the wall of a house that looks towards the camera, with its roof's triangle."""
    if canvas.camera.z > block.z0:
        return
    outer = block.x + block.side * GABLE
    ends = ((block.x, block.z0), (outer, block.z0))
    start, end = ends if block.side > 0 else (ends[1], ends[0])
    light = 0.8 if canvas.day else 1.0
    texture = facade_texture(block, style, FacadePart(0.0, GABLE, light), lut, density)
    if block.roof is not None:
        middle, top = (block.x + outer) / 2, block.height
        triangle = [(block.x, top, block.z0), (middle, top + 3.0, block.z0), (outer, top, block.z0)]
        canvas.polygon(triangle, tint(block.colour, 0.95), ClassId.BUILDING, shade=light)
    canvas.wall(start, end, 0.0, block.height, texture, ClassId.BUILDING)


def paint_house(
    canvas: Canvas, block: Block, piece: tuple[float, float], lut: Array | None, style: str, density: int
) -> None:
    """Paint a piece of a house's facade and of its roof."""
    light = daylight_on(canvas, block.side)
    z0, z1 = piece
    if block.roof is not None:
        ridge = block.x + block.side * GABLE / 2
        top = block.height
        slope: list[Point] = [(block.x, top, z0), (block.x, top, z1), (ridge, top + 3.0, z1), (ridge, top + 3.0, z0)]
        canvas.polygon(slope, block.roof, ClassId.BUILDING, shade=light, exact_depth=True)
    # the left side is read from near to far, the right side from far to near
    begin = z0 - block.z0 if block.side < 0 else block.z1 - z1
    texture = facade_texture(block, style, FacadePart(begin, z1 - z0, light), lut, density)
    start, end = ((block.x, z0), (block.x, z1)) if block.side < 0 else ((block.x, z1), (block.x, z0))
    canvas.wall(start, end, 0.0, block.height, texture, ClassId.BUILDING)


def paint_enclosure(canvas: Canvas, block: Block, piece: tuple[float, float]) -> None:
    """Paint a piece of a free-standing wall or fence."""
    z0, z1 = piece
    start, end = ((block.x, z0), (block.x, z1)) if block.side < 0 else ((block.x, z1), (block.x, z0))
    width = max(4, min(256, int((z1 - z0) * 8)))
    see_through = False
    if block.kind == "wall":
        picture = masonry(block.variant)[:, :width]
        label = ClassId.WALL
    else:
        picture, see_through = fence_pattern(block.variant)
        picture = picture[:, :width]
        label = ClassId.FENCE

    texture = papered(picture, tint(block.colour, daylight_on(canvas, block.side)))
    canvas.wall(start, end, 0.0, block.height, texture, label, see_through=see_through)


def paint_block(
    canvas: Canvas, block: Block, piece: tuple[float, float], lut: Array | None, style: str, density: int
) -> None:
    """Paint a piece of any block."""
    if block.kind == "building":
        paint_house(canvas, block, piece, lut, style, density)
    elif block.kind != "open":
        paint_enclosure(canvas, block, piece)


def pieces_of(canvas: Canvas, begin: float, end: float) -> list[tuple[float, float]]:
    """Return the pieces what stands along the road is painted in, those behind the camera left out."""
    return [(z0, z1) for z0, z1 in _pieces(canvas, begin, end) if z1 > canvas.camera.z + 0.3]


def paint_backdrop(canvas: Canvas, backdrop: Backdrop, lut: Array | None, style: str) -> None:
    """Close the street with a row of trees, before houses or alone."""
    if backdrop.houses:
        for k in (-2, -1, 0, 1, 2):
            block = Block(
                "building", 1, 0.0, 0.0, 1.0, 0.0, (backdrop.variant + 5 * k) % 12, backdrop.colour, floors=4 + k % 2
            )
            texture = facade_texture(block, style, FacadePart(0.0, 21.0, 1.0), lut, 8)
            height = backdrop.height * (0.85 + 0.15 * ((k * 7) % 3))
            start, end = (22.0 * k - 11.0, FAR), (22.0 * k + 11.0, FAR)
            canvas.wall(start, end, -1.0, height, texture, ClassId.BUILDING)
    strip = leaves(backdrop.variant % 6)
    crown = backdrop.height * (0.45 if backdrop.houses else 0.85)
    outline = treetops(backdrop.variant, 120, 0.45)

    texture = papered(strip, backdrop.foliage)
    canvas.wall((-60.0, FAR - 1), (60.0, FAR - 1), -1.0, crown, texture, ClassId.VEGETATION, outline=outline)


@lru_cache(maxsize=512)
def treetops(variant: int, n: int, depth: float) -> list[tuple[float, float]]:
    """Return a ragged upper edge of `n` points whose dents go down to 1 - `depth` of the height."""
    rng = np.random.default_rng([800, variant])
    coarse = np.interp(np.linspace(0, 1, n), np.linspace(0, 1, n // 6 + 2), rng.random(n // 6 + 2))
    heights = 1.0 - depth * (0.7 * coarse + 0.3 * rng.random(n))
    return [(k / (n - 1), float(h)) for k, h in enumerate(heights)]
