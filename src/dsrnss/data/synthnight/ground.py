"""The ground: a ray per pixel meets the road's parabolic profile; bands, markings and wear are painted there."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from .canvas import Canvas
from .layout import CROSSING_WIDTH
from .road import FAR
from .scene import Scene
from .textures import GAIN, NOISE, noise_tile
from .types import Array, ClassId, Colour, tint

REACH = FAR + 13.0
"""Depth in metres beyond which no ground is drawn; the backdrop hides the edge."""
PAINT: Colour = (214, 211, 204)
RAIL: Colour = (136, 133, 130)
_ROUGHNESS = np.array([0.055, 0.055] + [0.2] * 18, np.float32)
SHADE_STEP = 0.5
"""Length in metres of one entry of the table of shadow casting heights."""


@dataclass(frozen=True)
class _Hits:
    """Where the rays of the image's lower rows meet the ground: (h, W) float32 arrays in metres."""

    first_row: int
    lateral: Array
    along: Array
    depth: Array
    valid: Array


def paint_ground(canvas: Canvas, scene: Scene) -> None:
    """Paint road, sidewalks and terrain."""
    hits = _cast(canvas)
    if hits is None:
        return
    labels = _bands(hits, scene)
    light = _daylight(canvas, hits, scene)
    mask = hits.valid.view(np.uint8)
    rows = slice(hits.first_row, None)
    cv2.copyTo(_paint(hits, scene, labels, light, canvas.camera.width), mask, canvas.rgbe[rows])
    cv2.copyTo(cv2.merge([labels.astype(np.float32), hits.depth]), mask, canvas.geometry[rows])


def _cast(canvas: Canvas) -> _Hits | None:
    """Intersect rays with the ground; solves hill z^2 + slope z = y along each ray in closed form."""
    camera, road = canvas.camera, canvas.road
    first = _first_row(canvas)
    if first >= camera.height:
        return None
    f32 = np.float32
    u = (np.arange(camera.width, dtype=f32) + f32(0.5 - camera.u0)) / f32(camera.focal)
    rise = (f32(camera.v0 - 0.5) - np.arange(first, camera.height, dtype=f32)) / f32(camera.focal)
    forward = f32(camera.cos) - f32(camera.sin) * u[None]
    b = f32(road.slope + 2 * road.hill * camera.z) * forward - rise[:, None]
    c = f32(road.height(camera.z) - camera.y)
    if road.hill == 0.0:
        valid = b > 1e-5
        depth = -c / np.maximum(b, f32(1e-5))
    else:
        root = b * b - (f32(4 * road.hill) * c) * (forward * forward)
        denominator = b + np.sqrt(np.maximum(root, 0))
        valid = (root >= 0) & (denominator > 1e-5)
        depth = f32(-2) * c / np.maximum(denominator, f32(1e-5))
    valid &= depth < REACH
    np.minimum(depth, f32(REACH), out=depth)
    across = depth * u[None]
    x = f32(camera.cos) * across + f32(camera.sin) * depth + f32(camera.x)
    along = f32(camera.cos) * depth - f32(camera.sin) * across + f32(camera.z)
    lateral = x
    if not road.straight:
        lateral = x - along * along * (f32(road.bend) + along * f32(road.twist))
    return _Hits(first, lateral, along, depth, valid)


def _first_row(canvas: Canvas) -> int:
    camera, road = canvas.camera, canvas.road
    top = float(camera.height)
    for k in range(40):
        ahead = 3.0 + k * (REACH - 3.0) / 39
        rise = road.height(camera.z + ahead) - camera.y
        top = min(top, camera.v0 - camera.focal * rise / ahead)
    return max(0, math.floor(top) - 2)


def _bands(hits: _Hits, scene: Scene) -> Array:
    road = scene.road
    right = hits.lateral > 0
    offset = np.abs(hits.lateral) - np.float32(road.half)
    verge = np.where(right, np.float32(road.verge[1]), np.float32(road.verge[0]))
    pavement = np.where(right, np.float32(road.sidewalk[1]), np.float32(road.sidewalk[0]))
    labels = np.full(hits.lateral.shape, ClassId.TERRAIN, np.uint8)
    labels[(offset >= verge) & (offset < verge + pavement + np.float32(0.6))] = ClassId.SIDEWALK
    if scene.crossing is not None:
        begin, end = scene.crossing, scene.crossing + CROSSING_WIDTH
        # the verge is paved near the corner
        corner = (hits.along > begin - 1.5) & (hits.along < end + 1.5) & (offset < verge + pavement)
        labels[corner] = ClassId.SIDEWALK
        labels[(hits.along > begin) & (hits.along < end)] = ClassId.ROAD
    labels[offset <= 0] = ClassId.ROAD
    return labels


