"""Photometric augmentation: colour jitter and Gaussian blur (DACS; method section 4), and what other cameras do.

The jitter is that of kornia 0.5.8 (today's `ColorJiggle`), which the authors pin: additive brightness, plain contrast,
saturation and hue in HSV. torchvision's `ColorJitter` is another function. Gamma, exposure, grey images and noise are
not part of the paper: a wider range for photographs of one's own.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as tvf

from dsrnss.constants import constant
from dsrnss.errors import check_range
from dsrnss.normalisation import denormalise, normalise


@dataclass(frozen=True)
class AugmentationConfig:
    """How strong, how often.

    Args:
        jitter: Range of brightness, contrast and saturation.
        hue: Range of the hue, in turns.
        jitter_probability: Probability that a batch is jittered.
        blur_probability: Probability that a batch is blurred.
        blur_sigma: Least and greatest standard deviation of the blur in pixels.
        gamma: Least and greatest exponent of an image's values in [0, 1]; above 1 darkens.
        exposure: Least and greatest factor of an image's values; below 1 darkens, above 1 saturates what is bright.
        grayscale_probability: Probability that an image loses its colours.
        noise: Greatest standard deviation of an image's sensor noise, of values in [0, 1].
    """

    jitter: float = 0.2
    hue: float = 0.2
    jitter_probability: float = 0.8
    blur_probability: float = 0.5
    blur_sigma: tuple[float, float] = (0.15, 1.15)
    gamma: tuple[float, float] = (1.0, 1.0)
    exposure: tuple[float, float] = (1.0, 1.0)
    grayscale_probability: float = 0.0
    noise: float = 0.0

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises:
            ConfigError: If a value is outside its range.
        """
        check_range("augmentation.jitter", self.jitter, 0, 1)
        check_range("augmentation.hue", self.hue, 0, 0.5)
        check_range("augmentation.jitter_probability", self.jitter_probability, 0, 1)
        check_range("augmentation.blur_probability", self.blur_probability, 0, 1)
        check_range("augmentation.blur_sigma", min(self.blur_sigma), 0.01)
        for name, (low, high) in {"gamma": self.gamma, "exposure": self.exposure}.items():
            check_range(f"augmentation.{name}", low, 0.01)
            check_range(f"augmentation.{name}, its greatest value", high, low)
        check_range("augmentation.grayscale_probability", self.grayscale_probability, 0, 1)
        check_range("augmentation.noise", self.noise, 0, 1)


@dataclass(frozen=True)
class JitterDraw:
    """One image's jitter: factors, and the order of 0 brightness, 1 contrast, 2 saturation, 3 hue."""

    brightness: float
    contrast: float
    hue: float
    saturation: float
    order: Sequence[int]


def normals(shape: Sequence[int], like: Tensor, generator: torch.Generator) -> Tensor:
    """Standard normal numbers of a shape, in 32 bits, where an image is.

    A GPU draws them itself, from its own state as dropout does: a copy of this size would be waited for.
    """
    return torch.randn(*shape, generator=generator if like.is_cpu else None, device=like.device)


def uniform(low: float, high: float, generator: torch.Generator) -> float:
    """One number from [low, high)."""
    return low + (high - low) * torch.rand((), generator=generator).item()


def draw_jitter(config: AugmentationConfig, generator: torch.Generator) -> JitterDraw:
    """Draw brightness, contrast, hue, saturation and then the order."""
    low, high = 1 - config.jitter, 1 + config.jitter
    brightness, contrast = (uniform(low, high, generator) for _ in range(2))
    hue = uniform(-config.hue, config.hue, generator)
    saturation = uniform(low, high, generator)
    return JitterDraw(brightness, contrast, hue, saturation, torch.randperm(4, generator=generator).tolist())


def rgb_to_hsv(image: Tensor) -> Tensor:
    """(3, H, W) RGB in [0, 1] -> hue in turns, saturation, value."""
    value, index = image.max(0)
    delta = value - image.amin(0)
    saturation = delta / (value + 1e-8)
    safe = torch.where(delta == 0, torch.ones_like(delta), delta)
    red, green, blue = (value - image) / safe
    sector = torch.stack((blue - green, 2.0 + red - blue, 4.0 + green - red)).gather(0, index[None])[0]
    return torch.stack(((sector / 6) % 1.0, saturation, value))


