"""FPA: class prototypes of one image predict the features of another (DSRNSS, arXiv 2310.04747; method section 5)."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from dsrnss.adaptation.cells import count_in_cells, nearest_labels
from dsrnss.errors import check_range


@dataclass(frozen=True)
class PrototypeConfig:
    """Feature prototype alignment.

    Args:
        enabled: Whether the loss is used at all.
        weight: Weight of each direction of a contrast.
        weight_mixed: Weight of the contrast of source and mixed, beside that of source and target; None: 1/100 with
            HRDA, 1/10 without, as officially.
        temperature: Factor on the cosine similarities.
        start_step: First 0-based optimiser step of the loss; where given, `start_epoch` does not count.
        start_epoch: First 0-based epoch of the loss, as officially; None: from the first step.
        class_weights: `tail` raises rare, dynamic and small classes, as the paper says; `none` as the official code.
        target_gradient: Let the gradient reach the student through the target's features; officially it does not.
    """

    enabled: bool = True
    weight: float = 0.1
    weight_mixed: float | None = None
    temperature: float = 10.0
    start_step: int | None = None
    start_epoch: int | None = 8
    class_weights: Literal["none", "tail"] = "none"
    target_gradient: bool = False

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises:
            ConfigError: If a value is outside its range.
        """
        check_range("prototypes.weight", self.weight, 0)
        check_range("prototypes.weight_mixed", self.weight_mixed or 0, 0)
        check_range("prototypes.temperature", self.temperature, 0)
        check_range("prototypes.start_step", self.start_step or 0, 0)
        check_range("prototypes.start_epoch", self.start_epoch or 0, 0)

    def is_due(self, step: int, epoch: int) -> bool:
        """Whether the loss is used at a 0-based optimiser step of a 0-based epoch."""
        if not self.enabled:
            return False
        if self.start_step is not None:
            return step >= self.start_step
        return self.start_epoch is None or epoch >= self.start_epoch

    def mixed_weight(self, hrda: bool) -> float:
        """The weight of the contrast of source and mixed."""
        if self.weight_mixed is not None:
            return self.weight_mixed
        return 0.01 if hrda else 0.1


def class_prototypes(features: Tensor, labels: Tensor, num_classes: int) -> tuple[Tensor, Tensor]:
    """Mean feature of each class of each image.

    Args:
        features: (B, D, h, w).
        labels: (B, h, w) int64 train ids; what is no class is left out.
        num_classes: C.

    Returns:
        (B, C, D) prototypes, zero for absent classes, and (B, C) bool, which classes are present.
    """
    classes = torch.arange(num_classes, device=labels.device)
    members = (labels.flatten(1)[:, None] == classes[:, None]).to(features.dtype)
    number = members.sum(2)
    sums = torch.bmm(members, features.flatten(2).transpose(1, 2))
    return sums / number.clamp(min=1)[..., None], number > 0


def unit(vectors: Tensor, dim: int) -> Tensor:
    """Vectors of length 1; those of (almost) no length are left as they are, so that their gradient stays finite."""
    length = torch.linalg.vector_norm(vectors, dim=dim, keepdim=True)
    scaled: Tensor = vectors / torch.where(length > 1e-6, length, 1.0)
    return scaled


def similarities(prototypes: Tensor, present: Tensor, features: Tensor) -> Tensor:
    """Cosine of each prototype and each feature; -1 for absent classes.

    Args:
        prototypes: (B, C, D).
        present: (B, C) bool.
        features: (B, D, h, w).

    Returns:
        (B, C, h, w).
    """
    cosine = torch.bmm(unit(prototypes, 2), unit(features, 1).flatten(2))
    return cosine.masked_fill(~present[..., None], -1.0).view(*cosine.shape[:2], *features.shape[2:])


def cell_cross_entropy(logits: Tensor, counts: Tensor, weights: Tensor) -> Tensor:
    """Class-weighted cross entropy of logits upsampled by nearest neighbour, without upsampling them.

    All pixels of a cell share its logits, so their losses are the cell's losses times the number of pixels a class.

    Args:
        logits: (B, C, h, w).
        counts: (B, C, h, w) label pixels of each class in each cell.
        weights: (B, C) class weights of each image.

    Returns:
        (B,): the weighted mean over an image's pixels; 0 where no pixel has weight.
    """
    weighted = counts * weights[:, :, None, None]
    loss = -(weighted * logits.log_softmax(1)).sum((1, 2, 3))
    total = weighted.sum((1, 2, 3))
    return loss / torch.where(total > 0, total, 1.0)


def contrast(
    features_a: Tensor,
    labels_a: Tensor,
    features_b: Tensor,
    labels_b: Tensor,
    num_classes: int,
    config: PrototypeConfig | None = None,
    class_weights: Tensor | None = None,
) -> Tensor:
    """Each image's prototypes classify the features of its partner, in both directions.

    Only classes that both images have, at the features' resolution, carry weight; the loss is a weighted mean, so the
    scale of `class_weights` does not matter.

    Args:
        features_a: (B, D, h, w).
        labels_a: (B, H, W) int64 train ids of its pixels, 255 ignored.
        features_b: (B, D, h, w) of the partners.
        labels_b: (B, H, W).
        num_classes: C.
        config: Weight and temperature.
        class_weights: (C,) weights of the classes; None: all 1, as officially.

    Returns:
        A scalar, the mean over the pairs. A pair without a shared class counts 0 (officially NaN); the result stays
        connected to the graph.
    """
    config = config or PrototypeConfig()
    with torch.autocast(features_a.device.type, enabled=False):  # sums over thousands of positions need float32
        return config.weight * _two_way_loss(
            (features_a.float(), features_b.float()), (labels_a, labels_b), num_classes, config, class_weights
        )


def _two_way_loss(
    features: tuple[Tensor, Tensor],
    labels: tuple[Tensor, Tensor],
    num_classes: int,
    config: PrototypeConfig,
    class_weights: Tensor | None,
) -> Tensor:
    sizes = [(maps.shape[2], maps.shape[3]) for maps in features]
    reduced = [nearest_labels(labels[i], sizes[i]) for i in (0, 1)]
    prototypes, present = zip(*(class_prototypes(features[i], reduced[i], num_classes) for i in (0, 1)), strict=True)
    counts = [count_in_cells(labels[i], sizes[i], num_classes)[:, :num_classes] for i in (0, 1)]
    weights = (present[0] & present[1]).float()
    if class_weights is not None:
        weights = weights * class_weights.to(weights)
    loss = torch.zeros((), device=features[0].device)
    for one, other in ((0, 1), (1, 0)):
        logits = config.temperature * similarities(prototypes[one], present[one], features[other])
        loss = loss + cell_cross_entropy(logits, counts[other], weights).mean()
    return loss
