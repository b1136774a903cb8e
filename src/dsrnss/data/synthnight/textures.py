"""Pictures the scene is papered with: noise, foliage, facades, walls and fences.

Everything here is a pure function of small integers, built once a process on first use.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

import cv2
import numpy as np

from .presets import SOURCE_CITY, TARGET_CITY, CityStyle
from .types import Array, Colour

NOISE = 256
"""Side of the noise tiles; a power of two, so that wrapping is a bit mask."""
GAIN = 128.0
"""Grey level that stands for factor 1 in the neutral pictures, which are multiplied by a colour."""


def scaled(picture: Array, gains: tuple[float, ...]) -> Array:
    """Multiply the channels of a uint8 picture by four gains, saturating."""
    multiply: Any = cv2.multiply  # its stub knows no scalars
    return np.asarray(multiply(picture, gains))


@cache
def noise_tile(kind: str) -> Array:
    """Return a tileable (NOISE, NOISE) float32 noise of mean 0 and deviation 1: `fine`, `medium` or `coarse`."""
    seed, slope = {"fine": (1, 0.35), "medium": (2, 1.0), "coarse": (3, 1.6)}[kind]
    spectrum = np.fft.fft2(np.random.default_rng(seed).standard_normal((NOISE, NOISE)))
    frequency = np.fft.fftfreq(NOISE) * NOISE
    radius = np.hypot(*np.meshgrid(frequency, frequency))
    radius[0, 0] = 1.0
    tile = np.fft.ifft2(spectrum / radius**slope).real
    tile -= tile.mean()
    return np.asarray(tile / tile.std(), np.float32)


@lru_cache(maxsize=1)
def _sensor_bank() -> Array:
    return np.random.default_rng(4).standard_normal((1024, 1024), dtype=np.float32)


@lru_cache(maxsize=1)
def _day_bank() -> Array:
    grey = np.clip(_sensor_bank() * GRAIN_DEVIATION + 128, 0, 255).astype(np.uint8)
    return cv2.merge([grey, grey, grey])


def day_grain(rng: np.random.Generator, height: int, width: int) -> Array:
    """Cut (height, width, 3) uint8 grey white noise around 128 at a random place of a fixed bank."""
    return _cut_bank(_day_bank(), rng, height, width)


GRAIN_DEVIATION = 30.0
"""Standard deviation of `night_grain` in grey levels."""


@lru_cache(maxsize=1)
def _grain_bank() -> Array:
    bank = _sensor_bank()
    luma = 0.75 * bank[:1024, :1024]
    planes = []
    for k in range(3):
        coarse = cv2.resize(np.roll(bank, 331 * (k + 1), 0)[:512, :512], (1024, 1024), interpolation=cv2.INTER_LINEAR)
        # interpolation has averaged much of the deviation away
        planes.append(luma + coarse * np.float32(0.66 / coarse.std()))
    return np.asarray(np.clip(cv2.merge(planes) * GRAIN_DEVIATION + 128, 0, 255).astype(np.uint8))


def night_grain(rng: np.random.Generator, height: int, width: int) -> Array:
    """Cut (height, width, 3) uint8 colour noise around 128, partly coarser than a pixel, out of a fixed bank."""
    return _cut_bank(_grain_bank(), rng, height, width)


def _cut_bank(bank: Array, rng: np.random.Generator, height: int, width: int) -> Array:
    y, x = int(rng.integers(1024)), int(rng.integers(1024))
    if height + y <= 1024 and width + x <= 1024:
        return bank[y : y + height, x : x + width]
    rows, columns = (np.arange(height) + y) & 1023, (np.arange(width) + x) & 1023
    return np.take(np.take(bank, rows, 0), columns, 1)


def _cut(kind: str, height: int, width: int, y: int, x: int) -> Array:
    rows, columns = (np.arange(height) + y) & (NOISE - 1), (np.arange(width) + x) & (NOISE - 1)
    return np.take(np.take(noise_tile(kind), rows, 0), columns, 1)


def _resized_noise(kind: str, n: int) -> Array:
    tile = noise_tile(kind)[:128, :128]
    return tile if n == 128 else cv2.resize(tile, (n, n), interpolation=cv2.INTER_CUBIC)


@cache
def foliage(variant: int, n: int) -> Array:
    """Return a tree crown, (n, n, 4) uint8: neutral shade around GAIN in three channels, and opacity."""
    rng = np.random.default_rng([900, variant])
    outline = np.zeros((n, n), np.uint8)
    shade: Array = np.full((n, n), 0.55, np.float32)
    for _ in range(26):
        angle, distance = rng.uniform(0, 2 * np.pi), rng.uniform(0, 0.3) ** 0.8
        x, y = n * (0.5 + distance * np.cos(angle)), n * (0.5 + 0.95 * distance * np.sin(angle))
        centre, radius = (int(x), int(y)), int(n * rng.uniform(0.07, 0.18))
        cv2.circle(outline, centre, radius, 255, -1)
        cv2.circle(shade, centre, radius, float(0.55 + 0.6 * (1 - y / n) + rng.uniform(-0.12, 0.12)), -1)
    ragged = np.roll(_resized_noise("fine", n), variant * 17 * n // 128, 1)
    distance_in = cv2.distanceTransform(outline, cv2.DIST_L2, 3) * (128.0 / n)
    opacity = (distance_in + 1.8 * ragged > 2.6) & (outline > 0)
    shade = np.asarray(cv2.GaussianBlur(shade, (0, 0), 1.5 * n / 128), np.float32)
    shade *= 1 + 0.22 * np.roll(_resized_noise("medium", n), variant * 31 * n // 128, 0) + 0.12 * ragged
    level = np.clip(shade * GAIN, 20, 250).astype(np.uint8)
    return cv2.merge([level, level, level, opacity.astype(np.uint8) * 255])


@cache
def leaves(variant: int) -> Array:
    """Return a (64, 256, 4) uint8 neutral strip of hedge, lighter towards its top."""
    fine, medium = _cut("fine", 64, 256, 37 * variant, 91 * variant), _cut("medium", 64, 256, 11, 53 * variant)
    falling = np.linspace(1.12, 0.62, 64, dtype=np.float32)[:, None]
    shade = falling * (1 + 0.17 * fine + 0.22 * medium)
    level = np.clip(shade * GAIN, 20, 250).astype(np.uint8)
    return cv2.merge([level, level, level, np.zeros_like(level)])


@dataclass(frozen=True)
class FacadeSheet:
    """A neutral facade at halving sizes: (h, w, 3) uint8 albedo and (h, w) uint8 window numbers (0 none).

    `width` and `height` are metres, `cell` the width of one window axis.
    """

    albedo: tuple[Array, ...]
    windows: tuple[Array, ...]
    width: float
    height: float
    cell: float


SHOP = 240
"""First window number of the ground floor's shop windows."""
SHOP_SIGN = 250
FACADE_VARIANTS = 12


