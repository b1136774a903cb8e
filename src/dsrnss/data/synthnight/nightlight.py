"""Turn a painted view into a picture by night: lamps and headlights in linear light, glare, and a poor camera."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace

import cv2
import numpy as np

from .canvas import SKY_DEPTH, Canvas
from .furniture import SODIUM
from .photographic import Lens, developed, exposed, streaks, tinted, tone_curve
from .presets import NightPreset
from .scene import Lamp
from .textures import GRAIN_DEVIATION, night_grain
from .types import Array, ClassId

BRIGHTEST = 4.0
"""Linear light at which the tone curve ends."""
EMISSION_GAIN = 6.0

_F = np.float32


@dataclass(frozen=True)
class Night:
    """One night, drawn from a preset; the fields are the preset's."""

    ambient: float
    lamps: float
    lamps_on: float
    headlights: float
    windows: float
    sky: float
    exposure: float
    gamma: float
    noise: float
    blur: float
    glare: float
    veil: float
    wet: bool
    jpeg: int
    warmth: float


def draw_night(rng: np.random.Generator, preset: NightPreset) -> Night:
    """Draw one night of a preset."""

    def draw(limits: tuple[float, float]) -> float:
        return float(rng.uniform(*limits))

    # in the order of the fields: the same seed draws the same night
    names = [field.name for field in fields(NightPreset) if field.name not in ("wet", "jpeg")]
    drawn = {name: draw(getattr(preset, name)) for name in names}
    return Night(
        **drawn,
        wet=bool(rng.random() < preset.wet),
        jpeg=int(rng.integers(preset.jpeg[0], preset.jpeg[1] + 1)),
        warmth=draw((0.0, 1.0)),
    )


def photograph_by_night(
    rng: np.random.Generator, canvas: Canvas, lamps: tuple[Lamp, ...], night: Night, lens: Lens | None
) -> Array:
    """Return the (H, W, 3) uint8 RGB picture of a view by night; without a lens by the camera of the drawn style."""
    if lens is None:
        light = _illuminate(canvas, lamps, night)
        _add_glare(canvas, light, night)
        return _expose(rng, light, night)
    canvas.lights = [tinted(lamp, SODIUM, lens) for lamp in canvas.lights]
    night = replace(night, glare=lens.glare, warmth=lens.warmth)
    light = exposed(_illuminate(canvas, lamps, night), lens)
    _add_glare(canvas, light, night, lens)
    roots = cv2.convertScaleAbs(cv2.sqrt(light), alpha=255 / math.sqrt(BRIGHTEST))
    values = (np.arange(256) / 255.0) ** 2 * BRIGHTEST
    shown = np.clip(255 * tone_curve(values, lens), 0, 255).astype(np.uint8)
    return developed(rng, cv2.LUT(roots, shown), lens)


# ---- light --------------------------------------------------------------------------------------


def _illuminate(canvas: Canvas, lamps: tuple[Lamp, ...], night: Night) -> Array:
    """Return the linear light of the view without glare, (H, W, 3) float32."""
    height, width = canvas.rgbe.shape[:2]
    # OpenCV splits channels much faster than numpy copies a strided view
    colour = cv2.cvtColor(canvas.rgbe, cv2.COLOR_RGBA2RGB)
    labels = cv2.extractChannel(canvas.geometry, 0)
    albedo_curve = ((np.arange(256) / 255.0) ** 1.8 * 2.0).astype(_F)
    light = cv2.LUT(colour, albedo_curve)
    incoming = cv2.resize(_irradiance(canvas, lamps, night), (width, height))
    emission_curve = (EMISSION_GAIN / 2 * (np.arange(256) / 255.0) ** 2).astype(_F)
    emission = cv2.LUT(cv2.extractChannel(canvas.rgbe, 3), emission_curve)
    light = cv2.multiply(light, cv2.add(incoming, cv2.merge([emission, emission, emission])))
    in_sky = labels == ClassId.SKY
    rows = np.clip(np.arange(height) / max(1.0, canvas.camera.v0), 0, 1).astype(_F)[:, None]
    glow = np.array((0.8 + 0.6 * night.warmth, 0.85, 1.1 - 0.6 * night.warmth), _F)
    sky = (_F(night.sky) * (_F(0.35) + _F(0.65) * rows * rows))[:, None] * glow
    cv2.copyTo(cv2.repeat(sky, 1, width), in_sky.view(np.uint8), light)
    return np.asarray(light)


