"""Relighting: labelled day crops as the night would show them, drawn from the images and their labels.

Not part of the paper. No darkening of a whole image makes a night of it: by day the sky is the brightest of all, at
night it is black while the road below is lit, and a network that has only seen day takes it for a tree or a road. So
the sky is painted dark, and everything else is lit by what little light there is: weak from everywhere, in pools and
from below.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from dsrnss.adaptation.augmentation import normals
from dsrnss.errors import check_range
from dsrnss.labels import LabelSpace
from dsrnss.normalisation import denormalise, normalise

_POOLS = (3, 5)
"""(rows, columns) of the brightnesses between which pools of light are interpolated."""
_DARK = 0.2
"""Mean brightness below which an image shows a night already."""
_GRAIN = (1, 3, 9)
"""Sizes of the grains of noise, in pixels."""
_GREY = 0.6
"""Share of the noise that is without colour."""
_LAMPS = 6
"""Most lamps in an image."""


@dataclass(frozen=True)
class RelightingConfig:
    """How often labelled crops are relit, and how dark they get; not part of the paper, hence off.

    Args:
        probability: Probability that an image is relit; 0 switches the part off.
        ambient: Least and greatest share of the daylight that is left everywhere.
        sky: Greatest brightness of the sky, of values in [0, 1].
        haze: Greatest brightness that black has, from stray light and cameras that lift the shadows.
        noise: Greatest standard deviation of the noise, on each of three scales.
    """

    probability: float = 0.0
    ambient: tuple[float, float] = (0.1, 0.6)
    sky: float = 0.25
    haze: float = 0.3
    noise: float = 0.02

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises:
            ConfigError: If a value is outside its range.
        """
        check_range("source.relighting.probability", self.probability, 0, 1)
        low, high = self.ambient
        check_range("source.relighting.ambient", low, 0, 1)
        check_range("source.relighting.ambient, its greatest value", high, low, 1)
        check_range("source.relighting.sky", self.sky, 0, 1)
        check_range("source.relighting.haze", self.haze, 0, 1)
        check_range("source.relighting.noise", self.noise, 0, 1)


@torch.no_grad()
def relight(
    images: Tensor, labels: Tensor, label_space: LabelSpace, config: RelightingConfig, generator: torch.Generator
) -> Tensor:
    """Relight some of the images.

    Args:
        images: (B, 3, H, W) normalised RGB by day.
        labels: (B, H, W) train ids.
        label_space: Says which class is the sky; where there is no class of that name all is lit alike.
        config: How often, how dark.
        generator: Source of the draws, on the CPU; nothing is drawn where the part is off.

    Returns:
        (B, 3, H, W) normalised RGB; images that are not relit, or that are dark already, are left as they are.
    """
    if not config.probability:
        return images
    chosen = torch.rand(len(images), generator=generator) < config.probability
    rows = chosen.nonzero().flatten()
    if not len(rows):
        return images
    rows = rows.to(images.device, non_blocking=True)
    day = denormalise(images[rows]).clamp(0, 1)
    night = day * _light(day, config, generator)
    heaven = next((index for index, name in enumerate(label_space.names) if name.lower() == "sky"), None)
    if heaven is not None:
        sky = (labels[rows] == heaven).unsqueeze(1).to(day)
        sky = F.avg_pool2d(F.pad(sky, (1, 1, 1, 1), mode="replicate"), 3, 1)  # as the lens sees its edge
        night = torch.lerp(night, _sky(day, config, generator), sky)
    night = night + _lamps(day, generator) + _grain(day, config.noise, generator)
    haze = _draw(day, (1, 1, 1), 0, config.haze, generator) * _warm(day, generator)
    night = haze + (1 - haze) * night.clamp(0, 1)
    night = torch.where(day.mean((1, 2, 3), keepdim=True) > _DARK, night, day)
    return images.index_copy(0, rows, normalise(night.clamp(0, 1)))


