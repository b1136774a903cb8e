"""City styles and named severities of the night."""

from __future__ import annotations

from dataclasses import dataclass

from .types import Colour

Range = tuple[float, float]


@dataclass(frozen=True)
class CityStyle:
    """What sets one city apart from the other: colours, proportions and camera.

    Lengths are metres, `focal` is in image widths and `horizon` in image heights from the top.

    Attributes:
        lane: where the camera stands, in half widths of the carriageway from its middle.
        lanes: lanes in each direction.
        frontage: shares of houses, walls, fences and nothing along the street.
        setback: how far houses stand behind the sidewalk.
        palms: share of palms among the street trees.
        signals: share of street sides with a traffic light.
        zebras: share of streets with a pedestrian crossing, and its way in `zebra`.
        backdrop: height of what closes the street.
        yaw: angle between camera and road in radians.
        photographic: whether pictures are taken by a camera with the faults of real ones.
    """

    name: str
    facades: tuple[Colour, ...]
    road: Colour
    sidewalk: Colour
    foliage: tuple[Colour, ...]
    terrain: Colour
    pole: Colour
    focal: float
    horizon: Range
    camera_height: Range
    half_width: Range
    sidewalk_width: Range
    floors: tuple[int, int]
    floor_height: float
    cross_bars: bool
    edge_line: bool
    brick: float
    street_trees: float
    haze: Range
    roofs: tuple[Colour, ...]
    lane: float = 0.45
    lanes: int = 1
    frontage: tuple[float, float, float, float] = (0.60, 0.12, 0.14, 0.14)
    setback: Range = (0.0, 0.8)
    tree_height: Range = (4.5, 8.0)
    palms: float = 0.0
    lamp_height: Range = (5.5, 7.5)
    signals: float = 0.42
    zebras: float = 0.35
    zebra: Range = (8.0, 24.0)
    backdrop: Range = (7.0, 14.0)
    yaw: float = 0.0
    photographic: bool = False


SOURCE_CITY = CityStyle(
    name="A",
    facades=(
        (195, 175, 150),
        (180, 150, 120),
        (190, 185, 170),
        (160, 125, 105),
        (205, 200, 185),
        (150, 150, 140),
        (140, 120, 110),
    ),
    road=(94, 96, 98),
    sidewalk=(146, 142, 140),
    foliage=((70, 105, 50), (60, 90, 45), (95, 120, 60)),
    terrain=(105, 125, 60),
    pole=(100, 98, 95),
    focal=0.92,
    horizon=(0.39, 0.45),
    camera_height=(1.25, 1.45),
    half_width=(4.0, 5.2),
    sidewalk_width=(2.3, 4.2),
    floors=(3, 5),
    floor_height=3.1,
    cross_bars=False,
    edge_line=False,
    brick=0.35,
    street_trees=0.62,
    haze=(0.0026, 0.006),
    roofs=((120, 66, 52), (82, 76, 78)),
)

TARGET_CITY = CityStyle(
    name="B",
    facades=(
        (205, 190, 165),
        (175, 165, 150),
        (150, 140, 130),
        (215, 195, 180),
        (195, 160, 125),
        (160, 160, 160),
        (120, 105, 95),
    ),
    road=(82, 82, 84),
    sidewalk=(124, 121, 120),
    foliage=((65, 85, 40), (85, 100, 55), (55, 80, 40)),
    terrain=(100, 105, 55),
    pole=(75, 72, 70),
    focal=0.86,
    horizon=(0.40, 0.46),
    camera_height=(1.35, 1.6),
    half_width=(3.6, 5.0),
    sidewalk_width=(2.1, 3.7),
    floors=(3, 6),
    floor_height=3.25,
    cross_bars=True,
    edge_line=True,
    brick=0.15,
    street_trees=0.6,
    haze=(0.004, 0.008),
    roofs=((96, 70, 62), (70, 70, 76)),
)


@dataclass(frozen=True)
class NightPreset:
    """Ranges from which one night is drawn; light is linear, 1 being a day-lit white.

    Attributes:
        ambient: sky light that reaches every surface.
        lamps: strength of the street lamps.
        lamps_on: share of the lamps that burn.
        headlights: strength of the own headlights.
        windows: share of the windows that are lit.
        sky: brightness of the sky.
        exposure: gain of the camera before its tone curve.
        gamma: exponent of the tone curve (display value = light ** (1 / gamma)).
        noise: standard deviation of the sensor noise in grey levels.
        blur: standard deviation of the lens blur in pixels of a 512 wide image.
        glare: strength of the halos around lights.
        veil: stray light over the whole image.
        wet: share of the scenes with a wet, mirroring road.
        jpeg: range of the JPEG quality.
    """

    ambient: Range
    lamps: Range
    lamps_on: Range
    headlights: Range
    windows: Range
    sky: Range
    exposure: Range
    gamma: Range
    noise: Range
    blur: Range
    glare: Range
    veil: Range
    wet: float
    jpeg: tuple[int, int]


DEFAULT_NIGHT = "city"

NIGHT_PRESETS: dict[str, NightPreset] = {
    "dusk": NightPreset(
        ambient=(0.08, 0.18),
        lamps=(0.5, 1.2),
        lamps_on=(0.5, 1.0),
        headlights=(0.06, 0.20),
        windows=(0.08, 0.30),
        sky=(0.08, 0.28),
        exposure=(1.0, 1.5),
        gamma=(1.6, 2.0),
        noise=(1.0, 3.0),
        blur=(0.4, 0.8),
        glare=(0.5, 1.0),
        veil=(0.002, 0.012),
        wet=0.2,
        jpeg=(55, 88),
    ),
    "city": NightPreset(
        ambient=(0.020, 0.055),
        lamps=(0.9, 2.6),
        lamps_on=(0.6, 1.0),
        headlights=(0.08, 0.22),
        windows=(0.06, 0.28),
        sky=(0.008, 0.035),
        exposure=(0.75, 1.2),
        gamma=(1.45, 1.75),
        noise=(2.0, 5.5),
        blur=(0.5, 1.1),
        glare=(0.7, 1.4),
        veil=(0.001, 0.006),
        wet=0.35,
        jpeg=(40, 78),
    ),
    "dark": NightPreset(
        ambient=(0.006, 0.016),
        lamps=(0.5, 1.4),
        lamps_on=(0.1, 0.5),
        headlights=(0.12, 0.32),
        windows=(0.02, 0.14),
        sky=(0.001, 0.008),
        exposure=(0.7, 1.1),
        gamma=(1.35, 1.6),
        noise=(2.0, 5.0),
        blur=(0.6, 1.3),
        glare=(0.8, 1.6),
        veil=(0.001, 0.006),
        wet=0.35,
        jpeg=(35, 70),
    ),
}