def _coarse_depth(canvas: Canvas) -> tuple[Array, Array, Array]:
    """Return depth and image coordinates at about half of a 512 wide image's resolution."""
    camera = canvas.camera
    step = 2 if camera.width <= 640 else 1 + math.ceil(camera.width / 512)
    h, w = math.ceil(camera.height / step), math.ceil(camera.width / step)
    depth = cv2.resize(cv2.extractChannel(canvas.geometry, 1), (w, h), interpolation=cv2.INTER_NEAREST)
    u = (np.arange(w, dtype=_F) + _F(0.5)) * _F(camera.width / w)
    v = (np.arange(h, dtype=_F) + _F(0.5)) * _F(camera.height / h)
    return depth, u[None], v[:, None]


def _irradiance(canvas: Canvas, lamps: tuple[Lamp, ...], night: Night) -> Array:
    """Return the light that falls on each place, (h, w, 3) float32 at reduced resolution."""
    depth, u, v = _coarse_depth(canvas)
    camera, road = canvas.camera, canvas.road
    x, y, z = camera.unproject(u.astype(_F), v.astype(_F), depth)
    x, y, z = x.astype(_F), y.astype(_F), z.astype(_F)
    pools = np.zeros(depth.shape, _F)
    for lamp in lamps:
        if lamp.burning >= night.lamps_on or not -3 < lamp.z < 60:
            continue
        lx = road.centre(lamp.z) + lamp.x - lamp.side * lamp.arm
        below = np.maximum(_F(road.height(lamp.z) + lamp.height) - y, _F(0))
        q = (x - _F(lx)) ** 2 + (z - _F(lamp.z)) ** 2 + below * below + _F(2.0)
        q *= cv2.sqrt(q)
        below += _F(0.6)
        below /= q
        pools += below
    pools *= _F(10.0 * night.lamps)
    aside = (x - _F(camera.x)) / (_F(1.2) + _F(0.13) * depth)
    above = np.maximum(y - _F(road.slope * 20 + camera.y - 0.4), _F(0))
    beam = cv2.exp(-aside * aside - above * _F(1.1))
    strength = np.minimum(_F(26) / (depth + _F(4)), _F(2.2))
    strength *= cv2.sqrt(cv2.sqrt(strength))
    beam *= strength * _F(night.headlights)
    far = depth > 0.5 * SKY_DEPTH
    pools[far] = beam[far] = 0.0
    sodium = np.array((1.0, 0.84 - 0.12 * night.warmth, 0.62 - 0.32 * night.warmth), _F)
    total = pools[..., None] * (sodium * _F(0.42))
    total += beam[..., None] * np.array((1.0, 0.97, 0.9), _F)
    total += _F(night.ambient) * np.array((0.85, 0.95, 1.15), _F)
    return np.asarray(total)


# ---- glare --------------------------------------------------------------------------------------


