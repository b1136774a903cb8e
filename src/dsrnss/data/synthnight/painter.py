"""Paint a whole view, the far before the near."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

from .camera import Camera
from .canvas import Canvas
from .furniture import paint_furniture, paint_hedge
from .ground import paint_ground
from .houses import Windows, paint_backdrop, paint_block, paint_gable, pieces_of
from .people import paint_cycle, paint_pedestrian
from .scene import Cycle, Hedge, Mover, Pedestrian, Scene, Tree, Vehicle
from .types import Sun
from .vehicles import paint_vehicle

Step = tuple[float, int, float, Callable[[], None]]
"""Way at which it is painted, layer within that way, way within the layer, and the painting itself."""

_SECOND_ROW, _GABLE, _GARDEN, _FRONTAGE, _STREET = range(5)


def paint_view(
    scene: Scene, movers: Iterable[Mover], camera: Camera, sun: Sun | None, windows: Windows, burning: float
) -> Canvas:
    """Paint a scene with traffic.

    Args:
        scene: the place.
        movers: its traffic.
        camera: the view.
        sun: day light; None at night.
        windows: which windows are lit.
        burning: share of the lamps that burn.
    """
    canvas = Canvas(camera, scene.road, sun)
    paint_ground(canvas, scene)
    paint_backdrop(canvas, scene.backdrop, windows(0), scene.style.name)
    steps = _frontage_steps(canvas, scene, windows)
    steps += _furniture_steps(canvas, scene, burning)
    steps += _traffic_steps(canvas, movers)
    # a piece of frontage hides what lies beyond its far end and is hidden by what stands before it
    steps.sort(key=lambda step: (-step[0], step[1], -step[2]))
    for *_, paint in steps:
        paint()
    return canvas


def _frontage_steps(canvas: Canvas, scene: Scene, windows: Windows) -> list[Step]:
    steps: list[Step] = []
    density = 8 if canvas.camera.width <= 768 else 16
    style = scene.style.name
    for number, block in enumerate(scene.blocks):
        pieces = pieces_of(canvas, block.z0, block.z1)
        if not pieces or block.kind == "open":
            continue
        lut = windows(number)
        if block.kind == "building":
            gable = partial(paint_gable, canvas, block, lut, style, density)
            steps.append((block.z0 + 0.01, _SECOND_ROW if block.behind else _GABLE, 0.0, gable))
        layer, within = (_SECOND_ROW, abs(block.x)) if block.behind else (_FRONTAGE, 0.0)
        for piece in pieces:
            steps.append((piece[1], layer, within, partial(paint_block, canvas, block, piece, lut, style, density)))
    return steps


def _furniture_steps(canvas: Canvas, scene: Scene, burning: float) -> list[Step]:
    steps: list[Step] = []
    for item in scene.furniture:
        if isinstance(item, Hedge):
            layer, within = (_GARDEN, 0.0) if item.behind else (_FRONTAGE, -1.0)
            for piece in pieces_of(canvas, item.z0, item.z1):
                steps.append((piece[1], layer, within, partial(paint_hedge, canvas, item, piece)))
        elif item.z > canvas.camera.z + 0.3:
            paint = partial(paint_furniture, canvas, item, scene.style.pole, burning)
            if isinstance(item, Tree) and item.behind:
                steps.append((_garden_end(scene, item), _GARDEN, item.z, paint))
            else:
                steps.append((item.z, _STREET, item.z, paint))
    return steps


def _garden_end(scene: Scene, tree: Tree) -> float:
    """Return the far end of the wall or fence before a tree: the tree is painted before all of it."""
    side = 1 if tree.x > 0 else -1
    for block in scene.blocks:
        if block.kind in ("wall", "fence") and block.side == side and block.z0 <= tree.z <= block.z1:
            return block.z1
    return tree.z


def _traffic_steps(canvas: Canvas, movers: Iterable[Mover]) -> list[Step]:
    steps: list[Step] = []
    for mover in movers:
        z = mover.z
        if isinstance(mover, Vehicle) and not mover.crosses:
            z -= mover.length / 2
        steps.append((z, _STREET, z, partial(_paint_mover, canvas, mover)))
    return steps


def _paint_mover(canvas: Canvas, mover: Mover) -> None:
    match mover:
        case Vehicle():
            paint_vehicle(canvas, mover)
        case Pedestrian():
            paint_pedestrian(canvas, mover)
        case Cycle():
            paint_cycle(canvas, mover)