def _look_up(kind: str, x: Array, z: Array, dx: int, dz: int) -> Array:
    """Look a noise tile up at places given in its pixels; the offsets must keep them positive."""
    column, row = (x + np.float32(dx)).astype(np.int32), (z + np.float32(dz)).astype(np.int32)
    column &= NOISE - 1
    row &= NOISE - 1
    row *= NOISE
    row += column
    found: Array = noise_tile(kind).ravel().take(row)
    return found


def _stripes(x: Array, period: float, share: float) -> Array:
    """Say where `x` metres lies within the first `share` of a period."""
    phase = (x * np.float32(256 / period)).astype(np.int32)
    phase += 1 << 20
    phase &= 255
    return np.asarray(phase < int(256 * share))


def _words(*colours: Colour) -> Array:
    """Pack colours into 32-bit words, so that one look-up moves a whole pixel."""
    packed = np.array([(*tint(c, 1.0), 0.0) for c in colours]).astype(np.uint8)
    return np.asarray(np.ascontiguousarray(packed).view(np.uint32)[:, 0])


def _albedo(hits: _Hits, scene: Scene, labels: Array) -> Array:
    """Return the colours of bands, kerbs and markings as (h, W) words."""
    lateral, along, half = hits.lateral, hits.along, scene.road.half
    bands = _words(scene.asphalt, scene.pavement, tint(scene.pavement, 1.2), PAINT, RAIL, *[scene.terrain] * 5)
    code = labels.copy()
    offset = np.abs(lateral)
    road = labels == ClassId.ROAD
    kerb = np.abs(offset - np.float32(half)) < 0.09
    if scene.crossing is not None:
        beside = (along < scene.crossing) | (along > scene.crossing + CROSSING_WIDTH)
        kerb &= beside
        road &= beside
    lines = (offset < 0.075) & _stripes(along, 6.0, 0.5)
    if scene.style.edge_line:
        lines |= np.abs(offset - np.float32(half - (2.2 if scene.parking else 0.35))) < 0.06
    if scene.style.lanes > 1:
        lines |= (np.abs(offset - np.float32(half / 2)) < 0.06) & _stripes(along, 8.0, 0.35)
    if scene.zebra is not None:
        zebra = (along > scene.zebra) & (along < scene.zebra + 3.2)
        lines = (lines & ~zebra) | (zebra & _stripes(lateral, 1.0, 0.5) & (offset < half - 0.2))
    code[lines & road] = 3
    if scene.rails:
        from_middle = np.abs(lateral + np.float32(0.5 * half))
        code[(np.abs(from_middle - np.float32(0.7)) < 0.05) & road] = 4
    code[kerb] = 2
    painted: Array = bands.take(code)
    return painted


def _paint(hits: _Hits, scene: Scene, labels: Array, light: Array | float, width: int) -> Array:
    """Return the lit colours of the ground, (h, W, 4) uint8 with no emission."""
    f32 = np.float32
    lateral, along = hits.lateral, hits.along
    # large pictures get finer grain, so that the grain stays near one pixel
    detail = 12 * max(1.0, width / 512)
    n = scene.noise
    factor = _look_up("fine", lateral * f32(detail), along * f32(detail), n[0] + 8192, n[1] + 8192)
    fade = np.minimum(f32(18) / hits.depth, f32(1))
    factor *= fade
    factor *= _ROUGHNESS.take(labels)
    factor += 1
    patches = _look_up("coarse", lateral * f32(5), along * f32(3), n[2] + 4096, n[3] + 4096)
    factor -= np.where(patches > 1.25, f32(0.12), f32(0))
    factor += f32(0.055) * patches
    joints = (_stripes(lateral, 0.625, 0.09) | _stripes(along, 0.625, 0.09)) & (labels == ClassId.SIDEWALK)
    factor -= f32(0.16) * fade * joints
    factor *= light
    gain = cv2.convertScaleAbs(factor, alpha=GAIN)
    colour = _albedo(hits, scene, labels).view(np.uint8).reshape(*labels.shape, 4)
    return np.asarray(cv2.multiply(colour, cv2.merge([gain, gain, gain, gain]), scale=1 / GAIN))


def _daylight(canvas: Canvas, hits: _Hits, scene: Scene) -> Array | float:
    """Return the light on the ground: the shadow band of the houses on the sun's side, or overcast."""
    sun = canvas.sun
    if sun is None:
        return 1.0
    if not sun.shining:
        return 0.92
    table = np.zeros(260, np.float32)
    for block in scene.blocks:
        if block.side == sun.side and not block.behind:
            begin, end = ((z + 7.0) / SHADE_STEP for z in (block.z0, block.z1))
            table[max(0, int(begin)) : max(0, int(end))] = block.height
    index = ((hits.along + np.float32(7.0)) / np.float32(SHADE_STEP)).astype(np.int32)
    casting = table.take(index, mode="clip")
    distance = np.float32(scene.road.frontage(sun.side)) - np.float32(sun.side) * hits.lateral
    light: Array = np.where(distance < casting * np.float32(0.9 * sun.shadow), np.float32(0.52), np.float32(1.12))
    return light
