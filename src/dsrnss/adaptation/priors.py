"""Spatial priors: what the source knows about the places of classes (CBST-SP, arXiv 1810.07911, section 4.3).

Not part of the paper. How much more often than elsewhere a class is at a height and column of the source pictures is
multiplied on the teacher's probabilities before pseudo-labels are chosen: a black sky above is then less often a road.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.transforms.v2 import functional as tvf

from dsrnss.errors import ConfigError, check_range


@dataclass(frozen=True)
class PriorsConfig:
    """How far the places of the source are trusted; not part of the paper, hence off.

    Args:
        strength: Exponent of the prior; 0 switches it off, 1 is CBST's.
        smoothing: Standard deviation of the Gaussian that smooths it, as a share of a picture's sides.
        limit: A class is made so many times more or less likely at most, so that nothing becomes impossible.
    """

    strength: float = 0.0
    smoothing: float = 0.05
    limit: float = 10.0

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises:
            ConfigError: If a value is outside its range.
        """
        check_range("priors.strength", self.strength, 0)
        check_range("priors.smoothing", self.smoothing, 0, 0.25)
        check_range("priors.limit", self.limit, 1)


class SpatialPriors(nn.Module):
    """Where each class is in the source pictures; the counts are a buffer, so that a resumed run has the same.

    Args:
        num_classes: C.
        config: Strength, smoothing and limit.
    """

    GRID = (32, 64)
    """(rows, columns) of the cells in which pixels are counted."""

    counts: Tensor

    def __init__(self, num_classes: int, config: PriorsConfig) -> None:
        super().__init__()
        self.config = config
        self.register_buffer("counts", torch.zeros(num_classes, *self.GRID, dtype=torch.int64))
        self._known = False

    @property
    def known(self) -> bool:
        """Whether the source was counted; a GPU is asked once."""
        self._known = self._known or bool(self.counts.any())
        return self._known

    def learn(self, counts: Tensor) -> None:
        """Take the source into account.

        Args:
            counts: (C, rows, columns) pixels of each class in each cell of `GRID` over the source pictures.
        """
        self.counts.copy_(counts)

    def factors(self) -> Tensor:
        """How much more likely each place makes each class: (C, rows, columns).

        A class's share of a cell over its share of all cells, mirrored, since training mirrors pictures, and smoothed.
        Ignored pixels count nowhere. 1 where no pixel is labelled, and for classes that the source does not have.
        """
        counts = (self.counts + self.counts.flip(2)).float()
        rows, columns = self.GRID
        if self.config.smoothing:
            sigma = [self.config.smoothing * columns, self.config.smoothing * rows]
            counts = tvf.gaussian_blur(counts, [2 * int(3 * s) + 1 for s in sigma], sigma)
        here = counts.sum(0) / counts.sum().clamp(min=1)
        of_class = counts / counts.sum((1, 2), keepdim=True).clamp(min=1)
        known = (here > 0) & (of_class.sum((1, 2), keepdim=True) > 0)
        lift = torch.where(known, of_class / torch.where(here > 0, here, 1.0), 1.0)
        return lift.clamp(1 / self.config.limit, self.config.limit) ** self.config.strength

    def at(self, boxes: Tensor, size: tuple[int, int]) -> Tensor:
        """The factors at the pixels of crops.

        Args:
            boxes: (B, 4) top, left, height and width of crops, as shares of the sides of their pictures; of a mirrored
                crop those in the mirrored picture.
            size: (H, W) of the crops in pixels.

        Returns:
            (B, C, H, W).
        """
        boxes = boxes.to(self.counts.device, torch.float32)
        # middles of pixels, as shares of the whole picture
        y, x = (
            boxes[:, i, None]
            + boxes[:, 2 + i, None] * (torch.arange(size[i], device=boxes.device, dtype=boxes.dtype) + 0.5) / size[i]
            for i in (0, 1)
        )
        pixels = torch.stack(torch.broadcast_tensors(x[:, None, :], y[:, :, None]), -1)
        maps = self.factors().expand(len(boxes), -1, -1, -1)
        return F.grid_sample(maps, 2 * pixels - 1, mode="bilinear", padding_mode="border", align_corners=False)

    @torch.no_grad()
    def forward(self, probabilities: Tensor, boxes: Tensor | None) -> Tensor:
        """Multiply the prior on probabilities; the sum over the classes stays what it was at each pixel.

        Args:
            probabilities: (B, C, H, W), perhaps refined.
            boxes: (B, 4) where the crops lie, see `at`.

        Returns:
            (B, C, H, W).

        Raises:
            ConfigError: If the source was not counted, or nobody says where the crops lie.
        """
        if not self.known:
            raise ConfigError("priors.strength needs the places of the source's classes: call `priors.learn` first.")
        if boxes is None:
            raise ConfigError("priors.strength needs to know where crops lie: give the target batch a `box`, (B, 4).")
        height, width = probabilities.shape[-2:]
        with torch.autocast(probabilities.device.type, enabled=False):
            weighted = probabilities.float() * self.at(boxes, (height, width))
            share = probabilities.float().sum(1, keepdim=True) / weighted.sum(1, keepdim=True)
        return (weighted * share).to(probabilities.dtype)
