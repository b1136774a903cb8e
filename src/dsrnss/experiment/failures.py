"""What ends a run from outside of it, told as what it is: limits of the machine, settings that do not go together."""

import errno
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException

from dsrnss.errors import (
    CheckpointError,
    ConfigError,
    DsrnssError,
    HardwareError,
    OutputError,
    TrainingError,
    UsageError,
)
from dsrnss.writing import why_not_written

_SMALLER = (
    "Smaller crops (data.crop_size), smaller batches (data.source_batch_size, data.target_batch_size) or a smaller "
    "network need less."
)
_ALLOCATION = ("can't allocate memory", "not enough memory", "Cannot allocate memory", "std::bad_alloc")
_LOST = ("Connection closed by peer", "Connection reset by peer", "Broken pipe", "gloo", "NCCL")
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO)


@contextmanager
def typed_failures(checkpoint: Callable[[], str | None]) -> Iterator[None]:
    """Raise what happens inside the block as the typed error that it stands for, if it stands for one.

    Args:
        checkpoint: What the run goes on from, for messages.
    """
    try:
        yield
    except DsrnssError:
        raise
    except Exception as error:
        typed = as_typed(error, checkpoint())
        if typed is None:
            raise
        raise typed from error


def as_typed(error: BaseException, checkpoint: str | None = None) -> DsrnssError | None:
    """The typed error that an exception of torch, Lightning or the system stands for; None if it is none of these.

    Args:
        error: What was raised.
        checkpoint: What the run went on from.
    """
    text = str(error)
    if isinstance(error, torch.OutOfMemoryError):
        first = text.splitlines()[0] if text else ""
        return HardwareError(
            f"The GPU's memory does not suffice. {_SMALLER} trainer.precision: 16-mixed needs less too.\n{first}"
        )
    if isinstance(error, MemoryError) or any(words in text for words in _ALLOCATION):
        return HardwareError(f"The machine's memory does not suffice. {_SMALLER} So do fewer data.workers.")
    if isinstance(error, RuntimeError) and ("DataLoader worker" in text or "shared memory" in text):
        return HardwareError(_worker_died(text))
    if isinstance(error, RuntimeError) and any(words in text for words in _LOST):
        return TrainingError(
            "The connection to another process of this run is lost: it has ended, and what it said tells why; or the "
            "processes cannot reach each other (GLOO_SOCKET_IFNAME and NCCL_SOCKET_IFNAME name the network). What is "
            f"saved is whole: go on with --ckpt_path last.\n{text.splitlines()[0]}"
        )
    if isinstance(error, RuntimeError) and ("inline_container" in text or "PytorchStreamWriter" in text):
        return OutputError("A checkpoint cannot be written: is the disk full? The older one is as it was.")
    if isinstance(error, OSError) and error.errno in _NO_ROOM:
        place = f"'{error.filename}'" if error.filename else "a file of the run"
        return OutputError(f"Cannot write {place}: {why_not_written(error)}")
    if "Error(s) in loading state_dict" in text:
        lines = [line.strip() for line in text.splitlines()[1:4]]
        what = f"'{checkpoint}'" if checkpoint else "The checkpoint"
        return CheckpointError(f"{what} is of another network than this experiment describes:\n" + "\n".join(lines))
    if isinstance(error, ValueError) and "Expected more than 1 value per channel" in text:
        return ConfigError(
            "A batch norm of the network sees one single value a channel, of which it can make no statistics: take "
            "larger crops (data.crop_size) or batches of 2 and more (data.source_batch_size, data.target_batch_size)."
        )
    slurm = isinstance(error, (RuntimeError, ValueError)) and ("SLURM" in text or "--ntasks" in text)
    lacks = isinstance(error, ModuleNotFoundError) and text.startswith("Requirement")
    unknown = isinstance(error, RuntimeError) and "conditioned on metric" in text
    if isinstance(error, MisconfigurationException) or slurm or lacks or unknown:
        return UsageError(f"trainer: {text}")
    return None


def _worker_died(text: str) -> str:
    if "shared memory" in text or "Bus error" in text:
        return (
            "The shared memory (/dev/shm) that loading processes hand their batches over in is too small: make it "
            "larger (docker run --shm-size=8g), or load in this process (data.workers: 0)."
        )
    if "Killed" in text or "exited unexpectedly" in text:
        return (
            "A process that loads data was ended by the system, most likely because the machine's memory ran out: take "
            "fewer data.workers, or smaller pictures (size of the data sets)."
        )
    return f"A process that loads data has died: {text.splitlines()[0]} Try data.workers: 0."
