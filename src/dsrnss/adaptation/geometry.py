"""Warping by a flow field (method section 6)."""

import torch
import torch.nn.functional as F
from torch import Tensor

from dsrnss.constants import constant


def pixel_grid(height: int, width: int, like: Tensor) -> Tensor:
    """The (1, 2, H, W) pixel coordinates (x, y) of an image, in the type and on the device of `like`."""
    y, x = torch.meshgrid(
        torch.arange(height, dtype=like.dtype, device=like.device),
        torch.arange(width, dtype=like.dtype, device=like.device),
        indexing="ij",
    )
    return torch.stack((x, y))[None]


def warp(features: Tensor, flow: Tensor) -> tuple[Tensor, Tensor]:
    """Sample a map where a flow points to.

    Args:
        features: (B, C, H, W) map of the reference.
        flow: (B, 2, H, W) flow target -> reference, x then y, in pixels.

    Returns:
        The (B, C, H, W) map seen from the target, bilinear and zero outside, and the (B, H, W) bool mask of pixels
        whose sample lies strictly inside. A flow of zero everywhere gives the map itself, valid everywhere.
    """
    height, width = features.shape[-2:]
    moved = flow.any()  # never asked for by the host, which would wait for a GPU
    where = pixel_grid(height, width, flow) + flow
    scale = constant((max(width - 1, 1), max(height - 1, 1)), flow.device, flow.dtype)
    grid = 2 * where.permute(0, 2, 3, 1) / scale - 1
    inside = (grid > -1).all(-1) & (grid < 1).all(-1)
    warped = F.grid_sample(features, grid.to(features.dtype), "bilinear", "zeros", align_corners=True)
    return torch.where(moved, warped, features), inside | ~moved
