"""The motion that a moved camera causes in a street: floor, two walls and a back wall.

A pixel's motion follows from the camera's rotation, its translation and the pixel's inverse depth. Inverse depth is
that of a box: the nearest of the ground below the horizon, a wall on either side of the vanishing point, and a wall at
the end. Twelve parameters describe camera and box; robust Gauss-Newton steps from several translations find those
under which the two pictures' structure agrees. Textureless places, such as the road at night, move with the rest.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from dsrnss.adaptation.alignment.classical_structure import Map, descriptors, grid, inside, sample
from dsrnss.machine import one_blas_thread

# rotation about x, y, z; translation in heights of the camera; horizon, vanishing point, slopes of left and right
# wall, inverse depth of the back wall; inverse square of the focal length. Lengths in the picture: its longer side.
CENTRE = np.array([0, 0, 0, 0, 0, 0, 0, 0, 0.25, 0.25, 0.01, 1], np.float32)
"""The parameters of no motion in a plain street, where the fit starts."""
SPREAD = np.array([0.05, 0.05, 0.02, 0.3, 0.05, 0.8, 0.05, 0.1, 0.2, 0.2, 0.03, 0.5], np.float32)
"""How far from there each parameter may be expected."""
PRIOR = 3e-4
"""Weight of that expectation against the mean disagreement of a pixel."""
TOLERANCE = 0.1
"""Squared difference of descriptors at which a pixel counts half an outlier (Geman-McClure)."""
SETTLED = 0.01
"""Step, in spreads of each parameter, that ends the descent early."""
STARTS = tuple((sideways, forward) for sideways in (0.0, -0.25, 0.25) for forward in (0.0, -0.8, 0.8))
"""Translations from which the fit starts, in heights of the camera."""
SCHEDULE = ((6.0, 8, 8, len(STARTS)), (3.0, 4, 6, 4), (2.0, 4, 5, 1))
"""Blur in pixels, step in pixels, Gauss-Newton steps and candidates kept, from coarse to fine."""


def rays(height: int, width: int, step: int = 1) -> tuple[Map, Map]:
    """Picture coordinates of the (H // step, W // step) cells, from its centre, in longer sides; each flat."""
    longer = max(height, width)
    x, y = (
        ((np.arange(n // step, dtype=np.float32) + 0.5) * (n / (n // step)) - n / 2) / longer for n in (width, height)
    )
    across, down = np.meshgrid(x, y)
    return across.ravel().astype(np.float32), down.ravel().astype(np.float32)


def _planes(parameters: Map, x: Map, y: Map) -> list[Map]:
    """Inverse depth of ground, left, right and back wall."""
    horizon, vanishing, left, right, back = (*parameters[6:8], *np.abs(parameters[8:11]))
    return [y - horizon, left * (vanishing - x), right * (x - vanishing), np.full_like(x, back)]


def _move(parameters: Map, x: Map, y: Map, inverse: Map) -> tuple[Map, Map, Map]:
    """Where points of given inverse depth move to, x and y, and by what they shrink."""
    (about_x, about_y, about_z), (tx, ty, tz) = parameters[:3], parameters[3:6]
    scale = 1 / np.maximum(1 + parameters[11] * (about_x * y - about_y * x) + inverse * tz, np.float32(0.2))
    return (
        (x + about_y - about_z * y + inverse * tx) * scale,
        (y - about_x + about_z * x + inverse * ty) * scale,
        scale,
    )


def street_motion(parameters: Map, x: Map, y: Map) -> Map:
    """Motion of points in the picture.

    Args:
        parameters: (12,) as `CENTRE` has them.
        x: (N,) coordinates from the centre of the picture, in longer sides.
        y: (N,) the same, downwards.

    Returns:
        (2, N) in longer sides.
    """
    inverse = np.maximum.reduce(_planes(parameters, x, y))
    new_x, new_y, _ = _move(parameters, x, y, inverse)
    return np.stack((new_x - x, new_y - y))


def street_derivative(parameters: Map, x: Map, y: Map) -> tuple[Map, Map]:
    """`street_motion`, and its (2, 12, N) derivative by the parameters."""
    planes = _planes(parameters, x, y)
    inverse = np.maximum.reduce(planes)
    new_x, new_y, scale = _move(parameters, x, y, inverse)
    vanishing, left, right, back, bending = parameters[7:]
    ground, on_left, on_right, behind = ((plane == inverse).astype(np.float32) for plane in planes)
    turn = parameters[0] * y - parameters[1] * x
    by_plane = (
        -ground,
        abs(left) * on_left - abs(right) * on_right,
        (vanishing - x) * on_left * np.sign(left),
        (x - vanishing) * on_right * np.sign(right),
        behind * np.sign(back),
    )
    derivative = np.zeros((2, len(CENTRE), x.size), np.float32)
    for row, new, t in ((derivative[0], new_x, parameters[3]), (derivative[1], new_y, parameters[4])):
        row[0], row[1], row[5], row[11] = -bending * new * y, bending * new * x, -new * inverse, -new * turn
        by_depth = t - new * parameters[5]
        for k, plane in enumerate(by_plane, start=6):
            np.multiply(by_depth, plane, out=row[k])
    derivative[1, 0] -= 1
    derivative[0, 1] += 1
    derivative[0, 2], derivative[1, 2] = -y, x
    derivative[0, 3], derivative[1, 4] = inverse, inverse
    derivative *= scale
    return np.stack((new_x - x, new_y - y)), derivative


@dataclass(frozen=True)
class _Level:
    """Descriptors of both pictures at one blur, their gradients and the cells' places."""

    target: Map
    reference: Map
    target_gradients: tuple[Map, Map]
    reference_gradients: tuple[Map, Map]
    x: Map
    y: Map
    places: Map
    cells: Map
    """Cells per longer side, across and down: (2, 1)."""


def _gradients(image: Map) -> tuple[Map, Map]:
    x, y = (cv2.Sobel(image, cv2.CV_32F, 1 - k, k, scale=0.125) for k in (0, 1))
    return np.asarray(x, np.float32), np.asarray(y, np.float32)


def _level(target: Map, reference: Map, blur: float, step: int) -> _Level:
    height, width = target.shape[:2]
    first, second = descriptors(target, blur, step), descriptors(reference, blur, step)
    rows, columns = first.shape[:2]
    longer = max(height, width)
    cells = np.array([[longer * columns / width], [longer * rows / height]], np.float32)
    x, y = rays(height, width, step)
    return _Level(first, second, _gradients(first), _gradients(second), x, y, grid(rows, columns), cells)


def _step(level: _Level, parameters: Map) -> tuple[float, Map]:
    """Disagreement under the parameters, and the parameters after one Gauss-Newton step."""
    motion, derivative = street_derivative(parameters, level.x, level.y)
    rows, columns = level.target.shape[:2]
    where = level.places + (motion * level.cells).T.reshape(rows, columns, 2)
    error = level.target - sample(level.reference, where)
    squared, seen = np.einsum("hwc,hwc->hw", error, error), inside(where)
    expected = (CENTRE - parameters) / SPREAD
    # what leaves the picture costs a little less than what disagrees, else the fit would hide disagreement outside
    loss = float(np.where(seen, squared / (squared + TOLERANCE), 0.7).mean() + PRIOR * (expected**2).sum())
    weight = np.where(seen, TOLERANCE / (squared + TOLERANCE) ** 2, np.float32(0))
    pairs = zip(level.target_gradients, level.reference_gradients, strict=True)
    slopes = [np.asarray((a + sample(b, where)) / 2, np.float32) for a, b in pairs]

    def dot(a: Map, b: Map) -> Map:
        return np.asarray((weight * np.einsum("hwc,hwc->hw", a, b)).ravel(), np.float32)

    across, mixed, down = dot(slopes[0], slopes[0]), dot(slopes[0], slopes[1]), dot(slopes[1], slopes[1])
    derivative *= level.cells[:, :, None]
    jx, jy = derivative
    curvature = (across * jx + mixed * jy) @ jx.T + (mixed * jx + down * jy) @ jy.T
    pull = jx @ dot(slopes[0], error) + jy @ dot(slopes[1], error)
    stiffness = PRIOR * level.x.size / SPREAD**2
    system = curvature + np.diag(stiffness + 1e-3 * np.diag(curvature))
    change = np.linalg.solve(system, pull + stiffness * (CENTRE - parameters))
    return loss, (parameters + change).astype(np.float32)


def _descend(level: _Level, parameters: Map, steps: int) -> tuple[float, Map]:
    best = (np.inf, parameters)
    for _ in range(steps):
        loss, following = _step(level, parameters)
        best = min(best, (loss, parameters), key=lambda pair: pair[0])
        settled = bool((np.abs(following - parameters) < SETTLED * SPREAD).all())
        parameters = following
        if settled:
            break
    return min(best, (_step(level, parameters)[0], parameters), key=lambda pair: pair[0])


def fit_street(target: Map, reference: Map, starts: Sequence[tuple[float, float]] = STARTS) -> Map:
    """Parameters of the motion from one picture's oriented structure (H, W, 4) to another's: (12,)."""
    candidates: list[tuple[float, Map]] = [(0.0, CENTRE.copy()) for _ in starts]
    for (_, parameters), (sideways, forward) in zip(candidates, starts, strict=True):
        parameters[3], parameters[5] = sideways, forward
    with one_blas_thread():
        for blur, step, steps, kept in SCHEDULE:
            level = _level(target, reference, blur, step)
            best = sorted(candidates, key=lambda pair: pair[0])[:kept]
            candidates = [_descend(level, parameters, steps) for _, parameters in best]
    return min(candidates, key=lambda pair: pair[0])[1]


def street_flow(parameters: Map, height: int, width: int) -> Map:
    """The motion of every pixel of a picture: (H, W, 2) in pixels."""
    motion = street_motion(parameters, *rays(height, width))
    return np.asarray(motion.T.reshape(height, width, 2) * max(height, width), np.float32)