@lru_cache(maxsize=160)
def facade_sheet(style_name: str, variant: int, floors: int, density: int) -> FacadeSheet:
    """Return a facade about 22 m wide, `density` pixels a metre."""
    style = SOURCE_CITY if style_name == SOURCE_CITY.name else TARGET_CITY
    rng = np.random.default_rng([700, ord(style_name), variant])
    cell = float(rng.uniform(2.0, 3.0))
    columns = round(22.0 / cell)
    width, height = columns * cell, floors * style.floor_height + 0.8
    w, h = round(width * density), round(height * density)
    albedo = _plaster(rng, style, h, w, density)
    windows = np.zeros((h, w), np.uint8)
    _draw_windows(rng, style, albedo, windows, floors, columns, cell, density)
    cv2.rectangle(albedo, (0, 0), (w, density // 2), (82, 80, 80), -1)
    albedos: list[Array] = [albedo]
    ids: list[Array] = [windows]
    while len(albedos) < 4 and albedos[-1].shape[0] > 12:
        half = (max(2, albedos[-1].shape[1] // 2), max(2, albedos[-1].shape[0] // 2))
        albedos.append(cv2.resize(albedos[-1], half, interpolation=cv2.INTER_AREA))
        ids.append(cv2.resize(ids[-1], half, interpolation=cv2.INTER_NEAREST))
    return FacadeSheet(tuple(albedos), tuple(ids), width, height, cell)


def _plaster(rng: np.random.Generator, style: CityStyle, h: int, w: int, density: int) -> Array:
    x, y = (int(v) for v in rng.integers(0, NOISE, 2))
    grain = 1 + 0.055 * _cut("medium", h, w, y, x) + 0.04 * _cut("fine", h, w, x, y)
    wall = GAIN * grain[..., None] * np.ones(3, np.float32)
    if rng.random() < style.brick:
        wall *= np.array([1.0, 0.8, 0.74], np.float32)
        wall[:: max(3, 3 * density // 8)] *= 0.88
    return np.asarray(np.clip(wall, 0, 255).astype(np.uint8))


def _draw_windows(
    rng: np.random.Generator,
    style: CityStyle,
    albedo: Array,
    windows: Array,
    floors: int,
    columns: int,
    cell: float,
    density: int,
) -> None:
    h, w = windows.shape
    frame = (round(GAIN * float(rng.choice([0.6, 1.2, 1.35]))),) * 3
    glass = np.array([50, 60, 68]) * rng.uniform(0.6, 1.2)
    half_w = 0.5 * cell * rng.uniform(0.38, 0.62) * density
    tall = style.floor_height * rng.uniform(0.42, 0.62) * density
    shop, balconies = rng.random() < 0.45, rng.random() < 0.3
    thin = max(1, density // 8)
    for floor in range(floors):
        sill = h - round((floor * style.floor_height + 0.9) * density)
        if floor == 0 and shop:
            _draw_shop(rng, albedo, windows, columns, cell, density, frame)
            continue
        for k in range(columns):
            middle = (k + 0.5) * cell * density
            x0, x1, y0, y1 = round(middle - half_w), round(middle + half_w), round(sill - tall), sill
            cv2.rectangle(albedo, (x0 - thin, y0 - thin), (x1 + thin, y1 + thin), frame, -1)
            pane = glass * rng.uniform(0.75, 1.35)
            if floor == 0 and k % 4 == 2:
                pane, y1 = np.array([70, 50, 40]) * rng.uniform(0.5, 1.4), h - 1
            else:
                cv2.rectangle(windows, (x0, y0), (x1, y1), 1 + (floor * columns + k) % 230, -1)
            cv2.rectangle(albedo, (x0, y0), (x1, y1), tuple(float(p) for p in pane), -1)
            bar = ((x0, (2 * y0 + y1) // 3), (x1, (2 * y0 + y1) // 3))
            if not style.cross_bars:
                bar = (((x0 + x1) // 2, y0), ((x0 + x1) // 2, y1))
            cv2.line(albedo, bar[0], bar[1], frame, thin)
            if balconies and floor > 0 and k % 2 == 0:
                cv2.rectangle(albedo, (x0 - 2, sill - 5 * thin), (x1 + 2, sill + thin), (72, 70, 70), -1)
        ledge = sill + round(0.75 * density)
        cv2.line(albedo, (0, ledge), (w, ledge), (109, 109, 109), thin)


def _draw_shop(
    rng: np.random.Generator,
    albedo: Array,
    windows: Array,
    columns: int,
    cell: float,
    density: int,
    frame: tuple[int, ...],
) -> None:
    h, w = windows.shape
    top, fascia = h - round(2.6 * density), h - round(3.0 * density)
    cv2.rectangle(albedo, (2, top), (w - 3, h - 3), (38, 44, 50), -1)
    for k in range(0, columns, 3):
        # each shop spans three axes and has its own fascia colour and window number
        x0, x1 = round(k * cell * density), round(min(columns, k + 3) * cell * density)
        colour = tuple(float(c) for c in rng.uniform(30, 180, 3))
        cv2.rectangle(albedo, (x0 + 2, fascia), (x1 - 3, top), colour, -1)
        third = (x1 - x0) / 3
        for pane in range(3):
            # the numbers differ, so that what is lit inside is not one flat colour
            left, right = x0 + 3 + round(pane * third), x0 - 2 + round((pane + 1) * third)
            shelf = h - round(float(rng.uniform(0.7, 1.5)) * density)
            first, second = (SHOP + int(v) for v in rng.integers(0, 10, 2))
            cv2.rectangle(windows, (left, top + 2), (right, shelf), first, -1)
            cv2.rectangle(windows, (left, shelf + 1), (right, h - density // 2), second, -1)
        cv2.rectangle(windows, (x0 + 6, fascia + 1), (x1 - 7, top - 1), SHOP_SIGN, -1)
    for k in range(columns):
        x = round(k * cell * density)
        cv2.line(albedo, (x, top), (x, h), tuple(float(c) for c in frame), max(2, density // 4))


WALL_COLOURS: tuple[Colour, ...] = ((142, 136, 128), (150, 110, 95), (160, 155, 150))
FENCE_COLOURS: tuple[Colour, ...] = ((60, 70, 60), (98, 95, 90), (110, 70, 40), (155, 155, 150))


@cache
def masonry(variant: int) -> Array:
    """Return a free-standing wall, (32, 256, 4) uint8 neutral, 8 px a metre wide and 16 high."""
    wall = GAIN * (1 + 0.10 * _cut("medium", 32, 256, 71 * variant, 29 * variant))
    wall[::5] *= 0.86
    if variant % 2:
        for row, start in enumerate(range(0, 32, 5)):
            wall[start : start + 5, (row % 2) * 4 :: 8] *= 0.9
    wall[:, ::24] *= 0.85
    wall[:3] *= 1.15
    level = np.clip(wall, 0, 255).astype(np.uint8)
    return cv2.merge([level, level, level, np.zeros_like(level)])


@cache
def fence_pattern(variant: int) -> tuple[Array, bool]:
    """Return a fence, (32, 256, 4) uint8 neutral with opacity in the last channel, and whether it has gaps."""
    wall = GAIN * (1 + 0.06 * _cut("medium", 32, 256, 13 * variant, 61 * variant))
    mask = np.zeros((32, 256), np.uint8)
    mask[:, ::4] = mask[1:4] = mask[-5:-2] = mask[:, ::24] = mask[:, 1::24] = 255
    solid = variant % 3 == 2
    if solid:
        mask[:] = 255
        wall[:, ::4] *= 0.62
        wall[:, ::24] *= 1.1
    level = np.clip(wall, 0, 255).astype(np.uint8)
    return cv2.merge([level, level, level, mask]), not solid
