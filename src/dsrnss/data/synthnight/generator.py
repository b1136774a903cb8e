"""From (seed, split, index) to a sample."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Literal

import cv2
import numpy as np

from dsrnss.errors import DataError, did_you_mean

from .camera import Pose, place_camera
from .canvas import Canvas
from .daylight import draw_sun, photograph_by_day
from .flow import true_flow
from .furniture import SODIUM
from .houses import lit_windows, no_windows
from .layout import build_scene
from .nightlight import draw_night, photograph_by_night
from .painter import paint_view
from .photographic import draw_city, draw_lens, house_lamps
from .presets import DEFAULT_NIGHT, NIGHT_PRESETS, SOURCE_CITY, TARGET_CITY
from .scene import Scene
from .traffic import build_traffic
from .types import Array, Stream, Sun, stream

SPLITS = ("source", "target", "val", "test")
Light = Literal["auto", "day", "night"]
LIGHTS = ("auto", "day", "night")
Style = Literal["drawn", "photographic"]
STYLES = ("drawn", "photographic")
SMALLEST, LARGEST = (64, 128), (1024, 2048)


@dataclass(frozen=True, eq=False)
class SynthScene:
    """A sample.

    Attributes:
        image: (H, W, 3) uint8 RGB.
        label: (H, W) uint8 Cityscapes train ids.
        reference: (H, W, 3) uint8 RGB picture of the same place by day, from another pose with other traffic.
        reference_label: (H, W) uint8 train ids of the reference.
        flow: (H, W, 2) float32 (x, y) in pixels: pixel p of the image is pixel p + flow(p) of the reference.
        flow_valid: (H, W) bool: static in the image and visible in the reference.
    """

    image: Array
    label: Array
    reference: Array | None = None
    reference_label: Array | None = None
    flow: Array | None = None
    flow_valid: Array | None = None


def generate(
    split: str,
    index: int,
    *,
    seed: int = 0,
    size: tuple[int, int] = (256, 512),
    night: str = DEFAULT_NIGHT,
    reference: bool = True,
    light: Light = "auto",
    style: Style = "drawn",
) -> SynthScene:
    """Generate a sample; the same arguments give the same sample on every machine.

    Args:
        split: one of `SPLITS`; `source` is one city, the others are another city.
        index: number of the sample, from 0.
        seed: number of the data set, from 0.
        size: height and width in pixels, 64x128 to 1024x2048.
        night: one of `NIGHT_PRESETS`; without effect by day.
        reference: whether to make the day reference and the flow, which `source` never has.
        light: `auto` is day for `source` and night for the others; `day` and `night` show the same scene and
            traffic, with the same labels, in another light.
        style: `photographic` has streets of many more shapes, and cameras with the faults of real ones; `drawn` is
            what all published numbers were measured on.

    Raises:
        DataError: if an argument is not one of the accepted values.
    """
    _check(split, index, seed, size, night, light, style)
    by_night = split != "source" if light == "auto" else light == "night"
    with _one_thread():
        return _generate(split, index, seed, size, night if by_night else None, reference and split != "source", style)


def _generate(
    split: str, index: int, seed: int, size: tuple[int, int], night: str | None, reference: bool, style: Style
) -> SynthScene:
    split_id = SPLITS.index(split)

    def rng(purpose: Stream) -> np.random.Generator:
        return stream(seed, split_id, index, purpose)

    city = SOURCE_CITY if split == "source" else TARGET_CITY
    if style == "photographic":
        city = draw_city(rng(Stream.CITY), city)
    scene = build_scene(rng(Stream.STREET), city)
    view, image = _shoot(scene, size, Pose(yaw=city.yaw), rng, Stream.TRAFFIC, night)
    label = view.geometry[..., 0].astype(np.uint8)
    if not reference:
        return SynthScene(image, label)
    pose = _draw_pose(rng(Stream.REFERENCE_POSE))
    pose = replace(pose, yaw=city.yaw + pose.yaw)
    other, reference_image = _shoot(scene, size, pose, rng, Stream.REFERENCE_TRAFFIC, None)
    flow, valid = true_flow(view, other)
    return SynthScene(image, label, reference_image, other.geometry[..., 0].astype(np.uint8), flow, valid)


def _draw_pose(rng: np.random.Generator) -> Pose:
    return Pose(
        dx=float(rng.uniform(-0.6, 0.6)),
        dz=float(rng.uniform(-1.5, 1.5)),
        yaw=math.radians(float(rng.uniform(-2.0, 2.0))),
        pitch=float(rng.uniform(-0.012, 0.012)),
    )


def _shoot(
    scene: Scene,
    size: tuple[int, int],
    pose: Pose,
    rng: Callable[[Stream], np.random.Generator],
    traffic: Stream,
    night: str | None,
) -> tuple[Canvas, Array]:
    """Paint a view and photograph it."""
    movers = build_traffic(rng(traffic), scene)
    camera = place_camera(scene.style, scene.road, size, scene.lateral, scene.elevation, scene.horizon, pose)
    weather = rng(Stream.LIGHT if traffic is Stream.TRAFFIC else Stream.REFERENCE_LIGHT)
    lens = draw_lens(weather) if scene.style.photographic else None
    if night is None:
        sun: Sun = draw_sun(weather)
        canvas = paint_view(scene, movers, camera, sun, no_windows, 0.0)
        return canvas, photograph_by_day(weather, canvas, scene.style, sun, lens)
    conditions = draw_night(weather, NIGHT_PRESETS[night])
    indoors = rng(Stream.WINDOWS)
    windows = lit_windows(indoors, conditions.windows)
    canvas = paint_view(scene, movers, camera, None, windows, conditions.lamps_on)
    lamps = scene.lamps
    if lens is not None:
        doors = house_lamps(indoors, scene)
        for lamp in doors:
            canvas.light((lamp.x, lamp.height, lamp.z), SODIUM, 0.12)
        lamps += doors
    return canvas, photograph_by_night(weather, canvas, lamps, conditions, lens)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Keep OpenCV on one thread: images are small, and data loaders run one process a core anyway."""
    before = cv2.getNumThreads()
    if before == 1:
        yield
        return
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)


def _check(split: str, index: int, seed: int, size: tuple[int, int], night: str, light: str, style: str) -> None:
    for name, value, accepted in (
        ("split", split, SPLITS),
        ("night", night, tuple(NIGHT_PRESETS)),
        ("light", light, LIGHTS),
        ("style", style, STYLES),
    ):
        if value not in accepted:
            raise DataError(f"SynthNight: unknown {name} {value!r}.{did_you_mean(str(value), accepted)}")
    if index < 0 or seed < 0:
        raise DataError(f"SynthNight: index and seed count from 0, got index={index}, seed={seed}.")
    height, width = size
    if not (SMALLEST[0] <= height <= LARGEST[0] and SMALLEST[1] <= width <= LARGEST[1]):
        raise DataError(
            f"SynthNight: size {height}x{width} (height x width) is out of range. "
            f"Accepted: {SMALLEST[0]}x{SMALLEST[1]} to {LARGEST[0]}x{LARGEST[1]}."
        )
