"""Aligning a night image with its day reference without any weights.

Both pictures become maps of locally normalised gradient magnitude of log intensity, in which night and day look
alike. An ECC homography takes the motion of the camera, DIS optical flow the rest; where forward and backward flow
disagree, the confidence falls.
"""

import cv2
import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.uint8]
Map = npt.NDArray[np.float32]

CONSISTENCY_PIXELS = 2.0
"""Forward-backward error at which the confidence has fallen to 1/e."""
ECC_LEAST = 0.3
"""Correlation below which a homography is not believed."""


def structure_map(image: Image, blur: float) -> Image:
    """Gradient magnitude of log intensity, relative to its surroundings: (H, W, 3) RGB -> (H, W) uint8."""
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)
    log = np.log(cv2.GaussianBlur(grey, (0, 0), blur) + 12)
    magnitude = cv2.magnitude(cv2.Sobel(log, cv2.CV_32F, 1, 0), cv2.Sobel(log, cv2.CV_32F, 0, 1))
    energy = cv2.GaussianBlur(magnitude, (0, 0), 8) + 0.05
    relative: Image = np.clip(magnitude / energy * 80, 0, 255).astype(np.uint8)
    return relative


def _grid(height: int, width: int) -> Map:
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    return np.stack((x, y), axis=-1)


def _sample(image: Map, where: Map, *, outside: float | None = None) -> Map:
    """Bilinear samples at (x, y); beyond the edge the edge itself, or the value `outside`."""
    mode = cv2.BORDER_REPLICATE if outside is None else cv2.BORDER_CONSTANT
    value = (0.0 if outside is None else outside,) * 4
    sampled = cv2.remap(image, where[..., 0], where[..., 1], cv2.INTER_LINEAR, borderMode=mode, borderValue=value)
    return np.asarray(sampled, np.float32)


def homography_flow(target: Image, reference: Image) -> tuple[Map, float]:
    """Flow of the homography that best correlates two structure maps.

    Returns:
        (H, W, 2) flow in pixels, and the correlation in [0, 1]; no motion where none was found.
    """
    height, width = target.shape
    grid = _grid(height, width)
    smooth_target, smooth_reference = (
        cv2.GaussianBlur(m, (0, 0), 3).astype(np.float32) / 255 for m in (target, reference)
    )
    criteria = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 40, 1e-4)
    start = np.eye(3, dtype=np.float32)
    mask = np.full(target.shape, 255, np.uint8)
    try:
        score, matrix = cv2.findTransformECC(
            smooth_target, smooth_reference, start, cv2.MOTION_HOMOGRAPHY, criteria, mask, 5
        )
    except cv2.error:  # it did not converge
        return np.zeros_like(grid), 0.0
    if score <= ECC_LEAST:
        return np.zeros_like(grid), float(score)
    moved = cv2.perspectiveTransform(grid.reshape(1, -1, 2), matrix.astype(np.float32))
    return moved.reshape(height, width, 2) - grid, float(score)


def dense_flow(target: Image, reference: Image) -> Map:
    """DIS optical flow (arXiv 1603.03590): (H, W, 2) in pixels."""
    dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    dis.setFinestScale(1)
    dis.setVariationalRefinementIterations(5)
    flow: Map = dis.calc(target, reference, None)  # type: ignore[call-overload]
    return flow


def consistency(forward: Map, backward: Map) -> Map:
    """Confidence of a flow by the backward flow met where it points: (H, W) in [0, 1], 0 outside the image."""
    height, width = forward.shape[:2]
    where = _grid(height, width) + forward
    error = np.linalg.norm(forward + _sample(backward, where, outside=999.0), axis=-1)
    inside = ((where >= 0) & (where <= (width - 1, height - 1))).all(-1)
    confidence: Map = np.where(inside, np.exp(-((error / CONSISTENCY_PIXELS) ** 2)), 0).astype(np.float32)
    return confidence


def align_pair(target: Image, reference: Image) -> tuple[Map, Map]:
    """Align a night image with its day reference.

    Args:
        target: (H, W, 3) uint8 RGB, the night image.
        reference: (H, W, 3) uint8 RGB, the day reference at the same size.

    Returns:
        The (H, W, 2) flow target -> reference in pixels (x, y), and its (H, W) confidence in [0, 1].
    """
    night, day = structure_map(target, blur=1.3), structure_map(reference, blur=1.0)
    global_flow, score = homography_flow(night, day)
    grid = _grid(*night.shape)
    moved = np.rint(_sample(day.astype(np.float32), grid + global_flow, outside=0.0)).astype(np.uint8)
    local = dense_flow(night, moved)
    confidence = consistency(local, dense_flow(moved, night))
    flow = local + _sample(global_flow, grid + local)
    return flow.astype(np.float32), confidence * np.float32(np.clip(1.6 * score, 0, 1))
