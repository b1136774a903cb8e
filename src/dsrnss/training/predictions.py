"""Labels and confidences of pictures, each at its size on disk."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch.nn.functional as F
from torch import Tensor

from dsrnss.training.evaluation import Network


class Prediction(NamedTuple):
    """The labels of one picture.

    Attributes:
        name: Of the sample.
        labels: (H, W) uint8 train ids.
        confidence: (H, W) float32 probability of the label, 0 to 1.
    """

    name: str
    labels: npt.NDArray[np.uint8]
    confidence: npt.NDArray[np.float32]


def predict_batch(network: Network, batch: Mapping[str, Any]) -> list[Prediction]:
    """Label the pictures of a batch, each at its size on disk.

    Args:
        network: In eval mode.
        batch: `image` (B, 3, H, W) normalised RGB, `name`, and `size` (B, 2), height and width on disk.
    """
    logits = network.predict(batch["image"])
    sizes = batch["size"].tolist() if "size" in batch else [logits.shape[-2:]] * len(logits)
    predictions = []
    # one by one: 19 logits of a picture at full size take 160 MB
    for name, small, (height, width) in zip(batch["name"], logits.split(1), sizes, strict=True):
        if small.shape[-2:] != (height, width):
            small = F.interpolate(small, (height, width), mode="bilinear", align_corners=False)
        best, labels = small[0].max(0)
        confidence = (best - small[0].logsumexp(0)).exp()
        predictions.append(Prediction(name, labels.byte().cpu().numpy(), confidence.float().cpu().numpy()))
    return predictions


def each_prediction(prediction: Sequence[Prediction] | Tensor, names: Sequence[str]) -> Iterator[Prediction]:
    """The pictures of what a `predict_step` returned: predictions, or bare (B, H, W) train ids with confidence 1."""
    if not isinstance(prediction, Tensor):
        yield from prediction
        return
    for name, labels in zip(names, prediction.byte().cpu().numpy(), strict=True):
        yield Prediction(name, labels, np.ones(labels.shape, np.float32))
