"""What several processes that run together know between them; in one process each function gives back what it got."""

from typing import Any

import torch
from torch import Tensor, distributed


def together() -> bool:
    """Whether this process is one of a group of several."""
    return distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1


def summed(tensor: Tensor, group: Any = None) -> Tensor:
    """The sum over all processes, the same bits in each.

    Args:
        tensor: Of one shape everywhere, where the group's processes talk; it is left as it is.
        group: The processes; None: all.
    """
    if not together():
        return tensor
    total = tensor.clone()
    distributed.all_reduce(total, group=group)
    return total


def average_(tensors: list[Tensor]) -> None:
    """Replace each tensor by its mean over all processes, the same bits in each; all in one exchange.

    Args:
        tensors: Floating-point ones of one type and device, of the same shapes everywhere.
    """
    if not together() or not tensors:
        return
    mean = summed(torch.cat([tensor.flatten() for tensor in tensors])) / distributed.get_world_size()
    for tensor, part in zip(tensors, mean.split([tensor.numel() for tensor in tensors]), strict=True):
        tensor.copy_(part.view_as(tensor))


def everyones(value: Any) -> list[Any]:
    """What each process has, in the order of their numbers.

    Args:
        value: Anything that pickles.
    """
    if not together():
        return [value]
    found: list[Any] = [None] * distributed.get_world_size()
    distributed.all_gather_object(found, value)
    return found