def hsv_to_rgb(image: Tensor) -> Tensor:
    """The inverse of `rgb_to_hsv`."""
    hue, saturation, value = image
    offsets = constant((5.0, 3.0, 1.0), image.device, image.dtype, (3, 1, 1))
    k = (offsets + hue * 6) % 6
    rgb: Tensor = value - value * saturation * torch.clamp(torch.minimum(k, 4 - k), 0, 1)
    return rgb


def color_jitter(image: Tensor, draw: JitterDraw) -> Tensor:
    """Jitter one image.

    Args:
        image: (3, H, W) RGB in [0, 1].
        draw: What to do.

    Returns:
        (3, H, W) in [0, 1].
    """
    for step in draw.order:
        if step == 0:
            image = (image + (draw.brightness - 1)).clamp(0, 1)
        elif step == 1:
            image = (image * draw.contrast).clamp(0, 1)
        else:
            hsv = rgb_to_hsv(image)
            hue, saturation, value = hsv
            if step == 2:
                saturation = (saturation * draw.saturation).clamp(0, 1)
            else:
                hue = torch.fmod(hue + draw.hue, 1.0)
            image = hsv_to_rgb(torch.stack((hue, saturation, value)))
    return image


def blur_kernel_size(side: int) -> int:
    """The largest odd number that is at most ceil(0.1 side)."""
    size = math.ceil(0.1 * side)
    return max(size - 1 + size % 2, 1)


def gaussian_blur(images: Tensor, sigma: float) -> Tensor:
    """Blur with reflected border: (..., H, W), sigma in pixels."""
    height, width = images.shape[-2:]
    # Beyond 6 sigma the kernel is below the resolution of float32: cutting it there saves most of the work.
    reach = 2 * math.ceil(6 * sigma) + 1
    kernel = [min(blur_kernel_size(side), reach) for side in (width, height)]
    blurred: Tensor = tvf.gaussian_blur(images, kernel, [sigma, sigma])
    return blurred


def _factor(limits: tuple[float, float], generator: torch.Generator) -> float:
    """A factor drawn between limits, as likely to halve as to double; nothing is drawn where they are one."""
    low, high = limits
    return low if low == high else math.exp(uniform(math.log(low), math.log(high), generator))


def change_camera(image: Tensor, config: AugmentationConfig, generator: torch.Generator) -> Tensor:
    """Draw gamma, exposure and whether an image is grey, and apply them; nothing is drawn of what is off.

    Args:
        image: (3, H, W) normalised RGB.
        config: The ranges.
        generator: Source of the draws.
    """
    gamma, exposure = _factor(config.gamma, generator), _factor(config.exposure, generator)
    grey = config.grayscale_probability > 0 and uniform(0, 1, generator) < config.grayscale_probability
    if (gamma, exposure, grey) == (1, 1, False):
        return image
    plain = (exposure * denormalise(image).clamp(0, 1) ** gamma).clamp(0, 1)
    return normalise(tvf.rgb_to_grayscale(plain, 3) if grey else plain)


def add_noise(image: Tensor, most: float, generator: torch.Generator) -> Tensor:
    """Add Gaussian noise of a drawn standard deviation to an image.

    Args:
        image: (3, H, W) normalised RGB.
        most: Greatest standard deviation, of values in [0, 1].
        generator: Source of the draws, on the CPU.
    """
    noise = uniform(0, most, generator) * normals(image.shape, image, generator)
    return normalise((denormalise(image) + noise.to(image)).clamp(0, 1))


def strong_augment(images: Tensor, config: AugmentationConfig, generator: torch.Generator) -> Tensor:
    """Augment a batch: one draw each decides whether all of it is jittered and blurred, values are drawn per image.

    Args:
        images: (B, 3, H, W) normalised RGB.
        config: How strong, how often.
        generator: Source of all draws.

    Returns:
        (B, 3, H, W) normalised RGB.
    """
    jittered = uniform(0, 1, generator) < config.jitter_probability
    blurred = uniform(0, 1, generator) < config.blur_probability
    augmented = []
    for image in images:
        if jittered:
            plain = denormalise(image).clamp(0, 1)
            image = normalise(color_jitter(plain, draw_jitter(config, generator)))
        image = change_camera(image, config, generator)
        if blurred:
            image = gaussian_blur(image, uniform(*config.blur_sigma, generator))
        if config.noise:  # a sensor adds it to what its lens has blurred
            image = add_noise(image, config.noise, generator)
        augmented.append(image)
    return torch.stack(augmented)
