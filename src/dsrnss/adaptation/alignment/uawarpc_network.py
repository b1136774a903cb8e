"""UAWarpC: dense matching of two photographs of a place, with an uncertainty (Refign, arXiv 2207.06825, section 3.2).

The networks of WarpC (arXiv 2104.03308) and their uncertainty, as method sections 6 and 7 state them.
"""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dsrnss.adaptation.alignment.correlation import (
    global_correlation,
    local_correlation,
    mutual_matching,
    normalise_correlation,
)
from dsrnss.adaptation.alignment.uawarpc_decoders import FlowDecoder, FlowRefinement, UncertaintyDecoder
from dsrnss.adaptation.geometry import pixel_grid, warp
from dsrnss.constants import constant
from dsrnss.models.backbones.vgg import VGG16

COARSE_SIZE = 256
"""The two coarse levels see the images at this height and width."""


class Pyramid(NamedTuple):
    """Features of an image, each pixel of unit length.

    Attributes:
        level4: (B, 512, 16, 16).
        level3: (B, 256, 32, 32).
        level2: (B, 256, H // 8, W // 8).
        level1: (B, 128, H // 4, W // 4).
    """

    level4: Tensor
    level3: Tensor
    level2: Tensor
    level1: Tensor


class Level(NamedTuple):
    """What one level found.

    Attributes:
        flow: (B, 2, h, w) target -> reference, x then y, in pixels.
        log_variance: (B, 1, h, w) of that flow, in log square pixels.
    """

    flow: Tensor
    log_variance: Tensor


class UAWarpCHead(nn.Module):
    """From the features of two images to a flow, coarse to fine."""

    def __init__(self) -> None:
        super().__init__()
        window = 81
        self.decoder4 = FlowDecoder(256)
        self.decoder3 = FlowDecoder(window + 3)
        self.refinement_module_adaptive = FlowRefinement()
        self.decoder2 = FlowDecoder(window + 3)
        self.reduce = nn.Conv2d(32, 2, 1)
        self.decoder1 = FlowDecoder(window + 5)
        self.refinement_module_finest = FlowRefinement()
        self.estimate_uncertainty_components4 = UncertaintyDecoder(16, 32)
        self.estimate_uncertainty_components3 = UncertaintyDecoder(9, 35)
        self.estimate_uncertainty_components2 = UncertaintyDecoder(9, 35)
        self.estimate_uncertainty_components1 = UncertaintyDecoder(9, 35)

    def forward(self, target: Pyramid, reference: Pyramid, size: tuple[int, ...]) -> list[Level]:
        """Match.

        Args:
            target: Features of the target.
            reference: Features of the reference.
            size: Height and width of the images.

        Returns:
            Levels 4, 3, 2, 1 in pixels of the images.
        """
        level4 = self.match_globally(target.level4, reference.level4)
        level3 = self.match_coarsely(target.level3, reference.level3, level4)
        level3 = rescale(level3, size)
        level2, features = self.match_middle(target.level2, reference.level2, level3, size)
        level1 = self.match_finely(target.level1, reference.level1, level2, features, size)
        return [rescale(level4, size), level3, level2, level1]

    def match_globally(self, target: Tensor, reference: Tensor) -> Level:
        """Level 4: an absolute mapping from all correlations, in pixels of the coarse images."""
        height, width = target.shape[-2:]
        correlation = normalise_correlation(mutual_matching(global_correlation(target, reference)))
        mapping, features = self.decoder4(correlation)
        log_variance = self.estimate_uncertainty_components4(correlation, features)
        flow = (mapping + 1) * _xy(width - 1, height - 1, mapping) / 2 - pixel_grid(height, width, mapping)
        scale = COARSE_SIZE / width
        return Level(flow * scale, log_variance + 2 * math.log(scale))

    def match_coarsely(self, target: Tensor, reference: Tensor, coarser: Level) -> Level:
        """Level 3, in pixels of the coarse images."""
        flow, log_variance = upsample(coarser, target.shape[-2:])
        correlation = correlate_warped(target, reference, flow, (COARSE_SIZE, COARSE_SIZE))
        residual, features = self.decoder3(torch.cat((correlation, flow, log_variance), 1))
        residual = residual + self.refinement_module_adaptive(features)
        log_variance = self.estimate_uncertainty_components3(correlation, features, log_variance, flow)
        return Level(residual + flow, log_variance)

    def match_middle(
        self, target: Tensor, reference: Tensor, coarser: Level, size: tuple[int, ...]
    ) -> tuple[Level, Tensor]:
        """Level 2, and the features of its flow decoder."""
        flow, log_variance = upsample(coarser, target.shape[-2:])
        correlation = correlate_warped(target, reference, flow, size)
        residual, features = self.decoder2(torch.cat((correlation, flow, log_variance), 1))
        log_variance = self.estimate_uncertainty_components2(correlation, features, log_variance, flow)
        return Level(residual + flow, log_variance), features

    def match_finely(
        self, target: Tensor, reference: Tensor, coarser: Level, features: Tensor, size: tuple[int, ...]
    ) -> Level:
        """Level 1."""
        flow, log_variance = upsample(coarser, target.shape[-2:])
        # bilinear weights sum to 1: reduced before or after, it is the same
        hints = resize(self.reduce(features), target.shape[-2:])
        correlation = correlate_warped(target, reference, flow, size)
        residual, features = self.decoder1(torch.cat((correlation, flow, hints, log_variance), 1))
        residual = residual + self.refinement_module_finest(features)
        log_variance = self.estimate_uncertainty_components1(correlation, features, log_variance, flow)
        return Level(residual + flow, log_variance)


