"""Several processes that train together."""

import atexit
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor, distributed
from torch.utils._pytree import tree_map_only

from dsrnss.collectives import together


def end_group_at_exit() -> None:
    """Let the process group of this process end before the process does, whatever its backend.

    The threads of gloo that still run when the interpreter goes abort it (SIGABRT), though all work is done; Lightning
    ends the groups of NCCL alone.
    """
    if distributed.is_available() and distributed.is_initialized():
        atexit.unregister(_end_group)  # once is enough
        atexit.register(_end_group)


def _end_group() -> None:
    if distributed.is_initialized():
        distributed.destroy_process_group()


def host_group() -> Any:
    """The processes as they talk past their GPUs, which then need not be waited for; None: there is only one.

    All must ask for it together.
    """
    return _host_group() if together() else None


@cache
def _host_group() -> Any:
    return distributed.new_group(backend="gloo")


def highest(number: int) -> int:
    """The highest number that a process has; in one process its own."""
    found = torch.tensor(number)
    if together():
        distributed.all_reduce(found, distributed.ReduceOp.MAX, group=host_group())
    return int(found)


def gathered(state: Any) -> list[Any]:
    """The states of all processes, in their order, to the first one; the others get an empty list.

    Tensors go to the host: one that is unpickled takes memory of the GPU that it was on.
    """
    if not together():
        return [state]
    first = distributed.get_rank() == 0
    found: list[Any] | None = [None] * distributed.get_world_size() if first else None
    distributed.gather_object(tree_map_only(Tensor, Tensor.cpu, state), found, group=host_group())
    return found or []


def seed_of(seed: int, process: int, step: int = 0) -> int:
    """The seed of the draws of one process: that of the run in the first one, and one that no other shares elsewhere.

    Args:
        seed: Of the run.
        process: Its number.
        step: Optimiser step that its draws begin at.
    """
    if process == 0:
        return seed
    return int(np.random.SeedSequence((seed, process, step)).generate_state(1, np.uint64)[0])
