"""Aligners: which pixel of the day reference shows what a pixel of the night image shows."""

from typing import NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor

from dsrnss.adaptation.alignment.classical import align_pair
from dsrnss.errors import ConfigError
from dsrnss.normalisation import denormalise


class Alignment(NamedTuple):
    """The result of an aligner.

    Attributes:
        flow: (B, 2, H, W) target -> reference, x then y, in pixels.
        confidence: (B, 1, H, W) in [0, 1], or None where the aligner gives none.
    """

    flow: Tensor
    confidence: Tensor | None


@runtime_checkable
class Aligner(Protocol):
    """Anything that aligns a batch of night images with their day references."""

    def __call__(self, target: Tensor, reference: Tensor, given: Alignment | None = None) -> Alignment:
        """Align.

        Args:
            target: (B, 3, H, W) normalised night images.
            reference: (B, 3, H, W) normalised day references.
            given: What the data set knows of the alignment, if it does.
        """
        ...

    def load(self) -> None:
        """Read weights, if there are any to read; called once before training.

        Raises:
            CheckpointError: If they cannot be had.
        """
        ...


class WeightlessAligner:
    """An aligner that has nothing to load."""

    def load(self) -> None:
        """Nothing to do."""


class IdentityAligner(WeightlessAligner):
    """Takes the reference as it lies: good where the camera stood still."""

    def __call__(self, target: Tensor, reference: Tensor, given: Alignment | None = None) -> Alignment:
        """No motion, no confidence."""
        return Alignment(torch.zeros_like(target[:, :2]), None)


class GivenAligner(WeightlessAligner):
    """Uses the flow that comes with the data: precomputed once a pair, or SynthNight's true one (an oracle)."""

    def __call__(self, target: Tensor, reference: Tensor, given: Alignment | None = None) -> Alignment:
        """Hand on what is given.

        Raises:
            ConfigError: If the data set gives no flow.
        """
        if given is None:
            raise ConfigError(
                "The aligner 'GivenAligner' needs samples with a flow: use SynthNight(flow='true') or AlignedPairs, "
                "or another aligner such as dsrnss.adaptation.alignment.ClassicalAligner."
            )
        return given


class ClassicalAligner(WeightlessAligner):
    """Homography and dense flow on illumination-robust gradients, on the CPU, without weights."""

    def __call__(self, target: Tensor, reference: Tensor, given: Alignment | None = None) -> Alignment:
        """Align each pair by `align_pair`."""

        def to_bytes(images: Tensor) -> Tensor:
            return (denormalise(images.float()) * 255).round().clamp(0, 255).byte().permute(0, 2, 3, 1).cpu()

        pairs = [
            align_pair(night.numpy(), day.numpy())
            for night, day in zip(to_bytes(target), to_bytes(reference), strict=True)
        ]
        flow = torch.stack([torch.from_numpy(flow).permute(2, 0, 1) for flow, _ in pairs])
        confidence = torch.stack([torch.from_numpy(confidence)[None] for _, confidence in pairs])
        return Alignment(flow.to(target), confidence.to(target))
