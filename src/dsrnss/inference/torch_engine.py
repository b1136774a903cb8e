"""A network of this package, run by PyTorch."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from dsrnss.errors import ConfigError, HardwareError, did_you_mean
from dsrnss.inference import labelling
from dsrnss.inference.engine import LEAST_PROBABILITY, Engine, Pictures
from dsrnss.models.segmentor import Segmentor
from dsrnss.normalisation import normalise

PRECISIONS = {"float32": None, "float16": torch.float16, "bfloat16": torch.bfloat16}
"""Of the arithmetic -> the type that autocast takes."""

_DEVICES = ("auto", "cpu", "cuda", "cuda:0", "mps")
_STRIP_VALUES = 2**20
"""Logits that are interpolated at a time: 4 MiB, which caches hold; all of 12 megapixels in 19 classes are 0.9 GB."""
_OF_MEMORY = ("memory", "create a primitive")
"""How errors of memory can be told; the second is what oneDNN says."""


@contextmanager
def _memory_told() -> Iterator[None]:
    """Make a `MemoryError` of every error that is one."""
    try:
        yield
    except RuntimeError as error:
        if any(word in str(error) for word in _OF_MEMORY):
            raise MemoryError(str(error)) from error
        raise


class TorchEngine(Engine):
    """A network on a device of PyTorch.

    Args:
        segmentor: The network.
        device: Where it runs: `auto`, `cpu`, `cuda`, `cuda:1`, ...
        precision: `float32`, `float16` or `bfloat16`.

    Raises:
        ConfigError: If there is no such device or precision at all.
        HardwareError: If this machine does not have the device.
    """

    device: torch.device

    def __init__(self, segmentor: Segmentor, device: str | torch.device, precision: str) -> None:
        if precision not in PRECISIONS:
            raise ConfigError(f"Unknown precision '{precision}'.{did_you_mean(precision, PRECISIONS)}")
        self.device, self.precision = find_device(device), precision
        self.segmentor = segmentor.eval().to(self.device)

    @cached_property
    def fingerprint(self) -> str:
        """Hash of all parameters and buffers."""
        found = hashlib.sha256(repr(self.segmentor.config).encode())
        for name, tensor in self.segmentor.state_dict().items():
            found.update(name.encode())
            found.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
        return found.hexdigest()

    def scores(self, pictures: Pictures, window: tuple[int, int] | None) -> Tensor:
        """As of `Engine`."""
        with _memory_told():
            images = normalise(torch.tensor(pictures).permute(0, 3, 1, 2))
            return self.logits(images, "slide" if window else "whole", window)

    def logits(
        self,
        images: Tensor,
        mode: Literal["whole", "slide"],
        window: tuple[int, int] | None,
        stride: tuple[int, int] | None = None,
    ) -> Tensor:
        """Class scores of tensors (B, 3, H, W), as of `Segmenter.logits`."""
        if not isinstance(images, Tensor):
            raise ConfigError(f"images is a float tensor (B, 3, H, W), not a {type(images).__name__}.")
        if images.ndim != 4 or images.shape[1] != 3 or min(images.shape) < 1 or not images.is_floating_point():
            raise ConfigError(f"images is a float tensor (B, 3, H, W), not {images.dtype} {tuple(images.shape)}.")
        reduced = PRECISIONS[self.precision]
        with torch.no_grad(), torch.autocast(self.device.type, reduced, enabled=reduced is not None):
            return self.segmentor.predict(images.to(self.device, torch.float32), mode, window, stride)

    def mirrored(self, scores: Tensor) -> Tensor:
        """As of `Engine`."""
        return scores.flip(-1)

    def mixed(self, first: Tensor, second: Tensor, weight: float) -> Tensor:
        """As of `Engine`."""
        return torch.lerp(second.softmax(-3), first.softmax(-3), weight).clamp(min=LEAST_PROBABILITY).log()

    def label(self, scores: Tensor, size: tuple[int, int]) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float32]]:
        """As of `Engine`."""
        with _memory_told():
            if self.device.type == "cpu":
                return labelling.label_full_size(self.to_numpy(scores), size)
            return label_full_size(scores, size)

    def to_numpy(self, scores: Tensor) -> npt.NDArray[np.float32]:
        """As of `Engine`."""
        array: npt.NDArray[np.float32] = scores.float().cpu().numpy()
        return array

    def from_numpy(self, array: npt.NDArray[np.float32]) -> Tensor:
        """As of `Engine`."""
        return torch.from_numpy(array).to(self.device)


def find_device(device: str | torch.device) -> torch.device:
    """Check that a device is there.

    Args:
        device: Its name; `auto` is the first GPU, or else the CPU.

    Raises:
        ConfigError: If that is no name of a device.
        HardwareError: If this machine has no such device.
    """
    if str(device) == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        found = torch.device(device)
    except RuntimeError as error:
        raise ConfigError(f"Unknown device '{device}'.{did_you_mean(str(device), _DEVICES)}") from error
    if found.type == "cuda":
        gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if (found.index or 0) >= gpus:
            seen = f"{gpus} CUDA GPU{'s' if gpus > 1 else ''}" if gpus else "no CUDA GPU"
            raise HardwareError(f"There is no device '{device}': PyTorch sees {seen} here. Use 'auto' or 'cpu'.")
    elif found.type == "mps" and not torch.backends.mps.is_available():
        raise HardwareError(f"There is no device '{device}' on this machine. Use 'auto' or 'cpu'.")
    elif found.type not in ("cpu", "mps"):
        raise ConfigError(f"Networks do not run on '{device}' here.{did_you_mean(str(device), _DEVICES)}")
    return found


@torch.inference_mode()
def label_full_size(logits: Tensor, size: tuple[int, int]) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float32]]:
    """Interpolate logits bilinearly to another size and take the best class there, a strip of rows at a time.

    The result is that of `F.interpolate(..., mode="bilinear", align_corners=False)`, without holding all of it.

    Args:
        logits: (C, h, w) class scores.
        size: Height and width H, W of the result, in pixels.

    Returns:
        Labels (H, W) uint8 and their softmax probabilities (H, W) float32.
    """
    (classes, rows, _), (height, width) = logits.shape, size
    labels, confidence = np.empty(size, np.uint8), np.empty(size, np.float32)
    step = max(1, _STRIP_VALUES // (classes * width))
    for start in range(0, height, step):
        stop = min(start + step, height)
        centres = torch.arange(start, stop, device=logits.device, dtype=torch.float32)
        position = ((centres + 0.5) * (rows / height) - 0.5).clamp(0, rows - 1)
        above = position.floor().long()
        below = (above + 1).clamp(max=rows - 1)
        strip = torch.lerp(logits[:, above], logits[:, below], (position - above)[:, None])
        strip = F.interpolate(strip[None], size=(stop - start, width), mode="bilinear", align_corners=False)[0]
        best, index = strip.max(dim=0)
        labels[start:stop] = index.to(torch.uint8).cpu().numpy()
        confidence[start:stop] = (best - strip.logsumexp(dim=0)).exp().clamp(max=1).cpu().numpy()
    return labels, confidence
