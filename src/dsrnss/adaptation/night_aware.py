"""Night-aware source images: labelled day crops that look more like the night crops of their batch.

Not part of the paper. Objects pasted from the day stop being bright strangers in a dark scene. Three ways:

- `fda`: the amplitudes of the lowest frequencies become the night's, phases stay (FDA, arXiv 2004.05498, section 3.1);
- `statistics`: each channel gets the night's mean and standard deviation;
- `histogram`: each channel gets the night's distribution of values.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from dsrnss.errors import ConfigError, check_range, did_you_mean
from dsrnss.normalisation import denormalise, normalise


def match_amplitudes(images: Tensor, nights: Tensor, beta: float) -> Tensor:
    """Give images the low-frequency amplitudes of others; their phases stay (FDA, equation 4).

    Args:
        images: (B, 3, H, W) float32 RGB in [0, 1].
        nights: (B, 3, H, W), one for each.
        beta: Half-side of the square of replaced frequencies around 0, as a share of min(H, W); 0: none.

    Returns:
        (B, 3, H, W), not clamped.
    """
    if beta == 0:
        return images
    height, width = images.shape[-2:]
    # rounded down as officially, but never because of the last bit of a product
    reach = math.floor(beta * min(height, width) + 1e-6)
    # the spectrum of real images is symmetric: half of its columns is enough
    square = (..., torch.arange(-reach, reach + 1, device=images.device).remainder(height), slice(reach + 1))
    spectrum = torch.fft.rfft2(images)
    amplitudes = torch.fft.rfft2(nights)[square].abs()
    spectrum[square] = torch.polar(amplitudes, spectrum[square].angle())
    matched: Tensor = torch.fft.irfft2(spectrum, (height, width))
    return matched


def match_statistics(images: Tensor, nights: Tensor) -> Tensor:
    """Give each channel of images the mean and the standard deviation of others.

    Args:
        images: (B, 3, H, W) RGB.
        nights: (B, 3, H, W), one for each.

    Returns:
        (B, 3, H, W), not clamped; a channel of one value gets the mean alone.
    """
    deviation, mean = torch.std_mean(images, (2, 3), keepdim=True)
    deviation_night, mean_night = torch.std_mean(nights, (2, 3), keepdim=True)
    return (images - mean) * (deviation_night / deviation.clamp(min=1e-6)) + mean_night


def match_histograms(images: Tensor, nights: Tensor) -> Tensor:
    """Give each channel of images the distribution of values of others, in the 256 levels that pictures have.

    Args:
        images: (B, 3, H, W) RGB in [0, 1].
        nights: (B, 3, H, W), one for each.

    Returns:
        (B, 3, H, W); pixels of one level keep one level, which is that of the night in the middle of their ranks.
    """
    levels, levels_night = ((255 * batch).round().long().flatten(2) for batch in (images, nights))
    counts = _level_counts(levels)
    middles = (2 * counts.cumsum(2) - counts - 1) // 2
    matched = torch.searchsorted(_level_counts(levels_night).cumsum(2), middles, right=True).clamp(max=255)
    return (matched / 255).to(images.dtype).gather(2, levels).view_as(images)


def _level_counts(levels: Tensor) -> Tensor:
    """Pixels of each level in each channel: (B, 3, N) -> (B, 3, 256)."""
    number, channels = levels.shape[:2]
    rows = torch.arange(number * channels, device=levels.device).view(number, channels, 1)
    return (256 * rows + levels).flatten().bincount(minlength=256 * number * channels).view(number, channels, 256)


_MATCHES: dict[str, Callable[[Tensor, Tensor, float], Tensor]] = {
    "fda": match_amplitudes,
    "statistics": lambda images, nights, beta: match_statistics(images, nights),
    "histogram": lambda images, nights, beta: match_histograms(images, nights),
}


@dataclass(frozen=True)
class NightAwareConfig:
    """How source images are matched to the night; not part of the paper, hence off.

    Args:
        method: `fda`, `statistics` or `histogram`.
        beta: Of `fda`: half-side of the square of replaced frequencies, as a share of the shorter side of a crop.
        strength: How far an image moves from what it was (0) to what it is matched to (1).
        probability: Probability that an image is matched; 0 switches the part off.
    """

    method: Literal["fda", "statistics", "histogram"] = "fda"
    beta: float = 0.02
    strength: float = 1.0
    probability: float = 0.0

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises:
            ConfigError: If a value is outside its range.
        """
        if self.method not in _MATCHES:
            hint = did_you_mean(self.method, _MATCHES)
            raise ConfigError(f"night_aware.method: unknown method '{self.method}'.{hint}")
        check_range("night_aware.beta", self.beta, 0, 0.5)
        check_range("night_aware.strength", self.strength, 0, 1)
        check_range("night_aware.probability", self.probability, 0, 1)

    @property
    def enabled(self) -> bool:
        """Whether any image is changed."""
        return bool(self.probability and self.strength and (self.beta or self.method != "fda"))


@torch.no_grad()
def match_to_night(images: Tensor, nights: Tensor, config: NightAwareConfig, generator: torch.Generator) -> Tensor:
    """Match some of the source images, each to a night image drawn from the batch.

    Args:
        images: (B, 3, H, W) normalised RGB of the source.
        nights: (N, 3, H, W) normalised RGB of the night.
        config: How, how far and how often.
        generator: Source of the draws, on the CPU; nothing is drawn where the part is off.

    Returns:
        (B, 3, H, W) normalised RGB; images that are not matched are left as they are.

    Raises:
        ConfigError: If source and night have different sizes.
    """
    if not config.enabled:
        return images
    if images.shape[-2:] != nights.shape[-2:]:
        sizes = " and ".join(f"{height}x{width}" for height, width in (images.shape[-2:], nights.shape[-2:]))
        raise ConfigError(f"night_aware: crops of source and target must have one size, not {sizes} (height x width).")
    chosen = torch.rand(len(images), generator=generator) < config.probability
    partners = torch.randint(len(nights), (len(images),), generator=generator)[chosen]
    if not chosen.any():
        return images
    # small copies that nobody waits for
    places, partners = (draw.to(images.device, non_blocking=True) for draw in (chosen.nonzero()[:, 0], partners))
    with torch.autocast(images.device.type, enabled=False):  # there is no spectrum of half precision
        plain, dark = (denormalise(batch.float()).clamp(0, 1) for batch in (images[places], nights[partners]))
        matched = _MATCHES[config.method](plain, dark, config.beta).clamp(0, 1)
        matched = normalise(torch.lerp(plain, matched, config.strength))
    return images.index_copy(0, places, matched.to(images.dtype))
