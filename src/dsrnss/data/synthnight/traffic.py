"""Put traffic into a scene: vehicles, cycles and people."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Literal

import numpy as np

from .layout import CROSSING_WIDTH
from .scene import Cycle, Mover, Pedestrian, Scene, Vehicle
from .types import Colour, jitter

PAINTS: tuple[Colour, ...] = (
    (200, 200, 200),
    (32, 30, 30),
    (92, 90, 90),
    (155, 152, 150),
    (25, 35, 60),
    (30, 60, 120),
    (140, 30, 30),
    (50, 70, 40),
    (190, 180, 170),
    (60, 45, 45),
    (180, 80, 20),
)
BUS_PAINTS: tuple[Colour, ...] = ((190, 60, 40), (205, 200, 200), (215, 170, 40), (30, 90, 140), (60, 130, 70))
TRAIN_PAINTS: tuple[Colour, ...] = ((205, 200, 195), (180, 40, 40), (225, 170, 50), (60, 120, 80))

Kind = Literal["car", "truck", "bus", "train"]


class _Crowd:
    """Collects movers and keeps vehicles apart."""

    def __init__(self, rng: np.random.Generator, scene: Scene) -> None:
        self.rng = rng
        self.scene = scene
        self.movers: list[Mover] = []

    def uniform(self, low: float, high: float) -> float:
        return float(self.rng.uniform(low, high))

    def chance(self, probability: float) -> bool:
        return bool(self.rng.random() < probability)

    def traits(self) -> tuple[float, ...]:
        return tuple(float(t) for t in self.rng.random(6))

    def clothes(self) -> Colour:
        return jitter(self.rng, (95, 95, 95), 0.3, 1.2, 40.0)

    def vehicle(self, kind: Kind, x: float, front: float, heading: float, lights: bool) -> None:
        """Add a vehicle whose nearest point lies at `front`, unless the place is taken."""
        paints = {"bus": BUS_PAINTS, "train": TRAIN_PAINTS}.get(kind, PAINTS)
        colour = jitter(self.rng, paints[int(self.rng.integers(len(paints)))], 0.75, 1.15, 6.0)
        new = Vehicle(kind, x, front, heading, colour, self.traits(), lights)
        new = replace(new, z=front + (0.9 if new.crosses else new.length / 2))
        if not any(isinstance(other, Vehicle) and _too_close(new, other) for other in self.movers):
            self.movers.append(new)

    def add(self, mover: Pedestrian | Cycle) -> None:
        """Add somebody, unless a vehicle stands there."""
        for other in self.movers:
            if isinstance(other, Vehicle):
                dx, dz = _half_extent(other)
                if abs(other.x - mover.x) < dx + 0.5 and abs(other.z - mover.z) < dz + 0.5:
                    return
        self.movers.append(mover)


def _half_extent(vehicle: Vehicle) -> tuple[float, float]:
    s, c = abs(math.sin(vehicle.heading)), abs(math.cos(vehicle.heading))
    along, across = vehicle.length / 2, vehicle.half_width
    return along * s + across * c, along * c + across * s


def _too_close(a: Vehicle, b: Vehicle) -> bool:
    ax, az = _half_extent(a)
    bx, bz = _half_extent(b)
    return abs(a.x - b.x) < ax + bx + 0.15 and abs(a.z - b.z) < az + bz + 0.8


def build_traffic(rng: np.random.Generator, scene: Scene) -> tuple[Mover, ...]:
    """Draw the traffic of a scene."""
    crowd = _Crowd(rng, scene)
    _moving_vehicles(crowd)
    _parked_vehicles(crowd)
    _cycles(crowd)
    _pedestrians(crowd)
    return tuple(crowd.movers)


def _moving_vehicles(crowd: _Crowd) -> None:
    half = crowd.scene.road.half
    rng = crowd.rng
    if crowd.scene.trams and crowd.chance(0.85):
        crowd.vehicle("train", -half * 0.5, crowd.uniform(11, 32), math.pi, lights=True)
    z = crowd.uniform(9, 20)
    for _ in range(int(rng.integers(0, 4))):
        kind = _draw_kind(rng, 0.09, 0.09)
        if kind != "car":
            z = max(z, crowd.uniform(13, 26))
        crowd.vehicle(kind, half * 0.45 + float(rng.normal(0, 0.15)), z, float(rng.normal(0, 0.02)), lights=True)
        z += crowd.uniform(9, 22)
    z = crowd.uniform(6.5, 20)
    for _ in range(int(rng.integers(1, 5))):
        kind = _draw_kind(rng, 0.09, 0.09)
        if kind != "car":
            z = max(z, crowd.uniform(13, 26))
        x = -half * 0.5 + float(rng.normal(0, 0.15))
        crowd.vehicle(kind, x, z, math.pi + float(rng.normal(0, 0.02)), lights=True)
        z += crowd.uniform(10, 26)
    crossing = crowd.scene.crossing
    if crossing is not None and crowd.chance(0.4):
        z = crossing + crowd.uniform(1.5, CROSSING_WIDTH - 3)
        heading = math.pi / 2 * float(rng.choice([-1, 1])) + float(rng.normal(0, 0.05))
        crowd.vehicle("car" if crowd.chance(0.85) else "truck", crowd.uniform(-half, half), z, heading, lights=True)


def _draw_kind(rng: np.random.Generator, truck: float, bus: float) -> Kind:
    draw = float(rng.random())
    if draw < truck:
        return "truck"
    return "bus" if draw < truck + bus else "car"


def _parked_vehicles(crowd: _Crowd) -> None:
    half = crowd.scene.road.half
    for side in (-1, 1):
        if not (crowd.scene.parking and crowd.chance(0.85)):
            continue
        z = crowd.uniform(5.5, 13)
        while z < 50:
            if crowd.chance(0.78) and not _blocks_crossing(crowd.scene, z):
                heading = (0.0 if side > 0 else math.pi) + float(crowd.rng.normal(0, 0.025))
                kind: Kind = "car" if crowd.chance(0.975) else "truck"
                crowd.vehicle(kind, side * (half - 1.05), z, heading, lights=False)
            z += crowd.uniform(5.2, 9)


def _blocks_crossing(scene: Scene, z: float) -> bool:
    return scene.crossing is not None and scene.crossing - 5 < z < scene.crossing + CROSSING_WIDTH + 1


def _cycles(crowd: _Crowd) -> None:
    half, rng = crowd.scene.road.half, crowd.rng
    for side in (-1, 1):
        if crowd.chance(0.33):
            x, z = side * (half + crowd.uniform(0.4, 1.4)), crowd.uniform(5.5, 20)
            lean = crowd.uniform(-0.45, 0.45) + (0.0 if crowd.chance(0.6) else 0.65)
            for k in range(int(rng.integers(1, 4))):
                _add_cycle(crowd, False, x, z + 0.6 * k, lean, False)
        if crowd.chance(0.16):
            x = side * (half + crowd.uniform(-0.6, 1.0))
            _add_cycle(crowd, True, x, crowd.uniform(6.5, 17), crowd.uniform(-0.6, 0.6), False)
        if crowd.chance(0.26):
            x = side * (half - crowd.uniform(0.5, 1.2))
            heading = crowd.uniform(0.6, 1.5) * (1 if side > 0 else -1)
            _add_cycle(crowd, False, x, crowd.uniform(6.0, 20), heading, True)
        if crowd.chance(0.12):
            heading = crowd.uniform(0.8, 1.5) * (1 if side > 0 else -1)
            _add_cycle(crowd, True, side * half * 0.5, crowd.uniform(6.5, 20), heading, True)


def _add_cycle(crowd: _Crowd, motor: bool, x: float, z: float, heading: float, ridden: bool) -> None:
    colour = jitter(crowd.rng, PAINTS[int(crowd.rng.integers(len(PAINTS)))], 0.75, 1.15, 6.0)
    crowd.add(Cycle(motor, x, z, heading, colour, ridden, crowd.clothes(), crowd.clothes(), crowd.traits()))


def _pedestrians(crowd: _Crowd) -> None:
    road, rng = crowd.scene.road, crowd.rng
    for side in (-1, 1):
        width = road.frontage(side) - road.half
        for _ in range(int(rng.poisson(2.0))):
            # squaring favours the near ones, which are large enough to be learnt
            z = 5.0 + 26.0 * crowd.uniform(0, 1) ** 1.5
            _add_pedestrian(crowd, side * (road.half + crowd.uniform(0.4, width - 0.2)), z)
    if crowd.scene.zebra is not None and crowd.chance(0.6):
        for _ in range(int(rng.integers(1, 4))):
            z = crowd.scene.zebra + crowd.uniform(0.5, 3)
            _add_pedestrian(crowd, crowd.uniform(-road.half, road.half), z)


def _add_pedestrian(crowd: _Crowd, x: float, z: float) -> None:
    height = crowd.uniform(1.5, 1.9) if crowd.chance(0.9) else crowd.uniform(1.0, 1.4)
    crowd.add(Pedestrian(x, z, height, crowd.clothes(), crowd.clothes(), crowd.traits()))