def _draw(like: Tensor, shape: tuple[int, ...], low: float, high: float, generator: torch.Generator) -> Tensor:
    """Uniform numbers of a shape after that of the batch, on the device of an image batch."""
    values = low + (high - low) * torch.rand((len(like), *shape), generator=generator)
    return values.to(like, non_blocking=True)  # a small copy that nobody waits for


def _warm(like: Tensor, generator: torch.Generator) -> Tensor:
    """(B, 3, 1, 1) the colour of street lamps: white to orange."""
    warmth = _draw(like, (1, 1, 1), 0, 1, generator)
    return torch.cat((torch.ones_like(warmth), 1 - 0.25 * warmth, 1 - 0.6 * warmth), 1)


def _depth(day: Tensor) -> Tensor:
    """(H, 1) 0 at the top, 1 at the bottom."""
    return torch.linspace(0, 1, day.shape[-2], device=day.device, dtype=day.dtype)[:, None]


def _light(day: Tensor, config: RelightingConfig, generator: torch.Generator) -> Tensor:
    """(B, 3, H, W) the share of the daylight that falls on each pixel."""
    height, width = day.shape[-2:]
    ambient = _draw(day, (1, 1, 1), *config.ambient, generator)
    pools = F.interpolate(
        _draw(day, (1, *_POOLS), 0, 1, generator) ** 2, (height, width), mode="bilinear", align_corners=True
    )
    below = _depth(day) ** _draw(day, (1, 1, 1), 1, 4, generator)
    strength = _draw(day, (2, 1, 1), 0, 0.8, generator)
    added = (strength * torch.cat((pools, below.expand_as(pools)), 1)).sum(1, keepdim=True)
    return (ambient + added).clamp(max=1.2) * _warm(day, generator)


def _sky(day: Tensor, config: RelightingConfig, generator: torch.Generator) -> Tensor:
    """(B, 3, H, W) a sky of one dark colour, often brighter below, with a little of its structure by day."""
    colour = _draw(day, (1, 1, 1), 0, config.sky, generator) * _draw(day, (3, 1, 1), 0.5, 1, generator)
    glow = 1 + _draw(day, (1, 1, 1), -0.3, 0.7, generator) * _depth(day)
    return colour * glow * (0.8 + 0.2 * day)


def _lamps(day: Tensor, generator: torch.Generator) -> Tensor:
    """(B, 3, H, W) lamps and their glare: bright blots of any place and size; what they cover stays what it is."""
    height, width = day.shape[-2:]
    shape = (_LAMPS, 1, 1)
    row, column = (_draw(day, shape, 0, side, generator) for side in (height, width))
    size = min(height, width) * 0.005 * 12 ** _draw(day, shape, 0, 1, generator)
    lit = _draw(day, shape, 0, 1, generator) < _draw(day, (1, 1, 1), 0, 1, generator)
    across = torch.arange(width, device=day.device, dtype=day.dtype)
    down = torch.arange(height, device=day.device, dtype=day.dtype)[:, None]
    blots = torch.exp(-((across - column) ** 2) / (2 * size**2)) * torch.exp(-((down - row) ** 2) / (2 * size**2))
    return (blots * lit).sum(1, keepdim=True) * _warm(day, generator)


def _grain(day: Tensor, most: float, generator: torch.Generator) -> Tensor:
    """(B, 3, H, W) noise: of pixels, and the blotches that a camera's smoothing leaves of it."""
    height, width = day.shape[-2:]
    grain = torch.zeros_like(day)
    for scale in _GRAIN:
        size = (math.ceil(height / scale), math.ceil(width / scale))
        noise = normals((len(day), 3, *size), day, generator).to(day.dtype)
        noise = noise if scale == 1 else F.interpolate(noise, (height, width), mode="bicubic", align_corners=False)
        noise = torch.lerp(noise, math.sqrt(3) * noise.mean(1, keepdim=True), _GREY)
        grain += noise * _draw(day, (1, 1, 1), 0, most, generator)
    return grain
