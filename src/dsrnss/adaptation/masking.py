"""Masked image consistency: predict a night image of which most blocks are hidden (MIC, arXiv 2212.01322)."""

from dataclasses import dataclass

import torch
from torch import Tensor

from dsrnss.errors import check_range


@dataclass(frozen=True)
class MaskingConfig:
    """Masked image consistency; not part of the paper, hence off.

    Args:
        weight: Weight of the loss; 0 switches it off, 1 is MIC's.
        ratio: Probability that a block is hidden.
        block: Side of a block in pixels on an image whose shorter side is `crop`; it is scaled with the real size.
        crop: Side of the images that `block` was chosen for.
        augment: Whether the images are strongly augmented first, like the mixed ones.
    """

    weight: float = 0.0
    ratio: float = 0.7
    block: int = 64
    crop: int = 1024
    augment: bool = True

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises:
            ConfigError: If a value is outside its range.
        """
        check_range("masking.weight", self.weight, 0)
        check_range("masking.ratio", self.ratio, 0, 1)
        check_range("masking.block", self.block, 1)
        check_range("masking.crop", self.crop, 1)

    def block_size(self, height: int, width: int) -> int:
        """Side of a block in pixels on an image of this size, at least 1."""
        return max(1, round(self.block * min(height, width) / self.crop))


def draw_masks(
    number: int,
    height: int,
    width: int,
    config: MaskingConfig,
    generator: torch.Generator,
    device: torch.device | None = None,
) -> Tensor:
    """Draw which pixels are hidden: each block of each image with probability `ratio`.

    Args:
        number: B.
        height: H.
        width: W; border blocks are cut where the block does not divide the side.
        config: Ratio and block.
        generator: Source of the draw, on the CPU.
        device: Where the masks go to; None: the CPU.

    Returns:
        (B, H, W) bool.
    """
    block = config.block_size(height, width)
    hidden = torch.rand(number, -(-height // block), -(-width // block), generator=generator) < config.ratio
    rows, columns = (torch.arange(side, device=device) // block for side in (height, width))
    return hidden.to(device, non_blocking=True)[:, rows][:, :, columns]


def mask_images(images: Tensor, config: MaskingConfig, generator: torch.Generator) -> Tensor:
    """Hide random blocks of each image.

    Args:
        images: (B, 3, H, W) normalised RGB.
        config: Ratio and block.
        generator: Source of the draw, on the CPU.

    Returns:
        (B, 3, H, W); hidden pixels are 0, the mean colour.
    """
    masks = draw_masks(len(images), images.shape[2], images.shape[3], config, generator, images.device)
    return images.masked_fill(masks[:, None], 0.0)
