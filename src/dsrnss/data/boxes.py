"""A rectangle of pixels."""

from dataclasses import dataclass

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
