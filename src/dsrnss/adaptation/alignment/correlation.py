"""Correlation of two feature maps: all with all, or each pixel with a window around it (method sections 6 and 7)."""

import torch
import torch.nn.functional as F
from torch import Tensor

TILE = 16
"""Columns whose correlations are computed by one matrix product; 8 to 24 are about equally fast."""

MUTUAL_EPS = 1e-5


def local_correlation(target: Tensor, reference: Tensor, radius: int = 4) -> Tensor:
    """Correlate each target pixel with the window of the reference around the same place.

    A strip of columns at a time, each row of it is multiplied with all pixels of its window in one matrix product, of
    which a diagonal band is wanted. Beside the padded reference, all temporaries are those of one strip.

    Args:
        target: (B, C, H, W) features.
        reference: (B, C, H, W) features; zero is assumed outside.
        radius: Half the window's size, without its centre, in pixels.

    Returns:
        (B, S * S, H, W) sums over channels with S = 2 * radius + 1; channel S * i + j belongs to the reference pixel
        at (i - radius, j - radius), row first.
    """
    batch, channels, height, width = target.shape
    size = 2 * radius + 1
    padded = F.pad(reference, (radius,) * 4)
    correlation = target.new_empty(batch, size, size, height, width)
    for left in range(0, width, TILE):
        tile = min(TILE, width - left)
        span = tile + 2 * radius
        pixels = target[..., left : left + tile].permute(0, 2, 3, 1).contiguous()
        strip = padded[..., left : left + span].permute(0, 2, 3, 1).contiguous()
        for item in range(batch):
            # the S rows around a row lie one behind the other: a view is enough, no copy
            windows = strip[item].as_strided((height, size * span, channels), (span * channels, channels, 1))
            products = torch.bmm(pixels[item], windows.mT).contiguous()
            band = products.as_strided((size, size, height, tile), (span, 1, tile * size * span, size * span + 1))
            correlation[item, ..., left : left + tile] = band
    return correlation.flatten(1, 2)


def global_correlation(target: Tensor, reference: Tensor) -> Tensor:
    """Correlate each target pixel with all reference pixels.

    Args:
        target: (B, C, H, W) features.
        reference: (B, C, h, w) features.

    Returns:
        (B, h * w, H, W) sums over channels, one channel per reference pixel, row first.
    """
    products = torch.bmm(target.flatten(2).mT, reference.flatten(2))
    return products.mT.reshape(*products.shape[::2], *target.shape[-2:])


def mutual_matching(correlation: Tensor) -> Tensor:
    """Weaken what is not the best match in both directions.

    Args:
        correlation: (B, N, H, W) correlation of each target pixel with N reference pixels.

    Returns:
        Of the same shape: each value times its share of the best over the reference and of the best over the target.
    """
    of_reference = correlation / (correlation.amax(1, keepdim=True) + MUTUAL_EPS)
    of_target = correlation / (correlation.amax((2, 3), keepdim=True) + MUTUAL_EPS)
    return correlation * of_reference * of_target


def normalise_correlation(correlation: Tensor) -> Tensor:
    """Keep the positive part and scale each pixel's (B, N, H, W) correlations to unit length."""
    return F.normalize(correlation.relu(), dim=1)