class UAWarpC(nn.Module):
    """VGG-16 and the matching head."""

    def __init__(self) -> None:
        super().__init__()
        self.vgg = VGG16()
        self.head = UAWarpCHead()

    def forward(self, target: Tensor, reference: Tensor) -> Level:
        """Match two batches of images.

        Args:
            target: (B, 3, H, W) normalised images.
            reference: (B, 3, H, W) normalised images.

        Returns:
            The (B, 2, H, W) flow and its (B, 1, H, W) log-variance.
        """
        return upsample(self.levels(target, reference)[-1], target.shape[-2:])

    def levels(self, target: Tensor, reference: Tensor) -> list[Level]:
        """Levels 4, 3, 2, 1, at 16x16, 32x32, 1/8 and 1/4."""
        height, width = target.shape[-2:]
        levels: list[Level] = self.head(self.pyramid(target), self.pyramid(reference), (height, width))
        return levels

    def pyramid(self, images: Tensor) -> Pyramid:
        """Features of (B, 3, H, W) normalised images."""
        coarse = F.interpolate(images, (COARSE_SIZE, COARSE_SIZE), mode="area")
        level1, level2 = self.vgg(images, pools=(2, 3))
        level3, level4 = self.vgg(coarse, pools=(3, 4))
        return Pyramid(*(F.normalize(features, dim=1) for features in (level4, level3, level2, level1)))


def correlate_warped(target: Tensor, reference: Tensor, flow: Tensor, size: tuple[int, ...]) -> Tensor:
    """Local correlation of a map with another, warped by a flow in pixels of images of a size."""
    height, width = target.shape[-2:]
    warped, _ = warp(reference, flow * _xy(width / size[1], height / size[0], flow))
    return normalise_correlation(local_correlation(target, warped))


def rescale(level: Level, size: tuple[int, ...]) -> Level:
    """From pixels of the coarse images to pixels of the images of a size."""
    height, width = size
    diagonals = math.hypot(height, width) / math.hypot(COARSE_SIZE, COARSE_SIZE)
    flow = level.flow * _xy(width / COARSE_SIZE, height / COARSE_SIZE, level.flow)
    return Level(flow, level.log_variance + 2 * math.log(diagonals))


def _xy(x: float, y: float, flow: Tensor) -> Tensor:
    """A factor of each channel of a flow: (1, 2, 1, 1)."""
    return constant((x, y), flow.device, flow.dtype, (1, 2, 1, 1))


def upsample(level: Level, size: tuple[int, ...]) -> Level:
    """The same at another resolution; the flow's unit stays."""
    return Level(resize(level.flow, size), resize(level.log_variance, size))


def resize(x: Tensor, size: tuple[int, ...]) -> Tensor:
    """Bilinear, align_corners False."""
    return F.interpolate(x, size, mode="bilinear", align_corners=False)


def confidence(log_variance: Tensor, radius: float = 1.0) -> Tensor:
    """The probability that the true flow lies within some pixels of the estimate (Refign, equation 2).

    Args:
        log_variance: (B, 1, H, W) in log square pixels.
        radius: In pixels.

    Returns:
        (B, 1, H, W) in [0, 1].
    """
    return 1 - torch.exp(-(radius**2) / (2 * log_variance.exp()))
