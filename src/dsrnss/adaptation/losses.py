"""The loss of a network's output, and what is set of the supervised part (method section 1)."""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dsrnss.adaptation.augmentation import AugmentationConfig
from dsrnss.adaptation.relighting import RelightingConfig
from dsrnss.errors import check_range
from dsrnss.models.segmentor import SegmentorOutput


@dataclass(frozen=True)
class SourceConfig:
    """The supervised part.

    Args:
        class_balance: Exponent of inverse-frequency class weights in the *source* loss; 0 switches them off, as in
            the paper. Never used on pseudo-labels: there they break self-training.
        augmentation: Photometric augmentation of the source images; none in the paper.
        relighting: Day images as the night would show them; none in the paper.
    """

    class_balance: float = 0.0
    augmentation: AugmentationConfig | None = None
    relighting: RelightingConfig = field(default_factory=RelightingConfig)

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises:
            ConfigError: If a value is outside its range.
        """
        check_range("source.class_balance", self.class_balance, 0)


@dataclass(frozen=True)
class HRDAConfig:
    """Training of HRDA; whether the network is one is said by `network.hrda`.

    Args:
        detail_weight: Share of the detail crop's loss.
        official_offsets: Never draw the last offset of the detail crop, like the authors' code.
    """

    detail_weight: float = 0.1
    official_offsets: bool = False

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises:
            ConfigError: If a value is outside its range.
        """
        check_range("hrda.detail_weight", self.detail_weight, 0, 1)


def segmentation_loss(
    criterion: nn.Module,
    output: SegmentorOutput,
    labels: Tensor,
    pixel_weights: Tensor | None = None,
    class_weights: Tensor | None = None,
    *,
    detail_weight: float = 0.1,
) -> Tensor:
    """The criterion on a network's output; of HRDA on the fused and the detail logits (method section 1).

    Args:
        criterion: See `dsrnss.adaptation.criterion`.
        output: Of the network; its logits are resized bilinearly to the labels first.
        labels: (B, H, W) int64 train ids, 255 ignored.
        pixel_weights: (B, H, W).
        class_weights: (C,).
        detail_weight: Share of the detail crop's loss.

    Returns:
        A scalar.
    """
    loss: Tensor = criterion(_at_labels(output.logits, labels), labels, pixel_weights, class_weights)
    if output.detail is None:
        return loss
    top, left, height, width = output.detail.box
    crop = (..., slice(top, top + height), slice(left, left + width))
    weights = None if pixel_weights is None else pixel_weights[crop]
    detail: Tensor = criterion(_at_labels(output.detail.logits, labels[crop]), labels[crop], weights, class_weights)
    return (1 - detail_weight) * loss + detail_weight * detail


def _at_labels(logits: Tensor, labels: Tensor) -> Tensor:
    logits, size = logits.float(), labels.shape[-2:]
    if logits.shape[-2:] == size:
        return logits
    if logits.device.type != "cpu":
        return F.interpolate(logits, size, mode="bilinear", align_corners=False)
    # a CPU resizes three times as fast, and its gradient too, where the classes of a pixel lie side by side; the loss
    # wants them plane by plane
    resized = F.interpolate(_side_by_side(logits), size, mode="bilinear", align_corners=False)
    if resized.requires_grad:
        resized.register_hook(_side_by_side)
    return resized.contiguous()


def _side_by_side(values: Tensor) -> Tensor:
    return values.contiguous(memory_format=torch.channels_last)


def class_balance(
    counts: npt.NDArray[np.int64], exponent: float, limits: tuple[float, float] = (0.5, 3.0)
) -> npt.NDArray[np.float64]:
    """Class weights (median frequency / frequency) ** exponent, within limits.

    Args:
        counts: (C,) pixels per class; a class without any gets the upper limit.
        exponent: 0.5 is the square root.
        limits: Least and greatest weight.
    """
    frequency = counts / max(counts.sum(), 1)
    median = np.median(frequency[frequency > 0]) if counts.any() else 1.0
    weights: npt.NDArray[np.float64] = np.clip((median / np.maximum(frequency, 1e-12)) ** exponent, *limits)
    return weights
