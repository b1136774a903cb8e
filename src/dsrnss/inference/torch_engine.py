"""A network of this package, run by PyTorch."""

import hashlib
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from dsrnss.errors import ConfigError, HardwareError, did_you_mean
from dsrnss.inference import labelling
from dsrnss.inference.engine import LEAST_PROBABILITY, Engine, Pictures
from dsrnss.inference.labelling import Labels, StripLabeller
from dsrnss.models.compiling import compile_parts
from dsrnss.models.segmentor import Segmentor
from dsrnss.models.windows import slide_bands
from dsrnss.normalisation import normalise

PRECISIONS = {"float32": None, "float16": torch.float16, "bfloat16": torch.bfloat16}
"""Of the arithmetic -> the type that autocast takes."""

_DEVICES = ("auto", "cpu", "cuda", "cuda:0", "mps")
_OF_MEMORY = re.compile("memory(?! access)|create a primitive|ALLOC_FAILED")
"""How errors of memory can be told; the second is what oneDNN says, the third cuDNN and cuBLAS."""


@contextmanager
def _memory_told() -> Iterator[None]:
    """Make a `MemoryError` of every error that is one."""
    try:
        yield
    except RuntimeError as error:
        if _OF_MEMORY.search(str(error)):
            raise MemoryError(str(error)) from error
        raise


class TorchEngine(Engine):
    """A network on a device of PyTorch.

    Args:
        segmentor: The network.
        device: Where it runs: `auto`, `cpu`, `cuda`, `cuda:1`, ...
        precision: `float32`, `float16` or `bfloat16`.
        compiled: Whether torch.compile makes code for the network's parts, at their first use.

    Raises:
        ConfigError: If there is no such device or precision at all.
        HardwareError: If this machine does not have the device, or no compiler for it.
    """

    device: torch.device

    def __init__(
        self, segmentor: Segmentor, device: str | torch.device, precision: str, *, compiled: bool = False
    ) -> None:
        if precision not in PRECISIONS:
            raise ConfigError(f"Unknown precision '{precision}'.{did_you_mean(precision, PRECISIONS)}")
        self.device, self.precision = find_device(device), precision
        self.segmentor = segmentor.eval().to(self.device)
        if compiled:
            compile_parts(self.segmentor, self.device, dynamic=True)

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
            images = normalise(_channels_first(pictures).to(self.device))  # a quarter of the bytes is sent
            return self.logits(images, "slide" if window else "whole", window)

    def bands(self, pictures: Pictures, window: tuple[int, int]) -> Iterator[Tensor]:
        """As of `Engine`."""
        with _memory_told():
            images = _channels_first(pictures).to(self.device)
            # each window by itself: a large picture's bytes are held, not their numbers
            yield from slide_bands(
                lambda crops: self._logits(normalise(crops)), self.segmentor.config.num_classes, images, window
            )

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
        return self._logits(images.to(self.device, torch.float32), mode, window, stride)

    def _logits(self, images: Tensor, *how: Any) -> Tensor:
        reduced = PRECISIONS[self.precision]
        with torch.no_grad(), torch.autocast(self.device.type, reduced, enabled=reduced is not None):
            return self.segmentor.predict(images, *how)

    @_memory_told()
    def mirrored(self, scores: Tensor) -> Tensor:
        """As of `Engine`."""
        return scores.flip(-1)

    @_memory_told()
    def mixed(self, first: Tensor, second: Tensor, weight: float) -> Tensor:
        """As of `Engine`."""
        return torch.lerp(second.softmax(-3), first.softmax(-3), weight).clamp(min=LEAST_PROBABILITY).log()

    def labeller(self, rows: int, size: tuple[int, int]) -> StripLabeller:
        """As of `Engine`."""
        if self.device.type == "cpu":
            return StripLabeller(
                rows, size, lambda scores, *rest: labelling.label_rows(scores.numpy(), *rest), join_rows
            )
        return StripLabeller(rows, size, label_rows, join_rows)

    def to_numpy(self, scores: Tensor) -> npt.NDArray[np.float32]:
        """As of `Engine`."""
        array: npt.NDArray[np.float32] = scores.float().cpu().numpy()
        return array

    @_memory_told()
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


@_memory_told()
@torch.inference_mode()
def label_rows(
    scores: Tensor,
    above: npt.NDArray[np.intp],
    below: npt.NDArray[np.intp],
    weight: npt.NDArray[np.float32],
    width: int,
) -> Labels:
    """As of `labelling.LabelRows`, on the device of the logits."""
    upper, lower, share = (
        torch.from_numpy(values).to(scores.device, non_blocking=True) for values in (above, below, weight)
    )
    strip = torch.lerp(scores[:, upper], scores[:, lower], share[:, None])
    strip = F.interpolate(strip[None], size=(len(above), width), mode="bilinear", align_corners=False)[0]
    best, index = strip.max(dim=0)
    confidence = (best - strip.logsumexp(dim=0)).exp().clamp(max=1)
    return index.to(torch.uint8).cpu().numpy(), confidence.cpu().numpy()


def join_rows(parts: Sequence[Tensor]) -> Tensor:
    """Logits (C, rows, w) below each other."""
    return torch.cat(list(parts), dim=1)


def _channels_first(pictures: Pictures) -> Tensor:
    """(B, h, w, 3) as a tensor (B, 3, h, w) of the same numbers."""
    return torch.tensor(pictures).permute(0, 3, 1, 2)
