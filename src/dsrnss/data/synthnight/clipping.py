"""Polygons in camera coordinates: clipping and normals."""

from __future__ import annotations

from collections.abc import Sequence

NEAR = 0.4
"""Distance of the near plane in metres."""

Vertex = tuple[float, float, float]
"""Camera coordinates in metres: right, up, forward."""


def clip_near(vertices: Sequence[Vertex], near: float = NEAR) -> list[Vertex]:
    """Clip a polygon in camera coordinates against the near plane (Sutherland-Hodgman)."""
    clipped: list[Vertex] = []
    previous = vertices[-1]
    for vertex in vertices:
        inside, was_inside = vertex[2] >= near, previous[2] >= near
        if inside != was_inside:
            t = (near - previous[2]) / (vertex[2] - previous[2])
            clipped.append(
                (
                    previous[0] + t * (vertex[0] - previous[0]),
                    previous[1] + t * (vertex[1] - previous[1]),
                    near,
                )
            )
        if inside:
            clipped.append(vertex)
        previous = vertex
    return clipped


def newell_normal(vertices: Sequence[Vertex]) -> Vertex:
    """Return the normal of a polygon, of any length; collinear neighbours do no harm."""
    nx = ny = nz = 0.0
    x0, y0, z0 = vertices[-1]
    for x1, y1, z1 in vertices:
        nx += (y0 - y1) * (z0 + z1)
        ny += (z0 - z1) * (x0 + x1)
        nz += (x0 - x1) * (y0 + y1)
        x0, y0, z0 = x1, y1, z1
    return nx, ny, nz
