"""Turn a painted view into a picture by day: sky, haze, camera."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from .canvas import Canvas
from .photographic import Lens, developed
from .presets import CityStyle
from .textures import GRAIN_DEVIATION, day_grain, noise_tile, scaled
from .types import Array, ClassId, Sun, tint

HAZE = (208.0, 216.0, 222.0)
_VEIL = ((255 - np.arange(256))[:, None] * (np.array(HAZE) / 255)).astype(np.uint8)[None]
"""What haze adds for each transparency 0..255."""


def draw_sun(rng: np.random.Generator) -> Sun:
    """Draw the weather of a day."""
    return Sun(bool(rng.random() < 0.65), int(rng.choice([-1, 1])), float(rng.uniform(0.35, 1.3)))


def photograph_by_day(rng: np.random.Generator, canvas: Canvas, style: CityStyle, sun: Sun, lens: Lens | None) -> Array:
    """Return the (H, W, 3) uint8 RGB picture of a view by day; without a lens by the camera of the drawn style."""
    labels, depth = cv2.split(canvas.geometry)
    height, width = labels.shape
    thickness = float(rng.uniform(*style.haze))
    clear = cv2.exp(np.minimum(depth, 400) * np.float32(-thickness))
    in_sky = labels == ClassId.SKY
    clear[in_sky] = 1.0
    picture = cv2.cvtColor(canvas.rgbe, cv2.COLOR_RGBA2RGB)
    cv2.copyTo(_sky(rng, canvas, sun), in_sky.view(np.uint8), picture)
    clear8 = cv2.convertScaleAbs(clear, alpha=255)
    veil = cv2.LUT(cv2.merge([clear8] * 3), _VEIL)
    picture = cv2.add(cv2.multiply(picture, cv2.merge([clear8] * 3), scale=1 / 255), veil)
    picture = cv2.LUT(picture, _tone(rng))
    if lens is not None:
        # a day has light enough for dark shadows
        return developed(rng, picture, replace(lens, shadows=tint(lens.shadows, 0.3)))
    sigma = 0.5 * width / 512
    size = 2 * max(1, round(2 * sigma)) + 1
    picture = cv2.GaussianBlur(picture, (size, size), sigma)
    gain = 2.2 / GRAIN_DEVIATION
    return np.asarray(cv2.addWeighted(picture, 1.0, day_grain(rng, height, width), gain, -128 * gain))


def _tone(rng: np.random.Generator) -> Array:
    gain, gamma, cast = rng.uniform(0.85, 1.12), rng.uniform(0.88, 1.12), rng.normal(0, 2.5, 3)
    levels = np.clip(np.arange(256) / 255.0 * gain, 0, 1)[:, None] ** gamma
    return np.clip(255 * levels + cast, 0, 255).astype(np.uint8)[None]


def _sky(rng: np.random.Generator, canvas: Canvas, sun: Sun) -> Array:
    camera = canvas.camera
    height, width = camera.height, camera.width
    t = np.clip(np.arange(height) / max(1.0, camera.v0), 0, 1)[:, None]
    top, bottom = ((110, 165, 215), (210, 222, 232)) if sun.shining else ((190, 195, 200), (216, 220, 222))
    column = (np.array(top) * (1 - t) + np.array(bottom) * t).astype(np.float32)
    shift = int(rng.integers(256))
    clouds = np.roll(noise_tile("coarse"), shift, 1)[:128, :192]
    clouds = np.clip(cv2.resize(clouds, (width, height)) * 0.5, 0, 1) * np.float32(0.9 if sun.shining else 0.35)
    cover = cv2.convertScaleAbs(clouds, alpha=255)
    plain = cv2.repeat(column[:, None].astype(np.uint8), 1, width)
    clear = cv2.merge([cv2.bitwise_not(cover)] * 3)
    white = scaled(cv2.merge([cover] * 3), (245 / 255,) * 4)
    return np.asarray(cv2.add(cv2.multiply(plain, clear, scale=1 / 255), white))
