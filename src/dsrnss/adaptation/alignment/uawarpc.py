"""UAWarpC as an aligner: frozen, in 32 bits, read when it is first needed (method section 6)."""

import hashlib
import multiprocessing
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dsrnss.adaptation.alignment.aligners import Alignment
from dsrnss.adaptation.alignment.uawarpc_network import UAWarpC, confidence
from dsrnss.adaptation.alignment.uawarpc_weights import build
from dsrnss.errors import ConfigError, ImageError

__all__ = ["UAWarpC", "UAWarpCAligner"]

MIN_SIDE = 8
"""An image with fewer pixels has no features at 1/8."""


class UAWarpCAligner:
    """Dense matching by a trained network, with a confidence (Refign, arXiv 2207.06825, section 3.2).

    Making one reads nothing: `load` does, or the first call. It is no module, so that it is in no checkpoint; it goes
    to the device of its input.

    Args:
        weights: The matching network: a registered name, a file (also a checkpoint of the authors that holds one), or
            `random` (for tests: always the same).
        vgg_weights: VGG-16, trained on ImageNet: as `weights`. Not needed if that file holds it too.
        radius: The confidence is the probability that the flow is right to this many pixels.

    Raises:
        ConfigError: If the radius is not positive.
    """

    def __init__(
        self, weights: str | Path = "uawarpc_megadepth", vgg_weights: str | Path = "vgg16", radius: float = 1.0
    ) -> None:
        if not radius > 0:
            raise ConfigError(f"radius: expected a number of pixels above 0, not {radius:g}.")
        self.weights = weights
        self.vgg_weights = vgg_weights
        self.radius = radius
        self._network: UAWarpC | None = None

    @property
    def network(self) -> UAWarpC:
        """The network, read if it is not yet."""
        if self._network is None:
            # made in inference mode, its tensors could not be moved or used elsewhere later
            with torch.inference_mode(False):
                self._network = build(self.weights, self.vgg_weights)
        return self._network

    def __getstate__(self) -> dict[str, Any]:
        """The settings; another process reads the weights itself."""
        return {**self.__dict__, "_network": None}

    def fingerprint(self) -> str:
        """A hash of the weights: with the settings, all that decides what is found.

        Raises:
            CheckpointError: If they are missing, broken or do not fit.
        """
        digest = hashlib.blake2b(digest_size=16)
        for name, tensor in self.network.state_dict().items():
            digest.update(name.encode())
            digest.update(tensor.cpu().contiguous().numpy().data)
        return digest.hexdigest()

    def load(self) -> None:
        """Read the weights, unless that is done.

        Raises:
            CheckpointError: If they are missing, broken or do not fit.
        """
        _ = self.network

    @torch.no_grad()
    def __call__(self, target: Tensor, reference: Tensor, given: Alignment | None = None) -> Alignment:
        """Match; what the data set knows (`given`) is not looked at.

        Raises:
            ImageError: If they are no pictures (B, 3, H, W), differ in size or are too small.
        """
        check_sizes(target, reference)
        network = self.network
        if next(network.parameters()).device != target.device:
            if multiprocessing.parent_process() is not None:  # what its parent has put on a GPU is out of its reach
                self._network = None
                network = self.network
            network.to(target.device)
        with torch.autocast(target.device.type, enabled=False):
            flow, log_variance = network(target.float(), reference.float())
        return Alignment(flow, confidence(log_variance, self.radius))


def check_sizes(target: Tensor, reference: Tensor) -> None:
    """Refuse pictures that cannot be matched.

    Raises:
        ImageError: Naming their sizes.
    """
    for name, picture in (("Target", target), ("Reference", reference)):
        if picture.ndim != 4 or picture.shape[1] != 3:
            raise ImageError(f"{name}: expected pictures (B, 3, H, W), not {tuple(picture.shape)}.")
    if target.shape != reference.shape:
        raise ImageError(
            f"Target and reference differ in shape: {tuple(target.shape)} and {tuple(reference.shape)}. "
            "Crop or resize both alike."
        )
    height, width = target.shape[-2:]
    if min(height, width) < MIN_SIDE:
        raise ImageError(f"UAWarpC matches pictures of {MIN_SIDE}x{MIN_SIDE} pixels or more, not {width}x{height}.")
