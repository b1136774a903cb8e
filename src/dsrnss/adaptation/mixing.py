"""DSR: pseudo-labels with weights, the class choice with co-occurrence, and the class mix (method section 4)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from dsrnss.errors import check_range
from dsrnss.labels import IGNORE_INDEX, CoOccurrence


@dataclass(frozen=True)
class MixingConfig:
    """How source and target are mixed.

    Args:
        threshold: Probability above which a pseudo-label counts as confident.
        co_occurrence: Whether classes that belong together are chosen together.
        choose_ignored: Let the ignored label be one of the classes to choose from, as officially.
        ignore_top: Rows at the upper border whose pseudo-labels get weight 0.
        ignore_bottom: Rows at the lower border whose pseudo-labels get weight 0.
    """

    threshold: float = 0.968
    co_occurrence: bool = True
    choose_ignored: bool = False
    ignore_top: int = 0
    ignore_bottom: int = 0

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises:
            ConfigError: If a value is outside its range.
        """
        check_range("mixing.threshold", self.threshold, 0, 1)
        check_range("mixing.ignore_top", self.ignore_top, 0)
        check_range("mixing.ignore_bottom", self.ignore_bottom, 0)


class Mixed(NamedTuple):
    """A mixed batch.

    Attributes:
        images: (B, 3, H, W) normalised RGB.
        labels: (B, H, W) train ids.
        weights: (B, H, W) pixel weights.
    """

    images: Tensor
    labels: Tensor
    weights: Tensor


class PseudoLabels(NamedTuple):
    """What the teacher says of the night.

    Attributes:
        labels: (B, H, W) train ids.
        weights: (B, H, W) the share of confident pixels of the batch, the same number everywhere.
        share: That number.
    """

    labels: Tensor
    weights: Tensor
    share: Tensor


def pseudo_labels(probabilities: Tensor, config: MixingConfig) -> PseudoLabels:
    """Arg max and weight of (refined) probabilities.

    Args:
        probabilities: (B, C, H, W).
        config: Threshold and rows without weight.
    """
    best, labels = probabilities.max(1)
    share = (best >= config.threshold).to(best.dtype).mean()
    weights = share.expand_as(best).clone()
    if config.ignore_top:
        weights[:, : config.ignore_top] = 0
    if config.ignore_bottom:
        weights[:, -config.ignore_bottom :] = 0
    return PseudoLabels(labels, weights, share)


def apply_co_occurrence(chosen: Sequence[int], present: Sequence[int], rules: Sequence[CoOccurrence]) -> list[int]:
    """Add the classes that go with the chosen ones, rule after rule, if the image has them.

    Args:
        chosen: Classes drawn.
        present: Classes of the image.
        rules: Applied in this order, each once; a rule sees what the ones before it added.

    Returns:
        The classes, sorted.
    """
    result = set(chosen)
    for rule in rules:
        if result & set(rule.chosen):
            result |= set(rule.added) & set(present)
    return sorted(result)


def choose_classes(
    present: Sequence[int], rules: Sequence[CoOccurrence], generator: torch.Generator, *, choose_ignored: bool = False
) -> list[int]:
    """Choose half of the classes of a label map, rounded up, and what belongs to them.

    Args:
        present: The train ids in it, rising, 255 where pixels are ignored.
        rules: Co-occurrence rules.
        generator: Source of the draw.
        choose_ignored: Whether the ignored label counts as a class.

    Returns:
        The chosen classes, sorted; none for a map without labels.
    """
    present = [c for c in present if choose_ignored or c != IGNORE_INDEX]
    drawn = torch.randperm(len(present), generator=generator)[: (len(present) + 1) // 2]
    return apply_co_occurrence([present[i] for i in drawn.tolist()], present, rules)


def class_masks(labels: Tensor, chosen: Sequence[Sequence[int]]) -> Tensor:
    """Where each image's label is one of its chosen classes: (B, H, W) bool."""
    table = torch.tensor([[label in classes for label in range(256)] for classes in chosen])
    # a small copy that nobody waits for, and one look-up of all images
    return table.to(labels.device, non_blocking=True).gather(1, labels.flatten(1).long()).view_as(labels)


def class_mix(masks: Tensor, images_src: Tensor, labels_src: Tensor, images_trg: Tensor, pseudo: PseudoLabels) -> Mixed:
    """Source where the mask is set, target elsewhere; source pixels have weight 1.

    Args:
        masks: (B, H, W) bool mixing masks.
        images_src: (B, 3, H, W) source images.
        labels_src: (B, H, W) source labels.
        images_trg: (B, 3, H, W) night images.
        pseudo: Their pseudo-labels.
    """
    return Mixed(
        torch.where(masks[:, None], images_src, images_trg),
        torch.where(masks, labels_src, pseudo.labels),
        pseudo.weights.masked_fill(masks, 1.0),
    )
