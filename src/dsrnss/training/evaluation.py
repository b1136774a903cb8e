"""Measuring and running a network on data sets."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils._pytree import tree_map_only

from dsrnss.data.base import SegmentationDataset
from dsrnss.data.loading import EvalView, collate
from dsrnss.detail import DetailCounts
from dsrnss.errors import ConfigError, DsrnssError, check_range
from dsrnss.labels import LabelSpace
from dsrnss.metrics import ConfusionMatrix, Scores, scores
from dsrnss.models.segmentor import Segmentor


@dataclass(frozen=True)
class InferenceConfig:
    """How pictures are evaluated and predicted.

    Args:
        mode: `whole`, or `slide` for overlapping windows whose logits are averaged.
        window: Height and width of a window, pixels.
        stride: Distance of two windows, pixels; None: half a window.
        window_batch: Windows that pass the network at once; None: as many as memory allows.
    """

    mode: Literal["whole", "slide"] = "whole"
    window: tuple[int, int] | None = None
    stride: tuple[int, int] | None = None
    window_batch: int | None = None

    def __post_init__(self) -> None:
        """Check that a window is given to slide.

        Raises:
            ConfigError: If it is not, or a number is not positive.
        """
        if self.window_batch is not None:
            check_range("inference.window_batch", self.window_batch, 1)
        if self.mode == "slide" and self.window is None:
            raise ConfigError("inference.mode: slide needs a window, for example inference.window: [1080, 1080].")


class Network(Protocol):
    """What gives logits."""

    def predict(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) normalised RGB -> (B, C, H, W) logits."""


@dataclass(frozen=True)
class Predictor:
    """A network and how pictures pass it."""

    network: Segmentor
    inference: InferenceConfig

    def predict(self, images: Tensor) -> Tensor:
        """Logits of images: (B, 3, H, W) -> (B, C, H, W)."""
        how = self.inference
        return self.network.predict(images, how.mode, how.window, how.stride, how.window_batch)


class Evaluation:
    """The counts of some named sets while their batches come.

    Args:
        names: Of the sets, in the order of their loaders.
        label_space: The classes.
        device: Where it is counted.
        detailed: Whether to count confidence, and each picture by itself, too.
    """

    def __init__(
        self, names: Sequence[str], label_space: LabelSpace, device: torch.device, *, detailed: bool = False
    ) -> None:
        self.label_space, classes = label_space, label_space.num_classes
        self._counts = {name: ConfusionMatrix(classes).to(device) for name in names}
        self._details = {name: DetailCounts(classes).to(device) if detailed else None for name in names}

    def count(self, network: Network, batch: Mapping[str, Tensor], index: int) -> None:
        """Count a batch of the set with this number."""
        name = list(self._counts)[index]
        count_batch(network, batch, self._counts[name], self._details[name])

    def scores(self) -> dict[str, Scores]:
        """The scores of each set, over all processes."""
        return {name: _scores(counts, self._details[name], self.label_space) for name, counts in self._counts.items()}


def _scores(counts: ConfusionMatrix, details: DetailCounts | None, space: LabelSpace) -> Scores:
    return scores(counts.compute().cpu().numpy(), space, None if details is None else details.detail())


def _device_of(network: Network) -> torch.device:
    return next(network.parameters()).device if isinstance(network, nn.Module) else torch.device("cpu")


def _batch(view: EvalView, indices: Sequence[int]) -> dict[str, Tensor]:
    batch = collate(view.__getitems__(indices))
    if isinstance(batch, DsrnssError):
        raise batch
    return batch


def count_batch(
    network: Network, batch: Mapping[str, Tensor], confusion: ConfusionMatrix, details: DetailCounts | None = None
) -> None:
    """Count what a network predicts for a batch.

    Args:
        network: In eval mode.
        batch: `image` (B, 3, H, W) normalised RGB, `label` (B, Hl, Wl) train ids and, where there are such masks,
            `invalid` (B, Hl, Wl) bool; logits are resized to the label.
        confusion: Where to.
        details: Where confidence and single pictures are counted, if they shall be; the batch then says its `index` and
            `name`, too.
    """
    logits, size = network.predict(batch["image"]), batch["label"].shape[-2:]
    if logits.shape[-2:] != size:
        logits = F.interpolate(logits, size, mode="bilinear", align_corners=False)
    best = logits.max(1)
    invalid = batch.get("invalid")
    detailed = details is not None and "index" in batch  # a loader of the user's own may not number its samples
    confidence = (best.values - logits.logsumexp(1)).exp() if detailed or invalid is not None else None
    confusion.update(best.indices, batch["label"], confidence, invalid)
    if details is not None and confidence is not None and detailed:
        details.update(batch, best.indices, confidence)


@torch.inference_mode()
def evaluate(
    network: Segmentor,
    dataset: SegmentationDataset,
    batch_size: int = 8,
    advance: Callable[[int], None] = lambda _: None,
) -> Scores:
    """Score a network on all labelled samples of a set.

    Args:
        network: Put into eval mode; where it is the pictures go.
        dataset: Samples of one size.
        batch_size: Pictures at once.
        advance: Told how many pictures were done.
    """
    network.eval()
    view, classes, device = EvalView(dataset), network.config.num_classes, _device_of(network)
    confusion, details = ConfusionMatrix(classes).to(device), DetailCounts(classes).to(device)
    for first in range(0, len(dataset), batch_size):
        indices = range(first, min(first + batch_size, len(dataset)))
        batch = tree_map_only(Tensor, lambda tensor: tensor.to(device), _batch(view, indices))
        count_batch(network, batch, confusion, details)
        advance(len(indices))
    return _scores(confusion, details, dataset.label_space)


@torch.inference_mode()
def predict(
    network: Network, dataset: SegmentationDataset, indices: Sequence[int], device: torch.device | str | None = None
) -> list[npt.NDArray[np.uint8]]:
    """Label maps of some samples: (H, W) train ids each.

    Args:
        network: Put into eval mode, if it is a module.
        dataset: The samples.
        indices: Which of them.
        device: Where the network is; None: where the parameters of a module are, else the CPU.
    """
    if isinstance(network, nn.Module):
        network.eval()
    view, device = EvalView(dataset), device or _device_of(network)
    images = (_batch(view, [index])["image"].to(device) for index in indices)
    return [network.predict(image)[0].argmax(0).byte().cpu().numpy() for image in images]
