"""Rare class sampling: source images with rare classes are drawn more often (DAFormer, arXiv 2111.14887, 3.2)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dsrnss.data.base import Member, Size
from dsrnss.errors import ConfigError
from dsrnss.labels import IGNORE_INDEX

OFFICIAL_LABEL_AREA = 1024 * 2048
"""Pixels of the label maps that the published image limit of 3000 pixels refers to."""
OFFICIAL_SAMPLE_AREA = 512 * 1024
"""Pixels of the samples that the published crop limit of 3000 x 0.5 pixels refers to."""
_OFFICIAL_SIZES = ((512, 1024), (1024, 2048))


@dataclass(frozen=True)
class RareClassSampling:
    """Settings of rare class sampling.

    Pixel limits are those of the official sizes and shrink with the area elsewhere: the image limit by
    (area of the counted label maps) / (1024 x 2048), the crop limit by (area of the sample) / (512 x 1024). Samples of
    512x1024 and 1024x2048 keep `min_pixels * min_crop_ratio` as it is (published ratios: 0.5 and 2.0).

    Args:
        temperature: T of softmax((1 - frequency) / T); lower draws rare classes more often.
        min_pixels: An image counts for a class if it holds more pixels of it than this.
        min_crop_ratio: A crop is kept if it holds more than min_pixels * min_crop_ratio pixels of the drawn class.
        attempts: How often a crop is drawn again.
    """

    temperature: float = 0.01
    min_pixels: int = 3000
    min_crop_ratio: float = 0.5
    attempts: int = 10

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises:
            ConfigError: If a value is outside its range.
        """
        if self.temperature <= 0:
            raise ConfigError(f"rare_class_sampling.temperature must be above 0, not {self.temperature}.")
        if self.min_pixels < 0 or self.min_crop_ratio < 0 or self.attempts < 0:
            raise ConfigError("rare_class_sampling: min_pixels, min_crop_ratio and attempts must not be negative.")

    def image_limit(self, counted: Size) -> float:
        """Pixels of a class that an image must exceed, where label maps of size `counted` were counted."""
        return self.min_pixels * counted[0] * counted[1] / OFFICIAL_LABEL_AREA

    def crop_limit(self, size: Size) -> float:
        """Pixels of a class that a crop must exceed, where samples have size `size`."""
        scale = 1.0 if size in _OFFICIAL_SIZES else size[0] * size[1] / OFFICIAL_SAMPLE_AREA
        return self.min_pixels * self.min_crop_ratio * scale


def class_probabilities(
    pixels: Mapping[int, int], temperature: float, *, count_ignored: bool = False
) -> tuple[list[int], npt.NDArray[np.float64]]:
    """Probability of drawing each class, P(c) = softmax((1 - frequency of c) / temperature).

    Args:
        pixels: Class -> its pixels in the whole set; classes without a pixel are left out.
        temperature: T.
        count_ignored: Whether the ignored label counts as a class, as in the official statistics.

    Returns:
        Classes in ascending frequency, and their probabilities.
    """
    counted = {c: n for c, n in pixels.items() if n > 0 and (count_ignored or c != IGNORE_INDEX)}
    classes = sorted(counted, key=lambda c: (counted[c], c))
    # single precision up to here, as the published probabilities were computed: 1 / T magnifies the difference
    frequency = np.array([counted[c] for c in classes], np.float32) / np.float32(max(sum(counted.values()), 1))
    logits = ((np.float32(1.0) - frequency) / np.float32(temperature)).astype(np.float64)
    weights = np.exp(logits - logits.max(initial=-np.inf))
    return classes, weights / weights.sum()


def sample_weights(members: Sequence[Member]) -> npt.NDArray[np.float64] | None:
    """How often each sample of joined sets is to be drawn, (N,) of mean 1; None: all alike."""
    if len(members) == 1:
        return None
    weights = [np.full(len(member.dataset), member.share / len(member.dataset)) for member in members]
    return np.concatenate(weights) * sum(len(member.dataset) for member in members)


class ClassSampler:
    """Draws a class, then an image that holds enough of it.

    Args:
        counts: (N, num_classes) pixels of each class in each image.
        settings: Temperature and limits.
        counted_size: (height, width) of the label maps that were counted.
        weights: (N,) how often each image is to be drawn, relative to the others; None: all alike.

    Raises:
        ConfigError: If no image holds enough of any class.
    """

    def __init__(
        self,
        counts: npt.NDArray[np.int64],
        settings: RareClassSampling,
        counted_size: Size,
        weights: npt.NDArray[np.float64] | None = None,
    ) -> None:
        limit = settings.image_limit(counted_size)
        totals = {c: int(n) for c, n in enumerate(weighted_sum(counts, weights))}
        classes, probabilities = class_probabilities(totals, settings.temperature)
        images = {c: np.flatnonzero(counts[:, c] > limit) for c in classes}
        kept = np.array([len(images[c]) > 0 for c in classes], bool)
        if not kept.any():
            raise ConfigError(
                f"Rare class sampling found no image with more than {limit:.0f} pixels of any class: "
                "lower rare_class_sampling.min_pixels, or set rare_class_sampling to null."
            )
        self.classes = [c for c, keep in zip(classes, kept, strict=True) if keep]
        self.probabilities = probabilities[kept] / probabilities[kept].sum()
        self.images = {c: images[c] for c in self.classes}
        self.chances = {c: None if weights is None else _shares(weights[images[c]]) for c in self.classes}

    def draw(self, rng: np.random.Generator) -> tuple[int, int]:
        """Draw (class, index of an image that holds it)."""
        drawn = self.classes[int(rng.choice(len(self.classes), p=self.probabilities))]
        return drawn, int(rng.choice(self.images[drawn], p=self.chances[drawn]))


def _shares(weights: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    shares: npt.NDArray[np.float64] = weights / weights.sum()
    return shares


def weighted_sum(
    counts: npt.NDArray[np.int64], weights: npt.NDArray[np.float64] | None = None
) -> npt.NDArray[np.int64]:
    """Pixels of each class over all samples, (num_classes,) from (N, num_classes) and (N,) weights; None: all alike."""
    total: npt.NDArray[np.int64] = counts.sum(0) if weights is None else np.round(weights @ counts).astype(np.int64)
    return total
