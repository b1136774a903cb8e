"""Pictures as night and day both show them: oriented gradients of log intensity, relative to their surroundings."""

import math
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.uint8]
Map = npt.NDArray[np.float32]

WORKING_AREA = 384 * 192
"""Pixels of the pictures on which motion is estimated; every blur in this package of modules is meant for it."""
DARK = 12.0
"""Added to the intensity before the logarithm, so that the noise of dark places is no structure."""


def working_size(height: int, width: int) -> tuple[int, int]:
    """Height and width of about `WORKING_AREA` pixels with these proportions, neither below 32."""
    scale = math.sqrt(WORKING_AREA / (height * width))
    return max(32, round(height * scale)), max(32, round(width * scale))


def resize(image: npt.NDArray[Any], size: tuple[int, int]) -> npt.NDArray[Any]:
    """Picture at (height, width): averaged where it shrinks, bilinear where it grows."""
    if image.shape[:2] == size:
        return image
    shrinks = size[0] * size[1] < image.shape[0] * image.shape[1]
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    resized: npt.NDArray[Any] = cv2.resize(image, size[::-1], interpolation=method)
    return resized


def log_gradient(image: Image, blur: float) -> tuple[Map, Map, Map]:
    """Gradient of log intensity, x, y and magnitude: (H, W, 3) RGB -> three (H, W)."""
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)
    log = np.log(cv2.GaussianBlur(grey, (0, 0), blur) + DARK)
    x, y = (np.asarray(cv2.Sobel(log, cv2.CV_32F, 1 - k, k), np.float32) for k in (0, 1))
    # cv2.magnitude rounds otherwise where memory happens to be aligned otherwise
    return x, y, np.sqrt(x * x + y * y)


def _energy(magnitude: Map) -> Map:
    return np.asarray(cv2.GaussianBlur(magnitude, (0, 0), 8) + 0.05, np.float32)


def structure_map(image: Image, blur: float) -> Image:
    """Gradient magnitude of log intensity, relative to its surroundings: (H, W, 3) RGB -> (H, W) uint8."""
    magnitude = log_gradient(image, blur)[2]
    relative: Image = np.clip(magnitude / _energy(magnitude) * 80, 0, 255).astype(np.uint8)
    return relative


def oriented_structure(image: Image, blur: float) -> Map:
    """The same by direction: (H, W, 3) RGB -> (H, W, 4), brighter towards the right, left, bottom and top."""
    x, y, magnitude = log_gradient(image, blur)
    gain = np.minimum(magnitude / _energy(magnitude), 2.5) / np.maximum(magnitude, 1e-6)
    x, y = x * gain, y * gain
    return np.asarray(cv2.merge([np.maximum(m, 0) for m in (x, -x, y, -y)]), np.float32)


def descriptors(structure: Map, blur: float, step: int) -> Map:
    """Oriented structure blurred, of local mean zero and local norm one: (H, W, 4) -> (H // step, W // step, 4)."""
    height, width = structure.shape[:2]
    small = cv2.resize(structure, (width // step, height // step), interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(small, (0, 0), blur / step)
    small = small - cv2.GaussianBlur(small, (0, 0), 3 * blur / step)
    energy = np.einsum("hwc,hwc->hw", small, small)
    norm = np.sqrt(np.maximum(cv2.GaussianBlur(energy, (0, 0), 3 * blur / step), 0)) + 0.1
    return np.asarray(small / norm[..., None], np.float32)


def sample(image: Map, where: Map, *, outside: float | None = None) -> Map:
    """Bilinear samples at (x, y); beyond the edge the edge itself, or the value `outside`."""
    mode = cv2.BORDER_REPLICATE if outside is None else cv2.BORDER_CONSTANT
    value = (0.0 if outside is None else outside,) * 4
    sampled = cv2.remap(image, where[..., 0], where[..., 1], cv2.INTER_LINEAR, borderMode=mode, borderValue=value)
    return np.asarray(sampled, np.float32)


def grid(height: int, width: int) -> Map:
    """Coordinates (x, y) of the pixels: (H, W, 2)."""
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    return np.stack((x, y), axis=-1)


def inside(where: Map) -> npt.NDArray[np.bool_]:
    """Which of the (H, W, 2) coordinates lie in a picture of that size: (H, W)."""
    height, width = where.shape[:2]
    x, y = where[..., 0], where[..., 1]
    within: npt.NDArray[np.bool_] = (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)
    return within
