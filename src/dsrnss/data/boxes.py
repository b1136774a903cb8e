"""A rectangle of pixels."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as F


@dataclass(frozen=True)
class Box:
    """A rectangle in pixels."""

    top: int
    left: int
    height: int
    width: int

    def cut(self, plane: Tensor) -> Tensor:
        """The part of a (..., H, W) tensor inside the box, without copying."""
        cut: Tensor = F.crop(plane, self.top, self.left, self.height, self.width)
        return cut

    def shares(self, size: tuple[int, int]) -> Tensor:
        """Top, left, height and width as shares of a picture of this (height, width): (4,) float32."""
        height, width = size
        return torch.tensor([self.top / height, self.left / width, self.height / height, self.width / width])
