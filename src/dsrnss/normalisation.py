"""How pixels become numbers for a network, and back: one place for the statistics that all parts must share."""

from torch import Tensor

from dsrnss.constants import constant

IMAGENET_MEAN = (0.485, 0.456, 0.406)
"""Mean of RGB in [0, 1]."""
IMAGENET_STD = (0.229, 0.224, 0.225)
"""Standard deviation of RGB in [0, 1]."""


def normalise(images: Tensor) -> Tensor:
    """Pixels as a network takes them.

    Args:
        images: (..., 3, H, W) RGB: floats in [0, 1], or uint8.

    Returns:
        (..., 3, H, W), normalised by the mean and deviation of ImageNet; of uint8, float32.
    """
    if not images.is_floating_point():
        images = images.float() * (1 / 255)  # as torchvision, to the last bit
    mean, std = _statistics(images)
    return (images - mean) / std


def denormalise(images: Tensor) -> Tensor:
    """Pixels as they are seen.

    Args:
        images: (..., 3, H, W) normalised RGB.

    Returns:
        (..., 3, H, W) RGB in [0, 1], not clamped.
    """
    mean, std = _statistics(images)
    return images * std + mean


def _statistics(images: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and deviation, (3, 1, 1), in the type and on the device of the images."""
    mean, std = (constant(values, images.device, images.dtype, (3, 1, 1)) for values in (IMAGENET_MEAN, IMAGENET_STD))
    return mean, std
