"""Aligning a night image with its day reference without any weights.

Both pictures become maps of gradients of log intensity relative to their surroundings, in which night and day look
alike. The motion of a camera in a street (`classical_street`) explains most of the way between them, also where the
night hides all texture; DIS optical flow corrects it by a few pixels where both of its directions agree. The
confidence is that of the structure under the flow found, and of the two directions.
"""

import cv2
import numpy as np

from dsrnss.adaptation.alignment.classical_street import fit_street, street_flow
from dsrnss.adaptation.alignment.classical_structure import (
    WORKING_AREA,
    Image,
    Map,
    descriptors,
    grid,
    inside,
    oriented_structure,
    resize,
    sample,
    structure_map,
    working_size,
)

CONSISTENCY_PIXELS = 2.0
"""Forward-backward error at which the confidence has fallen to 1/e."""
CORRECTION_PIXELS = 3.0
"""Departure from the camera's motion, at the working size, at which optical flow is believed 1/e."""
SMOOTHING_PIXELS = 8.0
"""Blur of the corrections at the working size."""
INERTIA = 0.3
"""Weight of no correction against the corrections around a pixel."""
NIGHT_BLUR, DAY_BLUR = 1.3, 1.0


def dense_flow(target: Image, reference: Image) -> Map:
    """DIS optical flow (arXiv 1603.03590): (H, W, 2) in pixels."""
    dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    dis.setFinestScale(1)
    dis.setVariationalRefinementIterations(5)
    flow: Map = dis.calc(target, reference, None)  # type: ignore[call-overload]
    return flow


def consistency(forward: Map, backward: Map) -> Map:
    """Confidence of a flow by the backward flow met where it points: (H, W) in [0, 1], 0 outside the image."""
    where = grid(*forward.shape[:2]) + forward
    error = np.linalg.norm(forward + sample(backward, where, outside=999.0), axis=-1)
    confidence: Map = np.where(inside(where), np.exp(-((error / CONSISTENCY_PIXELS) ** 2)), 0).astype(np.float32)
    return confidence


def corrected(flow: Map, target: Image, reference: Image) -> tuple[Map, Map]:
    """A flow bettered by optical flow, where that is consistent and small.

    Returns:
        The (H, W, 2) flow, and the (H, W) belief in the correction in [0, 1].
    """
    height, width = flow.shape[:2]
    scale = (height * width / WORKING_AREA) ** 0.5
    night, day = structure_map(target, NIGHT_BLUR), structure_map(reference, DAY_BLUR)
    places = grid(height, width)
    moved = np.rint(sample(day.astype(np.float32), places + flow, outside=0.0)).astype(np.uint8)
    local = dense_flow(night, moved)
    departure = np.linalg.norm(local, axis=-1) / (CORRECTION_PIXELS * max(scale, 0.3))
    belief = np.asarray(consistency(local, dense_flow(moved, night)) * np.exp(-(departure**2)), np.float32)
    blur = SMOOTHING_PIXELS * scale
    total = cv2.GaussianBlur(local * belief[..., None], (0, 0), blur)
    smooth = np.asarray(total / (cv2.GaussianBlur(belief, (0, 0), blur) + INERTIA)[..., None], np.float32)
    return smooth + sample(flow, places + smooth), belief


def structure_agreement(flow: Map, night: Map, day: Map) -> Map:
    """Local correlation of (H, W, 4) oriented structure under an (H, W, 2) flow in pixels: (H // 2, W // 2) <= 1."""
    target, reference = descriptors(night, 2.0, 2), descriptors(day, 2.0, 2)
    rows, columns = target.shape[:2]
    where = grid(rows, columns) + np.asarray(resize(flow, (rows, columns)) / 2, np.float32)
    moved = sample(reference, where, outside=0.0)

    def around(a: Map, b: Map) -> Map:
        return np.asarray(cv2.GaussianBlur(np.einsum("hwc,hwc->hw", a, b), (0, 0), 3), np.float32)

    norm = np.sqrt(np.maximum(around(target, target) * around(moved, moved), 0) + 1e-4)
    return np.asarray(around(target, moved) / norm, np.float32)


def align_pair(target: Image, reference: Image) -> tuple[Map, Map]:
    """Align a night image with its day reference.

    Args:
        target: (H, W, 3) uint8 RGB, the night image.
        reference: (H, W, 3) uint8 RGB, the day reference at the same size.

    Returns:
        The (H, W, 2) flow target -> reference in pixels (x, y), and its (H, W) confidence in [0, 1].
    """
    height, width = target.shape[:2]
    size = working_size(height, width)
    night, day = (
        oriented_structure(np.asarray(resize(image, size), np.uint8), blur)
        for image, blur in ((target, NIGHT_BLUR), (reference, DAY_BLUR))
    )
    flow, belief = corrected(street_flow(fit_street(night, day), height, width), target, reference)
    shrunk = np.asarray(resize(flow, size) * np.array([size[1] / width, size[0] / height]), np.float32)
    agreement = np.asarray(resize(structure_agreement(shrunk, night, day), (height, width)), np.float32)
    confidence = np.clip(agreement + belief / 2 - 0.1, 0, 1) * inside(grid(height, width) + flow)
    return flow.astype(np.float32), confidence.astype(np.float32)
