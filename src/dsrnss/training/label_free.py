"""How good a network is on pictures without labels: whether it agrees with itself, and how much it says.

A network that has understood a street says the same of its mirror image, of a darker copy and of a smaller one. Plain
agreement is highest where everything is called road; so it is measured class by class, as the mean IoU of the
predictions on two views over *all* classes, of which one that is never predicted counts 0. That alone would hold on to
classes which the pictures do not show; so it is multiplied by the mutual information of picture and class: predictions
that are sure of each pixel and yet name many classes.
"""

import math
from collections.abc import Callable, Iterable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from dsrnss.data.base import SegmentationDataset, spread
from dsrnss.data.loading import EvalView
from dsrnss.metrics import ConfusionMatrix, LabelFree, mean_iou
from dsrnss.normalisation import denormalise, normalise
from dsrnss.training.evaluation import Network

DARKER = 1.5
"""Exponent of the darker view."""
SMALLER = 0.75
"""Scale of the smaller view."""


View = tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]


def _same(labels: Tensor) -> Tensor:
    return labels


def _darker(images: Tensor) -> Tensor:
    return normalise(denormalise(images).clamp(0, 1) ** DARKER)


def _smaller(images: Tensor) -> Tensor:
    return F.interpolate(images, scale_factor=SMALLER, mode="bilinear", align_corners=False, antialias=True)


def _mirrored(tensor: Tensor) -> Tensor:
    return tensor.flip(-1)


VIEWS: tuple[View, ...] = ((_mirrored, _mirrored), (_darker, _same), (_smaller, _same))
"""How a picture is changed, and how logits of it are brought back."""


def night_pictures(night: SegmentationDataset, count: int) -> Iterator[Tensor]:
    """Some pictures of a set, evenly spread: (1, 3, H, W) each, normalised.

    Args:
        night: The set.
        count: How many, at most.

    Raises:
        DsrnssError: If one cannot be read.
    """
    view = EvalView(night)
    for index in spread(len(night), count):
        yield view[index]["image"][None]


@torch.inference_mode()
def label_free(network: Network, images: Iterable[Tensor], number: int) -> LabelFree:
    """Look at pictures without labels.

    Args:
        network: In eval mode.
        images: Batches (B, 3, H, W), normalised, of any size.
        number: Of classes.
    """
    agreement, confidences, entropies, pixels = ConfusionMatrix(number), 0.0, 0.0, 0
    means = torch.zeros(number, dtype=torch.float64)
    for batch in images:
        probabilities = network.predict(batch).softmax(1)
        best = probabilities.max(1)
        agreement = agreement.to(batch.device)
        confidences += float(best.values.sum())
        entropies += float(torch.special.entr(probabilities).sum())
        exact = probabilities.cpu() if probabilities.device.type == "mps" else probabilities  # no 64 bits there
        means += exact.double().sum((0, 2, 3)).cpu()
        pixels += best.values.numel()
        for change, back in VIEWS:
            logits = back(network.predict(change(batch)))
            if logits.shape[-2:] != batch.shape[-2:]:
                logits = F.interpolate(logits, batch.shape[-2:], mode="bilinear", align_corners=False)
            agreement.update(logits.argmax(1), best.indices)
    counts = agreement.compute()[:, :number].cpu().numpy()
    pixels = max(pixels, 1)
    information = float(torch.special.entr(means / pixels).sum() - entropies / pixels) / math.log(max(number, 2))
    return LabelFree(mean_iou(counts), information, confidences / pixels, counts.sum(1) / max(counts.sum(), 1))