def _add_glare(canvas: Canvas, light: Array, night: Night, lens: Lens | None = None) -> None:
    """Add lamps, the halos around them and, on a wet road, their mirror images."""
    height, width = light.shape[:2]
    k = width / 512
    step = max(2, round(2 * k))
    h, w = max(8, math.ceil(height / step)), max(8, math.ceil(width / step))
    sources: Array = cv2.resize(light, (w, h), interpolation=cv2.INTER_AREA)
    sources -= _F(0.7)
    np.clip(sources, 0, BRIGHTEST, out=sources)
    sources *= _F(0.3)
    mirrored = np.zeros((h, w, 3), _F)
    _draw_lamps(canvas, light, sources, mirrored, step)
    near = cv2.GaussianBlur(sources, (0, 0), 1.6)
    quarter = cv2.resize(sources, (max(2, w // 4), max(2, h // 4)), interpolation=cv2.INTER_AREA)
    wide = cv2.GaussianBlur(quarter, (0, 0), 1.6) * _F(0.75) + cv2.GaussianBlur(quarter, (0, 0), 5.0) * _F(0.8)
    if lens is not None:
        wide += streaks(quarter, lens)
    halo = near * _F(0.55) + cv2.resize(wide, (w, h))
    halo *= _F(night.glare)
    if night.wet:
        mirrored = cv2.GaussianBlur(mirrored, (0, 0), sigmaX=1.2, sigmaY=4.0)
        flat = cv2.resize((canvas.geometry[..., 0] < 2).astype(np.uint8), (w, h), interpolation=cv2.INTER_NEAREST)
        halo += mirrored * (_F(0.55) * flat)[..., None]
    halo += np.array((1.2, 1.1, 1.0), _F) * _F(night.veil)
    cv2.add(light, cv2.resize(halo, (width, height)), light)


def _draw_lamps(canvas: Canvas, light: Array, sources: Array, mirrored: Array, step: int) -> None:
    """Draw the lamps that nothing hides into the light, and `step` times smaller into what makes the halos."""
    height, width = light.shape[:2]
    depth = canvas.geometry[..., 1]
    for lamp in canvas.lights:
        column, row = int(lamp.u), int(lamp.v)
        inside = 0 <= column < width and 0 <= row < height
        if inside and depth[row, column] < lamp.depth - 0.6:
            continue
        colour = tuple(1.6 * (c / 255) ** 1.3 for c in lamp.colour)
        cv2.circle(sources, (int(lamp.u / step), int(lamp.v / step)), max(1, round(lamp.radius / step)), colour, -1)
        core = tuple(min(2.0, c + 0.25) for c in colour)
        cv2.circle(light, (column, row), max(1, int(0.7 * lamp.radius)), core, -1)
        size = (max(1, round(1.3 * lamp.radius / step)), max(2, round(9 * lamp.radius / step)))
        cv2.ellipse(mirrored, (int(lamp.u / step), int(lamp.mirror / step)), size, 0, 0, 360, colour, -1)


# ---- camera -------------------------------------------------------------------------------------


def _expose(rng: np.random.Generator, light: Array, night: Night) -> Array:
    """Turn linear light into the picture of a small sensor, through JPEG.

    Works on square roots of light: eight bits resolve the dark there, and shot noise has one strength everywhere.
    """
    height, width = light.shape[:2]
    roots = cv2.convertScaleAbs(cv2.sqrt(light), alpha=255 / math.sqrt(BRIGHTEST))
    sigma = night.blur * width / 512
    size = 2 * max(1, round(2 * sigma)) + 1
    roots = cv2.GaussianBlur(roots, (size, size), sigma)
    gain = night.noise / GRAIN_DEVIATION
    roots = cv2.addWeighted(roots, 1.0, night_grain(rng, height, width), gain, -128 * gain)
    values = (np.arange(256) / 255.0) ** 2 * BRIGHTEST
    curve = 255 * (1 - np.exp(-night.exposure * values)) ** (1 / night.gamma)
    cast = np.array((rng.uniform(0.98, 1.12), 1.0, rng.uniform(0.82, 1.05)))
    picture = cv2.LUT(roots, np.clip(curve[:, None] * cast, 0, 255).astype(np.uint8)[None])
    options = [cv2.IMWRITE_JPEG_QUALITY, night.jpeg]
    _, code = cv2.imencode(".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), options)
    decoded: Array = np.asarray(cv2.imdecode(code, cv2.IMREAD_COLOR))
    return np.asarray(cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB))
