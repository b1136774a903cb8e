"""How many views of a picture pass a network at once: as many as memory allows."""

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

PIXELS_ON_CPU = 2**19
"""More at once are no faster on a CPU, and memory stays bounded."""
BYTES_A_PIXEL = 4096
"""Of a pass in 32 bits, cautiously: HRDA on MiT-B5 with the DAFormer head, the largest, takes a third of it."""
SHARE_OF_FREE = 0.5
"""Of a GPU's free memory: the rest is for what comes behind the network, and for whoever else allocates."""


def views_at_once(view: Tensor) -> int:
    """How many views such as (B, 3, h, w) pass a network at once: 1 at least."""
    pixels = view[:, 0].numel()
    if view.is_cuda and torch.cuda.is_available():
        free, _ = torch.cuda.mem_get_info(view.device)
        kept = torch.cuda.memory_reserved(view.device) - torch.cuda.memory_allocated(view.device)
        return max(int((free + kept) * SHARE_OF_FREE) // (BYTES_A_PIXEL * pixels), 1)
    return max(PIXELS_ON_CPU // pixels, 1)


def in_batches(
    predict: Callable[[Tensor], Tensor], views: Sequence[Tensor], at_once: int | None = None
) -> Iterator[Tensor]:
    """Let views of one size pass a network, some at once.

    Where a GPU's memory does not suffice, half as many are tried.

    Args:
        predict: (B, 3, h, w) -> (B, C, h', w').
        views: Each (B, 3, h, w).
        at_once: So many; None: as many as memory allows.

    Yields:
        (B, C, h', w') of each view.

    Raises:
        torch.OutOfMemoryError: If not even one fits.
    """
    if torch.compiler.is_compiling():  # a graph that is to take every size cannot count: all at once
        at_once = len(views)
    count, start = at_once or views_at_once(views[0]), 0
    while start < len(views):
        chosen = views[start : start + count]
        found = None
        try:
            found = predict(torch.cat(list(chosen)))
        except torch.OutOfMemoryError:
            if len(chosen) == 1:
                raise
        if found is None:  # behind the `except`, where its traceback holds no tensors any more
            torch.cuda.empty_cache()
            count = len(chosen) // 2
            continue
        yield from found.unflatten(0, (len(chosen), -1)).unbind()
        start += len(chosen)
