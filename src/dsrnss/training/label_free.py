"""How good a network is on pictures without labels: whether it agrees with itself, and how much it says.

A network that has understood a street says the same of its mirror image, of a darker copy and of a smaller one. Plain
agreement is highest where everything is called road; so it is measured class by class, as the mean IoU of the
predictions on two views over *all* classes, of which one that is never predicted counts 0. That alone would hold on to
classes which the pictures do not show; so it is multiplied by the mutual information of picture and class: predictions
that are sure of each pixel and yet name many classes.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from dsrnss.metrics import ConfusionMatrix
from dsrnss.normalisation import denormalise, normalise
from dsrnss.training.evaluation import Network

DARKER = 1.5
"""Exponent of the darker view."""
SMALLER = 0.75
"""Scale of the smaller view."""


@dataclass(frozen=True)
class LabelFree:
    """What can be said without labels.

    Attributes:
        consistency: Mean IoU of the predictions on a picture and on its views, 0 to 1.
        information: Entropy of the mean prediction less the mean entropy, over the logarithm of C, 0 to 1.
        confidence: Mean of the highest probability.
        shares: (C,) share of the pixels that is called each class.
    """

    consistency: float
    information: float
    confidence: float
    shares: npt.NDArray[np.float64]

    @property
    def score(self) -> float:
        """By which networks of one training are compared."""
        return self.consistency * self.information


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
        means += probabilities.double().sum((0, 2, 3)).cpu()
        pixels += best.values.numel()
        for change, back in VIEWS:
            logits = back(network.predict(change(batch)))
            if logits.shape[-2:] != batch.shape[-2:]:
                logits = F.interpolate(logits, batch.shape[-2:], mode="bilinear", align_corners=False)
            agreement.update(logits.argmax(1), best.indices)
    counts = agreement.compute()[:, :number].double().cpu().numpy()
    pixels = max(pixels, 1)
    information = float(torch.special.entr(means / pixels).sum() - entropies / pixels) / math.log(max(number, 2))
    return LabelFree(_mean_iou(counts), information, confidences / pixels, counts.sum(1) / max(counts.sum(), 1))


def _mean_iou(counts: npt.NDArray[np.float64]) -> float:
    both = np.diag(counts)
    union = counts.sum(0) + counts.sum(1) - both
    return float(np.divide(both, union, out=np.zeros_like(both), where=union > 0).mean())
