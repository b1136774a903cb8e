"""The losses of a training step."""

import torch.nn.functional as F
from torch import Tensor

from dsrnss.labels import IGNORE_INDEX


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
