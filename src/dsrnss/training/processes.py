"""Several processes that train together."""

import atexit

from torch import distributed


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
