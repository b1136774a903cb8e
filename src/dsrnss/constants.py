"""Constants of a device, uploaded once: a GPU waits for each that is made anew."""

from functools import lru_cache

import torch
from torch import Tensor


@lru_cache(maxsize=256)
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
    with torch.inference_mode(False):  # made inside it, it could not be used where gradients flow
        return torch.tensor(values, dtype=dtype, device=device).view(shape)
