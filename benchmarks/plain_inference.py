"""The plain baseline of `inference_cost.py`: whole pictures by windows, computed as the papers' figures show it.

On top of `plain_step.py`, the context and all nine detail crops of a window pass the network as one batch, and the
logits of the whole picture are held while windows are added to them.
"""

from itertools import product

import torch
import torch.nn.functional as F
from plain_step import make_plain
from torch import Tensor

from dsrnss.models.grid import sliding_windows
from dsrnss.models.hrda import HRDA
from dsrnss.models.segmentor import Segmentor

STRIDE = 4


def predict(
    network: Segmentor, images: Tensor, window: tuple[int, int], stride: tuple[int, int], views: int = 10
) -> Tensor:
    """Logits (B, C, H, W) of pictures (B, 3, H, W), averaged over windows.

    Args:
        network: After `make_plain`, in eval mode.
        images: Normalised RGB.
        window: Height and width in pixels; of HRDA multiples of 8.
        stride: Distance of two windows in pixels.
        views: So many of HRDA's pass the network at once: fewer take less memory and as much time.
    """
    size, boxes = sliding_windows((images.shape[-2], images.shape[-1]), window, stride)
    total = images.new_zeros((len(images), network.config.num_classes, *images.shape[-2:]))
    count = torch.zeros_like(total)
    for y, x in boxes:
        part = (..., slice(y, y + size[0]), slice(x, x + size[1]))
        crop = images[part]
        logits = _multi_resolution(network, crop, views) if isinstance(network, HRDA) else network(crop).logits
        total[part] += F.interpolate(logits, size, mode="bilinear", align_corners=False)
        count[part] += 1
    return total / count


def _multi_resolution(network: HRDA, images: Tensor, at_once: int) -> Tensor:
    height, width = images.shape[-2] // 2, images.shape[-1] // 2
    offsets = list(product((0, height // 2, height), (0, width // 2, width)))
    context = F.interpolate(images, (height, width), mode="bilinear", align_corners=False)
    crops = [images[..., y : y + height, x : x + width] for y, x in offsets]
    views, scores = [context, *crops], []
    for start in range(0, len(views), at_once):
        features = network.backbone(torch.cat(views[start : start + at_once]))
        scores += network.head(features).split(len(images))
        if start == 0:
            own = [feature[: len(images)] for feature in features]
            attention = torch.sigmoid(network.hrda_scale_attention(own))
    logits, *details = scores
    rows, columns = 2 * logits.shape[-2], 2 * logits.shape[-1]
    canvas = logits.new_zeros((*logits.shape[:2], rows, columns))
    count = torch.zeros_like(canvas)
    for (top, left), detail in zip(offsets, details, strict=True):
        y, x = top // STRIDE, left // STRIDE
        part = (..., slice(y, y + detail.shape[-2]), slice(x, x + detail.shape[-1]))
        canvas[part] += detail[..., : rows - y, : columns - x]
        count[part] += 1
    mean, double = canvas / count, {"size": (rows, columns), "mode": "bilinear", "align_corners": False}
    return F.interpolate((1 - attention) * logits, **double) + F.interpolate(attention, **double) * mean


__all__ = ["make_plain", "predict"]
