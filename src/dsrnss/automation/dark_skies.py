"""Do the pictures show a night or a dusk? At night the sky is darker than the street below it."""

from contextlib import suppress

import torch
import torch.nn.functional as F

from dsrnss.data.base import SegmentationDataset, spread
from dsrnss.errors import ImageError

_LOOKED_AT = 32
"""Pictures, evenly spread."""


def dark_skies(pictures: SegmentationDataset) -> float:
    """Share of the pictures whose upper third is darker than their lower third, by the medians; 0 if none can be read.

    Args:
        pictures: The set to adapt to.
    """
    dark, count = 0, 0
    for index in spread(len(pictures), _LOOKED_AT):
        with suppress(ImageError):  # one that cannot be read is named by the check
            image = pictures[index]["image"].as_subclass(torch.Tensor).float().mean(0)
            rows = F.adaptive_avg_pool2d(image[None], (48, 64))[0]
            dark += int(rows[:16].median() < rows[-16:].median())
            count += 1
    return dark / max(count, 1)
