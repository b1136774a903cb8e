"""What stands in a scene; all lengths in metres, all places in road coordinates."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from .presets import CityStyle
from .road import Road
from .types import Colour


@dataclass(frozen=True)
class Block:
    """A stretch of the frontage beside the road, or of a second row behind it."""

    kind: Literal["building", "wall", "fence", "open"]
    side: int
    x: float
    z0: float
    z1: float
    height: float
    variant: int
    colour: Colour
    floors: int = 0
    roof: Colour | None = None
    behind: bool = False


@dataclass(frozen=True)
class Tree:
    """A tree; `trunk` is the share of its height below the crown, `crown` the width of that in heights."""

    x: float
    z: float
    height: float
    trunk: float
    variant: int
    colour: Colour
    behind: bool = False
    crown: float = 0.8


@dataclass(frozen=True)
class Hedge:
    """A hedge along the road."""

    side: int
    x: float
    z0: float
    z1: float
    height: float
    variant: int
    colour: Colour
    behind: bool = False


@dataclass(frozen=True)
class Lamp:
    """A street lamp whose arm reaches over the road by `arm`."""

    x: float
    z: float
    side: int
    height: float
    arm: float
    burning: float
    """It burns when the night's share of burning lamps is above this number."""


@dataclass(frozen=True)
class Post:
    """A bare pole or bollard."""

    x: float
    z: float
    height: float
    radius: float


@dataclass(frozen=True)
class Sign:
    """A traffic sign; `design` picks shape and colours, `size` is half its height."""

    x: float
    z: float
    height: float
    size: float
    design: int


@dataclass(frozen=True)
class TrafficLight:
    """A traffic light, with a second head on an arm over the road if `arm`; `phase` 0 green, 1 amber, 2 red."""

    x: float
    z: float
    side: int
    height: float
    phase: int
    arm: bool


Furniture = Tree | Hedge | Lamp | Post | Sign | TrafficLight


@dataclass(frozen=True)
class Backdrop:
    """What closes the street at its far end: trees, or houses behind trees."""

    houses: bool
    height: float
    variant: int
    colour: Colour
    foliage: Colour


@dataclass(frozen=True)
class Scene:
    """The static part of a scene: the place, without traffic and light.

    Attributes:
        crossing: way at which a side street begins, if there is one; it is 8 m wide.
        zebra: way at which a pedestrian crossing begins, if there is one.
        rails: whether tram rails lie in the opposite lane.
        trams: whether trams run on them.
        parking: whether cars park along the kerb.
        noise: offsets into the noise tiles.
        lateral: offset of the camera from the centre line.
        elevation: height of the camera above the ground.
        horizon: row of the vanishing point in image heights.
    """

    style: CityStyle
    road: Road
    blocks: tuple[Block, ...]
    furniture: tuple[Furniture, ...]
    backdrop: Backdrop
    crossing: float | None
    zebra: float | None
    rails: bool
    trams: bool
    parking: bool
    asphalt: Colour
    pavement: Colour
    terrain: Colour
    noise: tuple[int, int, int, int]
    lateral: float
    elevation: float
    horizon: float

    @property
    def lamps(self) -> tuple[Lamp, ...]:
        """The street lamps."""
        return tuple(item for item in self.furniture if isinstance(item, Lamp))


@dataclass(frozen=True)
class Vehicle:
    """A car, truck, bus or train.

    Attributes:
        kind: which.
        x: lateral offset of its middle.
        z: way of its middle.
        heading: angle to the road, 0 driving away, pi oncoming, in radians.
        colour: its paint.
        traits: uniform numbers that decide on its details.
        lights: whether its lights are on.
    """

    kind: Literal["car", "truck", "bus", "train"]
    x: float
    z: float
    heading: float
    colour: Colour
    traits: tuple[float, ...]
    lights: bool

    @property
    def length(self) -> float:
        """Length in metres."""
        return VEHICLE_LENGTH[self.kind]

    @property
    def half_width(self) -> float:
        """Half the width in metres."""
        return VEHICLE_HALF_WIDTH[self.kind]

    @property
    def crosses(self) -> bool:
        """Whether it drives across the road."""
        return abs(math.sin(self.heading)) > 0.7


VEHICLE_LENGTH = {"car": 4.3, "truck": 7.6, "bus": 11.0, "train": 20.0}
VEHICLE_HALF_WIDTH = {"car": 0.9, "truck": 1.18, "bus": 1.25, "train": 1.25}


@dataclass(frozen=True)
class Pedestrian:
    """Somebody on foot."""

    x: float
    z: float
    height: float
    top: Colour
    legs: Colour
    traits: tuple[float, ...]


@dataclass(frozen=True)
class Cycle:
    """A bicycle or motorcycle, parked or ridden; `heading` 0 is across the view, pi/2 driving away."""

    motor: bool
    x: float
    z: float
    heading: float
    colour: Colour
    ridden: bool
    top: Colour
    legs: Colour
    traits: tuple[float, ...]


Mover = Vehicle | Pedestrian | Cycle
