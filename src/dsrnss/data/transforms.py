"""Joint crop, scaling, flip and normalisation of a sample: picture, label, reference and flow move together."""

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as F

from dsrnss.data.base import Sample, Size, histogram
from dsrnss.data.boxes import Box
from dsrnss.errors import ConfigError
from dsrnss.labels import IGNORE_INDEX
from dsrnss.normalisation import normalise

CROP_REDRAWS = 10
_PLANES = ("image", "label", "reference", "flow", "confidence")


@dataclass(frozen=True)
class WantedClass:
    """A class that a crop should hold more than `pixels` of; else it is drawn again, at most `attempts` times."""

    index: int
    pixels: float
    attempts: int


def check_fits(crop: Size, size: Size, name: str) -> None:
    """Refuse a crop that is larger than a picture.

    Args:
        crop: (height, width) of the crop.
        size: (height, width) of the picture.
        name: What the message calls the picture.

    Raises:
        ConfigError: If it does not fit.
    """
    if size[0] < crop[0] or size[1] < crop[1]:
        raise ConfigError(
            f"crop_size {crop[0]}x{crop[1]} does not fit into '{name}' of {size[0]}x{size[1]} (height x width): "
            "choose a smaller crop_size or a larger size of the data set."
        )


def random_cut(size: Size, crop: Size, scale: tuple[float, float], rng: np.random.Generator) -> Size:
    """Draw how much of a picture becomes a crop: a part of crop / scale, of the crop's shape and inside the picture.

    Args:
        size: (height, width) of the picture, at least that of the crop.
        crop: (height, width) of the crop.
        scale: Least and greatest scale, as likely to halve as to double; nothing is drawn where they are one.
        rng: Source of the draw.

    Returns:
        (height, width) of the part, in pixels of the picture.
    """
    low, high = scale
    drawn = low if low == high else math.exp(rng.uniform(math.log(low), math.log(high)))
    factor = max(drawn, crop[0] / size[0], crop[1] / size[1])
    height, width = (min(max(1, round(side / factor)), most) for side, most in zip(crop, size, strict=True))
    return height, width


def random_box(size: Size, crop: Size, rng: np.random.Generator) -> Box:
    """Draw a crop box in a picture of at least its size, all positions equally likely.

    Args:
        size: (height, width) of the picture.
        crop: (height, width) of the box.
        rng: Source of the draws.
    """
    top = int(rng.integers(size[0] - crop[0] + 1))
    return Box(top, int(rng.integers(size[1] - crop[1] + 1)), *crop)


def largest_share(label: Tensor) -> float:
    """Share of the most frequent class among the pixels of a uint8 label map that are not ignored; 1 if none is."""
    counts = histogram(label.numpy())
    counts[IGNORE_INDEX] = 0
    total = int(counts.sum())
    return float(counts.max() / total) if total else 1.0


def random_label_box(
    label: Tensor, crop: Size, rng: np.random.Generator, cat_max_ratio: float, wanted: WantedClass | None = None
) -> Box:
    """Draw a crop box by what its labels hold.

    A box in which one class holds `cat_max_ratio` or more of the counted pixels is drawn again, up to 10 times; this
    happens inside each attempt to find enough of the wanted class. The last box drawn is taken, good or not.

    Args:
        label: (H, W) uint8 train ids, not smaller than the crop.
        crop: (height, width).
        rng: Source of the draws.
        cat_max_ratio: Largest share of one class; 1 accepts every box.
        wanted: The class that rare class sampling drew, None: any box will do.
    """
    label = label.as_subclass(Tensor)
    size = (label.shape[0], label.shape[1])
    box = random_box(size, crop, rng)
    for attempt in range(1 + (wanted.attempts if wanted else 0)):
        box = random_box(size, crop, rng) if attempt else box
        for _ in range(CROP_REDRAWS if cat_max_ratio < 1 else 0):
            if largest_share(box.cut(label)) < cat_max_ratio:
                break
            box = random_box(size, crop, rng)
        if wanted is None or np.count_nonzero(box.cut(label).numpy() == wanted.index) > wanted.pixels:
            break
    return box


def resize_sample(sample: Sample, size: Size) -> Sample:
    """Bring every plane of a sample to another (height, width); the vectors of a flow become longer or shorter with it.

    Pictures are bilinear and antialiased, flow and confidence bilinear, labels nearest.
    """
    height, width = sample["image"].shape[-2:]
    if (height, width) == size:
        return sample
    scaled: dict[str, Any] = dict(sample)
    for key in set(scaled) & set(_PLANES):
        mode = F.InterpolationMode.NEAREST_EXACT if key == "label" else F.InterpolationMode.BILINEAR
        # a mask of torchvision would be sampled half a pixel beside the pictures
        plane, antialias = scaled[key].as_subclass(Tensor)[None], key in ("image", "reference")
        scaled[key] = F.resize(plane, list(size), mode, antialias=antialias)[0].as_subclass(type(scaled[key]))
    if "flow" in scaled:
        scaled["flow"] = scaled["flow"] * torch.tensor([size[1] / width, size[0] / height]).view(2, 1, 1)
    return scaled  # type: ignore[return-value]


def flip_sample(sample: Sample) -> Sample:
    """Mirror every plane of a sample left to right, and where it lies; the x component of a flow changes its sign."""
    flipped: dict[str, Any] = {
        key: F.horizontal_flip(value) if key in _PLANES else value for key, value in sample.items()
    }
    if "flow" in flipped:
        flipped["flow"] = flipped["flow"] * torch.tensor([-1.0, 1.0]).view(2, 1, 1)
    if "box" in flipped:
        top, left, height, width = flipped["box"].unbind()
        flipped["box"] = torch.stack((top, 1 - left - width, height, width))
    return flipped  # type: ignore[return-value]


def normalise_bytes(image: Tensor) -> Tensor:
    """`normalise` of one (3, H, W) uint8 image, several times faster: the same float32 numbers by a look-up."""
    pixels = image.as_subclass(Tensor).permute(1, 2, 0).numpy()
    # decoders give interleaved channels: splitting bytes is cheaper than transposing floats
    planes = cv2.split(pixels) if pixels.strides[-1] == 1 else [pixels[..., channel] for channel in range(3)]
    ready = np.empty((3, *pixels.shape[:2]), np.float32)
    for plane, table, out in zip(planes, _normal_table(), ready, strict=True):
        cv2.LUT(plane, table, dst=out)
    return torch.from_numpy(ready)


@lru_cache(maxsize=1)
def _normal_table() -> npt.NDArray[np.float32]:
    """What each of the 256 values of each channel becomes, (3, 256)."""
    values = torch.arange(256, dtype=torch.uint8).expand(3, 1, 256)
    return np.ascontiguousarray(normalise(values).numpy().reshape(3, 256))


def to_model_input(sample: Sample) -> dict[str, Any]:
    """What a network and its loss want: pictures float32 and normalised, labels int64, all plain tensors."""
    ready: dict[str, Any] = dict(sample)
    for key in ("image", "reference"):
        if key in ready:
            ready[key] = normalise_bytes(ready[key])
    if "label" in ready:
        ready["label"] = ready["label"].as_subclass(Tensor).to(torch.int64)
    for key in ("flow", "confidence"):
        if key in ready:
            ready[key] = ready[key].contiguous()
    return ready
