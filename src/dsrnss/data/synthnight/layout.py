"""Lay out the static part of a scene: road, frontage, furniture."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from .presets import CityStyle
from .road import Road, draw_road
from .scene import Backdrop, Block, Furniture, Hedge, Lamp, Post, Scene, Sign, TrafficLight, Tree
from .textures import FACADE_VARIANTS, FENCE_COLOURS, WALL_COLOURS
from .types import Colour, jitter

CROSSING_WIDTH = 8.0
FRONT_END = 104.0
"""How far the frontage reaches, in metres."""
TREE_VARIANTS = 10
SIGN_DESIGNS = 6


class _Builder:
    """Collects what the functions below put beside the road."""

    def __init__(self, rng: np.random.Generator, style: CityStyle, road: Road, crossing: float | None) -> None:
        self.rng = rng
        self.style = style
        self.road = road
        self.crossing = crossing
        self.foliage: Colour = style.foliage[int(rng.integers(len(style.foliage)))]
        self.blocks: list[Block] = []
        self.furniture: list[Furniture] = []

    def uniform(self, low: float, high: float) -> float:
        return float(self.rng.uniform(low, high))

    def chance(self, probability: float) -> bool:
        return bool(self.rng.random() < probability)

    def green(self) -> Colour:
        return jitter(self.rng, self.foliage, 0.75, 1.25, 5.0)

    def facade(self) -> Colour:
        facades = self.style.facades
        return jitter(self.rng, facades[int(self.rng.integers(len(facades)))], 0.75, 1.12, 7.0)


def build_scene(rng: np.random.Generator, style: CityStyle) -> Scene:
    """Draw the static part of a scene of a city."""
    half = float(rng.uniform(*style.half_width))
    sidewalks = (float(rng.uniform(*style.sidewalk_width)), float(rng.uniform(*style.sidewalk_width)))
    verges = tuple(float(rng.uniform(0.8, 2.0)) if rng.random() < 0.32 else 0.0 for _ in range(2))
    road = draw_road(rng, half, sidewalks, (verges[0], verges[1]))
    crossing = float(rng.uniform(9, 26)) if rng.random() < 0.4 else None
    zebra = float(rng.uniform(*style.zebra)) if rng.random() < style.zebras else None
    trams = bool(rng.random() < 0.22)
    rails = trams or bool(rng.random() < 0.08)
    builder = _Builder(rng, style, road, crossing)
    for side in (-1, 1):
        _line_with_blocks(builder, side)
        _line_with_furniture(builder, side)
    noise = rng.integers(0, 256, 4)
    return Scene(
        style=style,
        road=road,
        blocks=tuple(builder.blocks),
        furniture=tuple(builder.furniture),
        backdrop=Backdrop(
            houses=builder.chance(0.45),
            height=builder.uniform(*style.backdrop),
            variant=int(rng.integers(FACADE_VARIANTS)),
            colour=builder.facade(),
            foliage=jitter(rng, builder.foliage, 0.7, 0.95, 3.0),
        ),
        crossing=crossing,
        zebra=zebra,
        rails=rails,
        trams=trams,
        parking=builder.chance(0.6),
        asphalt=jitter(rng, style.road, 0.8, 1.15, 3.0),
        pavement=jitter(rng, style.sidewalk, 0.82, 1.12, 4.0),
        terrain=jitter(rng, style.terrain, 0.8, 1.2, 6.0),
        noise=(int(noise[0]), int(noise[1]), int(noise[2]), int(noise[3])),
        lateral=half * style.lane + builder.uniform(-0.4, 0.4),
        elevation=builder.uniform(*style.camera_height),
        horizon=builder.uniform(*style.horizon),
    )


# ---- frontage -----------------------------------------------------------------------------------


def _line_with_blocks(b: _Builder, side: int) -> None:
    frontage = side * b.road.frontage(side)
    z = -6.0
    while z < FRONT_END:
        # far blocks are long: their seams could not be seen
        length = b.uniform(7, 20) if z < 45 else b.uniform(14, 28)
        kind = str(b.rng.choice(["building", "wall", "fence", "open"], p=b.style.frontage))
        crossing = b.crossing
        if crossing is not None and z < crossing + CROSSING_WIDTH and z + length > crossing:
            if z >= crossing - 4:
                z = crossing + CROSSING_WIDTH
                continue
            length = crossing - z
        if kind == "building":
            b.blocks.append(_building(b, side, frontage + side * b.uniform(*b.style.setback), z, z + length))
        else:
            _garden(b, kind, side, frontage, z, z + length)
        z += length


def _building(b: _Builder, side: int, x: float, z0: float, z1: float, behind: bool = False) -> Block:
    low, high = b.style.floors
    floors = int(b.rng.integers(low, high + 1))
    roofs = b.style.roofs
    roof = jitter(b.rng, roofs[int(b.rng.integers(len(roofs)))], 0.75, 1.2, 3.0) if b.chance(0.55) else None
    return Block(
        kind="building",
        side=side,
        x=x,
        z0=z0,
        z1=z1,
        height=floors * b.style.floor_height + 0.8,
        variant=int(b.rng.integers(FACADE_VARIANTS)),
        colour=b.facade(),
        floors=floors,
        roof=roof,
        behind=behind,
    )


def _garden(b: _Builder, kind: str, side: int, x: float, z0: float, z1: float) -> None:
    """A wall, a fence or nothing towards the street, green and perhaps a house behind."""
    if kind == "wall":
        colour = jitter(b.rng, WALL_COLOURS[int(b.rng.integers(len(WALL_COLOURS)))], 0.8, 1.1, 3.0)
        b.blocks.append(Block("wall", side, x, z0, z1, b.uniform(1.3, 2.6), int(b.rng.integers(8)), colour))
    elif kind == "fence":
        colour = jitter(b.rng, FENCE_COLOURS[int(b.rng.integers(len(FENCE_COLOURS)))], 0.85, 1.15, 3.0)
        b.blocks.append(Block("fence", side, x, z0, z1, b.uniform(1.0, 2.0), int(b.rng.integers(9)), colour))
    for _ in range(int(b.rng.integers(2, 5))):
        b.furniture.append(
            Tree(
                x=x + side * b.uniform(2.0, 8.0),
                z=z0 + b.uniform(0, z1 - z0),
                height=b.uniform(4.5, 10.0),
                trunk=0.35,
                variant=int(b.rng.integers(TREE_VARIANTS)),
                colour=b.green(),
                behind=True,
            )
        )
    if b.chance(0.75):
        offset, height = b.uniform(0.5, 2.0), b.uniform(1.2, 3.2)
        b.furniture.append(
            Hedge(side, x + side * offset, z0, z1, height, int(b.rng.integers(6)), b.green(), behind=True)
        )
    if b.chance(0.4):
        b.blocks.append(_building(b, side, x + side * b.uniform(11, 20), z0, z1, behind=True))


# ---- furniture ----------------------------------------------------------------------------------


def _line_with_furniture(b: _Builder, side: int) -> None:
    half, verge = b.road.half, b.road.verge[0 if side < 0 else 1]
    kerb = side * half
    z, spacing = b.uniform(2, 12), b.uniform(16, 28)
    while z < 90:
        height, arm = b.uniform(*b.style.lamp_height), b.uniform(0.8, 1.6)
        b.furniture.append(Lamp(kerb + side * 0.45, z, side, height, arm, b.uniform(0, 1)))
        z += spacing
    if b.chance(b.style.street_trees):
        _street_trees(b, side, kerb + side * (0.9 + 0.3 * verge))
    for _ in range(int(b.rng.integers(1, 4))):
        b.furniture.append(
            Sign(
                x=kerb + side * b.uniform(0.3, 0.9),
                z=b.uniform(6, 40),
                height=b.uniform(2.1, 3.0),
                size=b.uniform(0.32, 0.5),
                design=int(b.rng.integers(SIGN_DESIGNS)),
            )
        )
    for _ in range(int(b.rng.integers(0, 3))):
        bollard = b.chance(0.4)
        height = b.uniform(0.9, 1.1) if bollard else b.uniform(4, 7)
        b.furniture.append(Post(kerb + side * b.uniform(0.2, 1.2), b.uniform(5, 40), height, b.uniform(0.05, 0.08)))
    if b.chance(b.style.signals):
        z = max(8.0, (b.crossing if b.crossing is not None else b.uniform(9, 26)) - 1.0)
        phase, arm = int(b.rng.integers(3)), b.chance(0.45)
        b.furniture.append(TrafficLight(kerb + side * 0.35, z, side, b.uniform(3.2, 3.8), phase, arm))
    if verge > 0 and b.chance(0.35):
        z = b.uniform(3, 12)
        x, length, height = kerb + side * (0.6 * verge + 0.2), b.uniform(10, 40), b.uniform(0.6, 1.1)
        b.furniture.append(Hedge(side, x, z, z + length, height, int(b.rng.integers(6)), b.green()))


def _street_trees(b: _Builder, side: int, x: float) -> None:
    z, spacing = b.uniform(6, 14), b.uniform(6, 11)
    while z < 80:
        if b.chance(0.85):
            tree = Tree(
                x=x + side * b.uniform(0.0, 0.3),
                z=z,
                height=b.uniform(*b.style.tree_height),
                trunk=0.4,
                variant=int(b.rng.integers(TREE_VARIANTS)),
                colour=b.green(),
            )
            palm = b.style.palms > 0 and b.chance(b.style.palms)
            b.furniture.append(replace(tree, height=1.3 * tree.height, trunk=0.8, crown=0.25) if palm else tree)
        z += spacing
