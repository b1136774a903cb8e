"""Photographs as a segmenter takes them: read from files, or given as images and arrays."""

import warnings
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from dsrnss.errors import ImageError
from dsrnss.pictures import decode, upright_rgb

ImageInput = Image.Image | npt.NDArray[np.uint8] | str | Path

MAX_MEGAPIXELS = 50.0
"""Larger photographs are refused before they are decoded; at this size segmenting takes about 2 GB of memory."""

SMALLEST_SIDE = 16
"""Pixels; nothing can be recognised in a smaller photograph."""


def read_photograph(path: str | Path, max_megapixels: float = MAX_MEGAPIXELS) -> Image.Image:
    """Read a photograph as upright RGB.

    Args:
        path: As of `dsrnss.pictures.decode`.
        max_megapixels: Larger ones are refused.

    Raises:
        ImageError: If it cannot be read, or is too large or too small.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns of odd EXIF and TIFF tags, which do not matter here
        return decode(path, max_megapixels=max_megapixels, smallest_side=SMALLEST_SIDE)


def as_picture(image: ImageInput, name: str) -> Image.Image:
    """Anything that is a picture, as upright RGB.

    Args:
        image: A file, a PIL image of any mode, or a uint8 array (H, W, 3) RGB, (H, W, 4) RGBA or (H, W) grey.
        name: What to call it in messages.

    Raises:
        ImageError: If it cannot be read, is too small or no picture.
    """
    if isinstance(image, (str, Path)):
        return read_photograph(image)
    if isinstance(image, np.ndarray):
        image = _from_array(image)
    if not isinstance(image, Image.Image):
        raise ImageError(f"An image is a file, a PIL image or a uint8 array, not a {type(image).__name__}.")
    if min(image.size) < SMALLEST_SIDE:
        raise ImageError(f"An image of {image.width} x {image.height} pixels is too small: {SMALLEST_SIDE} at least.")
    return upright_rgb(image, name)


def _from_array(array: npt.NDArray[np.generic]) -> Image.Image:
    channels = array.shape[2] if array.ndim == 3 else 1
    if array.dtype != np.uint8 or array.ndim not in (2, 3) or channels not in (1, 3, 4) or 0 in array.shape:
        raise ImageError(
            f"An array image is uint8, (H, W, 3) RGB, (H, W, 4) RGBA or (H, W) grey, not {array.dtype} {array.shape}."
        )
    return Image.fromarray(np.ascontiguousarray(array[..., 0] if array.ndim == 3 and channels == 1 else array))
