"""Constants of a device, uploaded once: a GPU waits for each that is made anew."""

from functools import lru_cache

import torch
from torch import Tensor


def constant(
    values: tuple[float, ...], device: torch.device, dtype: torch.dtype = torch.float32, shape: tuple[int, ...] = (-1,)
) -> Tensor:
    """A tensor of given numbers, the same one whenever it is asked for: not to be changed.

    Args:
        values: Its numbers, row first.
        device: Where it lies.
        dtype: Of the tensor.
        shape: Of the tensor.
    """
    if torch.compiler.is_compiling():  # what is made there belongs to the graph, and has no numbers outside of it
        return _made(values, device, dtype, shape)
    return _kept(values, device, dtype, shape)


def _made(values: tuple[float, ...], device: torch.device, dtype: torch.dtype, shape: tuple[int, ...]) -> Tensor:
    with torch.inference_mode(False):  # made inside it, it could not be used where gradients flow
        return torch.tensor(values, dtype=dtype, device=device).view(shape)


_kept = lru_cache(maxsize=256)(_made)


def forget_constants() -> None:
    """Let each be made anew: those of a rehearsal have no numbers."""
    _kept.cache_clear()
