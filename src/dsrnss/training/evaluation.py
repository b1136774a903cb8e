"""Measuring and running a network on a data set, outside of Lightning."""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from dsrnss.data.base import SegmentationDataset
from dsrnss.data.loading import EvalView, collate
from dsrnss.errors import DsrnssError
from dsrnss.metrics import ConfusionMatrix, Scores, scores
from dsrnss.models.segmentor import Segmentor


class Network(Protocol):
    """What gives logits."""

    def predict(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) normalised RGB -> (B, C, H, W) logits."""


def _batch(view: EvalView, indices: Sequence[int]) -> dict[str, Tensor]:
    batch = collate(view.__getitems__(indices))
    if isinstance(batch, DsrnssError):
        raise batch
    return batch


def count_batch(network: Network, batch: Mapping[str, Tensor], confusion: ConfusionMatrix) -> None:
    """Count what a network predicts for a batch.

    Args:
        network: In eval mode.
        batch: `image` (B, 3, H, W) normalised RGB, `label` (B, Hl, Wl) train ids and, where there are such masks,
            `invalid` (B, Hl, Wl) bool; logits are resized to the label.
        confusion: Where to.
    """
    logits, size = network.predict(batch["image"]), batch["label"].shape[-2:]
    if logits.shape[-2:] != size:
        logits = F.interpolate(logits, size, mode="bilinear", align_corners=False)
    best = logits.max(1)
    invalid = batch.get("invalid")
    confidence = None if invalid is None else (best.values - logits.logsumexp(1)).exp()
    confusion.update(best.indices, batch["label"], confidence, invalid)


@torch.inference_mode()
def evaluate(
    network: Segmentor,
    dataset: SegmentationDataset,
    batch_size: int = 8,
    advance: Callable[[int], None] = lambda _: None,
) -> Scores:
    """Score a network on all labelled samples of a set.

    Args:
        network: Put into eval mode.
        dataset: Samples of one size.
        batch_size: Pictures at once.
        advance: Told how many pictures were done.
    """
    network.eval()
    view, confusion = EvalView(dataset), ConfusionMatrix(network.config.num_classes)
    for first in range(0, len(dataset), batch_size):
        indices = range(first, min(first + batch_size, len(dataset)))
        batch = _batch(view, indices)
        count_batch(network, batch, confusion)
        advance(len(indices))
    return scores(confusion.compute().numpy(), dataset.label_space)


@torch.inference_mode()
def predict(network: Segmentor, dataset: SegmentationDataset, indices: Sequence[int]) -> list[npt.NDArray[np.uint8]]:
    """Label maps of some samples: (H, W) train ids each."""
    network.eval()
    view = EvalView(dataset)
    return [network.predict(_batch(view, [i])["image"])[0].argmax(0).byte().numpy() for i in indices]
