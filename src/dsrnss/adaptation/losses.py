"""The losses of a training step."""

import torch.nn.functional as F
from torch import Tensor

from dsrnss.labels import IGNORE_INDEX
from dsrnss.models.segmentor import SegmentorOutput


def pixel_weighted_cross_entropy(
    logits: Tensor, labels: Tensor, pixel_weights: Tensor | None = None, class_weights: Tensor | None = None
) -> Tensor:
    """Cross entropy averaged over *all* pixels: ignored ones count 0 in the sum and 1 in the number (method section 1).

    Args:
        logits: (B, C, h, w); resized bilinearly to the labels' size first.
        labels: (B, H, W) int64 train ids, 255 ignored.
        pixel_weights: (B, H, W), multiplied to each pixel's loss.
        class_weights: (C,), multiplied to the loss of pixels of a class; for true labels only.

    Returns:
        A scalar.
    """
    if logits.shape[-2:] != labels.shape[-2:]:
        logits = F.interpolate(logits, labels.shape[-2:], mode="bilinear", align_corners=False)
    loss = F.cross_entropy(logits, labels, class_weights, ignore_index=IGNORE_INDEX, reduction="none")
    return (loss if pixel_weights is None else loss * pixel_weights).mean()


def segmentation_loss(
    output: SegmentorOutput,
    labels: Tensor,
    pixel_weights: Tensor | None = None,
    class_weights: Tensor | None = None,
    *,
    detail_weight: float = 0.1,
) -> Tensor:
    """Cross entropy of a network's output; of HRDA the fused and the detail logits (method section 1).

    Args:
        output: Of the network.
        labels: (B, H, W) int64 train ids, 255 ignored.
        pixel_weights: (B, H, W).
        class_weights: (C,).
        detail_weight: Share of the detail crop's loss.

    Returns:
        A scalar.
    """
    loss = pixel_weighted_cross_entropy(output.logits.float(), labels, pixel_weights, class_weights)
    if output.detail is None:
        return loss
    top, left, height, width = output.detail.box
    crop = (..., slice(top, top + height), slice(left, left + width))
    weights = None if pixel_weights is None else pixel_weights[crop]
    detail = pixel_weighted_cross_entropy(output.detail.logits.float(), labels[crop], weights, class_weights)
    return (1 - detail_weight) * loss + detail_weight * detail
