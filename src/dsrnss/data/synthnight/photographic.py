"""The photographic style: streets of many shapes, and cameras with the faults of real ones.

What real night pictures showed that the drawn style lacks: open skies that are not black but grey, olive or blue by the
camera's gain; roads brighter than the sky; wide streets of low houses; lights that outshine the picture, with halos and
streaks; little fine detail, but colour casts, pale shadows and the blocks of JPEG.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import cv2
import numpy as np

from .presets import CityStyle
from .scene import Lamp, Scene
from .textures import GRAIN_DEVIATION, night_grain
from .types import Array, Colour, PointLight

_F = np.float32
_GREY = np.full((3, 3), 1 / 3)


def draw_city(rng: np.random.Generator, base: CityStyle) -> CityStyle:
    """Draw the shape of one street, and a camera, around the colours of a city."""

    def draw(low: float, high: float) -> float:
        return float(rng.uniform(low, high))

    def around(low: float, high: float, span: float) -> tuple[float, float]:
        start = draw(low, high - span)
        return start, start + span

    wide = draw(3.4, 9.0)
    built = draw(0.3, 0.8)
    wall, fence, nothing = (float(share) for share in rng.dirichlet((1.0, 1.0, 2.0)) * (1 - built))
    floors = int(rng.choice([1, 1, 2, 2, 3, 4]))
    return replace(
        base,
        focal=draw(0.7, 1.35),
        horizon=around(0.36, 0.6, 0.02),
        camera_height=around(1.15, 2.2, 0.1),
        half_width=(wide, wide + 0.5),
        sidewalk_width=around(1.6, 5.0, 1.2),
        floors=(floors, floors + int(rng.integers(0, 3))),
        street_trees=draw(0.2, 0.9),
        lane=draw(-0.1, 0.85),
        lanes=1 if wide < 6 else 2,
        frontage=(built, wall, fence, nothing),
        setback=(0.0, draw(0.5, 9.0)),
        tree_height=around(3.5, 11.0, 3.0),
        palms=draw(0.2, 0.9) if rng.random() < 0.35 else 0.0,
        lamp_height=around(4.0, 9.5, 1.0),
        signals=0.5,
        zebras=0.5,
        zebra=(3.0, 26.0),
        backdrop=around(3.0, 14.0, 3.0),
        yaw=math.radians(float(rng.normal(0, 5.0)) if rng.random() < 0.75 else draw(-20.0, 20.0)),
        photographic=True,
    )


@dataclass(frozen=True)
class Lens:
    """The camera of one picture; light is linear, 1 being a day-lit white, `shadows` are display values 0..1.

    Attributes:
        target: light that the exposure brings the middle of the lower half of the picture to.
        gamma: exponent of the tone curve at night.
        shadows: what black is shown as, for each colour.
        cast: gain of each colour.
        saturation: 1 keeps the colours, 0 is grey.
        vignette: loss of light in the corners.
        softness: how many times smaller the picture was before it was enlarged to its size.
        noise: deviation of the noise in grey levels, `coarse` whether it has been smoothed into blots.
        jpeg: quality.
        glare: strength of halos; `streak` that of streaks at `angle` in radians, `ghost` that of the mirrored blots.
        warmth: colour of the lamps, from white (-0.6) to sodium (1).
    """

    target: float
    gamma: float
    shadows: Colour
    cast: Colour
    saturation: float
    vignette: float
    softness: float
    noise: float
    coarse: bool
    jpeg: int
    glare: float
    streak: float
    angle: float
    ghost: float
    warmth: float


def draw_lens(rng: np.random.Generator) -> Lens:
    """Draw a camera."""

    def draw(low: float, high: float) -> float:
        return float(rng.uniform(low, high))

    black = draw(0.0, 0.08) if rng.random() < 0.35 else draw(0.08, 0.34)
    warm = draw(-0.22, 0.3)
    tones = black * (1 + rng.uniform(-0.3, 0.3, 3) * (1.0, 0.4, 1.0))
    return Lens(
        target=math.exp(draw(math.log(0.05), math.log(0.4))),
        gamma=draw(1.5, 2.2),
        shadows=(float(tones[0]), float(tones[1]), float(tones[2])),
        cast=(1 + 0.35 * warm, 1 + draw(-0.04, 0.06), 1 - 0.8 * warm),
        saturation=draw(0.35, 1.1),
        vignette=draw(0.0, 0.4),
        softness=draw(1.0, 2.2),
        noise=draw(0.5, 4.0),
        coarse=bool(rng.random() < 0.5),
        jpeg=int(rng.integers(35, 93)),
        glare=math.exp(draw(math.log(0.8), math.log(5.0))),
        streak=draw(0.2, 1.5) if rng.random() < 0.5 else 0.0,
        angle=draw(-0.6, 0.6),
        ghost=draw(0.05, 0.35) if rng.random() < 0.25 else 0.0,
        warmth=draw(-0.6, 1.0),
    )


def tinted(lamp: PointLight, sodium: Colour, lens: Lens) -> PointLight:
    """Give a street lamp the colour of its night; other lights keep theirs."""
    colour = (255.0, 227 - 37 * lens.warmth, 187 - 97 * lens.warmth)
    return replace(lamp, colour=colour) if lamp.colour == sodium else lamp


def house_lamps(rng: np.random.Generator, scene: Scene) -> tuple[Lamp, ...]:
    """Draw the lamps on the fronts of the houses: bright spots that are neither signs nor signals."""
    lamps = []
    for block in scene.blocks:
        if block.kind == "building" and rng.random() < 0.4:
            for _ in range(int(rng.integers(1, 4))):
                z, height = float(rng.uniform(block.z0, block.z1)), float(rng.uniform(2.2, 5.0))
                lamps.append(Lamp(block.x - block.side * 0.4, z, block.side, height, 0.0, 0.0))
    return tuple(lamps)


def streaks(sources: Array, lens: Lens) -> Array:
    """What a greasy pane and the lens make of (h, w, 3) float32 sources of light: streaks through them, and ghosts."""
    w = sources.shape[1]
    added = np.zeros_like(sources)
    if lens.streak:
        reach = 2 * (w // 5) + 1
        middle = reach // 2
        kernel = np.zeros((reach, reach), _F)
        dx, dy = middle * math.sin(lens.angle), middle * math.cos(lens.angle)
        cv2.line(kernel, (round(middle - dx), round(middle - dy)), (round(middle + dx), round(middle + dy)), 1.0)
        away = np.hypot(*np.mgrid[-middle : middle + 1, -middle : middle + 1]).astype(_F) / _F(middle)
        kernel *= (1 - away).clip(0) ** 2
        added += cv2.filter2D(sources, -1, kernel / kernel.sum(), borderType=cv2.BORDER_CONSTANT) * _F(
            1.5 * lens.streak
        )
    if lens.ghost:
        blot = cv2.GaussianBlur(sources, (0, 0), w / 40)
        added += cv2.flip(blot, -1) * np.array((1.0, 0.5, 0.8), _F) * _F(5 * lens.ghost)
    return added


def exposed(light: Array, lens: Lens) -> Array:
    """Expose (H, W, 3) linear light by itself, as automatic cameras do; in place."""
    height = light.shape[0]
    middle = float(np.median(light[height // 2 :: 4, ::4]))
    light *= _F(min(12.0, lens.target / max(middle, 1e-4)))
    return light


def tone_curve(values: Array, lens: Lens) -> Array:
    """Display values 0..1 of (n,) linear light by night."""
    curve: Array = (1 - np.exp(-values)) ** (1 / lens.gamma)
    return curve


def developed(rng: np.random.Generator, picture: Array, lens: Lens) -> Array:
    """Give a clean (H, W, 3) uint8 RGB picture the faults of its camera."""
    height, width = picture.shape[:2]
    small = (round(width / lens.softness), round(height / lens.softness))
    picture = cv2.resize(picture, small, interpolation=cv2.INTER_AREA)
    picture = _with_noise(rng, picture, lens)
    picture = cv2.transform(picture, _colours(lens))
    picture = cv2.multiply(picture, _vignette(lens.vignette, *small), scale=1 / 255)
    levels = np.arange(256)[:, None] / 255
    pale = np.array(lens.shadows) + levels * (1 - np.array(lens.shadows))
    picture = cv2.LUT(picture, np.clip(255 * pale, 0, 255).astype(np.uint8)[None])
    code = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, lens.jpeg])[1]
    picture = cv2.cvtColor(np.asarray(cv2.imdecode(code, cv2.IMREAD_COLOR)), cv2.COLOR_BGR2RGB)
    return np.asarray(cv2.resize(picture, (width, height), interpolation=cv2.INTER_LINEAR))


def _with_noise(rng: np.random.Generator, picture: Array, lens: Lens) -> Array:
    height, width = picture.shape[:2]
    if lens.coarse:
        grain = cv2.resize(night_grain(rng, (height + 1) // 2, (width + 1) // 2), (width, height))
    else:
        grain = night_grain(rng, height, width)
    gain = lens.noise / GRAIN_DEVIATION
    return np.asarray(cv2.addWeighted(picture, 1.0, grain, gain, -128 * gain))


def _colours(lens: Lens) -> Array:
    """The (3, 3) matrix of saturation and cast."""
    mixing = lens.saturation * np.eye(3) + (1 - lens.saturation) * _GREY
    matrix: Array = np.diag(lens.cast) @ mixing
    return matrix


def _vignette(loss: float, width: int, height: int) -> Array:
    x, y = np.linspace(-1, 1, width, dtype=_F)[None], np.linspace(-1, 1, height, dtype=_F)[:, None]
    kept = cv2.convertScaleAbs(1 - _F(loss / 2) * (x * x + y * y), alpha=255)
    return np.asarray(cv2.merge([kept, kept, kept]))
