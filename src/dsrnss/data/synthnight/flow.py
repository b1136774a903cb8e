"""True optical flow between two views of one place."""

from __future__ import annotations

import numpy as np

from .camera import Camera
from .canvas import Canvas
from .types import FIRST_DYNAMIC, Array, ClassId


def pixel_grid(camera: Camera) -> tuple[Array, Array]:
    """Return the image coordinates of the pixel centres, (1, W) and (H, 1)."""
    u = np.arange(camera.width, dtype=np.float64)[None] + 0.5
    v = np.arange(camera.height, dtype=np.float64)[:, None] + 0.5
    return u, v


def true_flow(target: Canvas, reference: Canvas) -> tuple[Array, Array]:
    """Return where each pixel of a view lies in another view of the same place.

    Returns:
        (H, W, 2) float32 flow (x, y) in pixels, and (H, W) bool: the pixel is static, and visible in the other view.
    """
    u, v = pixel_grid(target.camera)
    depth = target.geometry[..., 1].astype(np.float64)
    world = target.camera.unproject(u, v, depth)
    u2, v2, depth2 = reference.camera.project(*world)
    flow = np.stack([u2 - u, v2 - v], -1).astype(np.float32)
    x, y = np.floor(u2).astype(np.int64), np.floor(v2).astype(np.int64)
    height, width = depth.shape
    inside = (depth2 > 0.3) & (x >= 0) & (y >= 0) & (x < width) & (y < height)
    x, y = x.clip(0, width - 1), y.clip(0, height - 1)
    seen = reference.geometry[y, x]
    # a static place is visible if the other view shows something at its depth there, and nothing that moves
    agrees = np.abs(seen[..., 1] - depth2) < 0.07 * depth2 + 0.3
    static = (target.geometry[..., 0] < FIRST_DYNAMIC) & (seen[..., 0] < FIRST_DYNAMIC)
    sky = (target.geometry[..., 0] == ClassId.SKY) & (seen[..., 0] == ClassId.SKY)
    valid = inside & static & (agrees | sky)
    return flow, valid
