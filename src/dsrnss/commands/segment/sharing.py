"""`dsrnss segment` in several processes, as `torchrun` and `srun` start them: each does its share of the sources."""

import os
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from dsrnss.console import counted, notice
from dsrnss.errors import HardwareError

if TYPE_CHECKING:
    from dsrnss.inference.summary import Summary

Item = TypeVar("Item")
_LONGEST = timedelta(days=30)
"""A process waits so long for the slowest one; one that has ended is noticed at once."""
_LOST = "Another process of this call is gone, or cannot be reached; what is done is noted: the same command goes on."


class Place(NamedTuple):
    """Which of the processes this one is.

    Attributes:
        rank: Its number, from 0.
        world: How many there are.
        local: Its number on this machine.
    """

    rank: int = 0
    world: int = 1
    local: int = 0

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> "Place":
        """As the launcher has said it: `torchrun`, or `srun` (but not the script of a job by itself)."""
        torchrun = ("RANK", "WORLD_SIZE", "LOCAL_RANK")
        srun = ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_LOCALID")
        for names in (torchrun, srun):
            if all(environment.get(name, "").isdigit() for name in names):
                return cls(*(int(environment[name]) for name in names))
        return cls()

    def share(self, items: Sequence[Item]) -> Sequence[Item]:
        """Of items that all processes have in the same order, those that this one does."""
        return items[self.rank :: self.world]

    def device(self, name: str) -> str:
        """The device of this process, where the user leaves that open."""
        if self.world == 1 or name not in ("auto", "cuda"):
            return name
        import torch  # which a file of ONNX does without

        if not torch.cuda.is_available():
            return name
        return f"cuda:{self.local % torch.cuda.device_count()}"


class Meeting:
    """The processes of one call, which meet at its beginning and at its end.

    Args:
        place: Which of them this one is.

    Raises:
        HardwareError: If the others do not come.
    """

    def __init__(self, place: Place) -> None:
        self.place = place
        self._group: Any = None
        if place.world > 1:
            self._group = _meet(place)

    def agreed(self, value: Item) -> Item:
        """What the first process has: a folder may have grown between two looks at it."""
        if self.place.world == 1:
            return value
        from torch import distributed

        shared = [value]
        distributed.broadcast_object_list(shared)
        return shared[0]

    def together(self, summary: "Summary", order: Sequence[str]) -> "Summary | None":
        """What all have done, to the first process; None to the others, which leave with that.

        Args:
            summary: Of this process.
            order: All sources.

        Raises:
            HardwareError: If one is gone.
        """
        if self.place.world == 1:
            return summary
        from torch import distributed

        first = self.place.rank == 0
        done = counted(len(summary.pictures) + len(summary.videos), "source")
        failed = len(summary.failures)
        notice(f"process {self.place.rank + 1} of {self.place.world}: {done} segmented, {failed} failed.")
        parts: list[Any] | None = [None] * self.place.world if first else None
        try:
            distributed.gather_object(summary, parts, group=self._group)
            distributed.destroy_process_group()
        except RuntimeError as error:
            raise HardwareError(_LOST) from error
        return None if parts is None else _merged(parts, order)


def _meet(place: Place) -> Any:
    from torch import distributed

    if "MASTER_ADDR" not in os.environ:  # torchrun says it; of SLURM's tasks Lightning knows how to find out
        from lightning.fabric.plugins.environments.slurm import SLURMEnvironment

        environment = SLURMEnvironment(auto_requeue=False)
        os.environ |= {"MASTER_ADDR": environment.main_address, "MASTER_PORT": str(environment.main_port)}
    try:
        early = timedelta(minutes=10)
        distributed.init_process_group("gloo", rank=place.rank, world_size=place.world, timeout=early)
        return distributed.new_group(backend="gloo", timeout=_LONGEST)
    except RuntimeError as error:
        raise HardwareError(f"{_LOST} ({str(error).splitlines()[0]})") from error


def _merged(parts: Sequence["Summary"], order: Sequence[str]) -> "Summary":
    """One summary of the shares of all, in the order of the sources."""
    whole, places = parts[0], {source: place for place, source in enumerate(order)}
    for part in parts[1:]:
        whole.pictures += part.pictures
        whole.videos += part.videos
        whole.failures += part.failures
        whole.kept += part.kept
    whole.device = ", ".join(dict.fromkeys(part.device for part in parts))
    whole.seconds = max(part.seconds for part in parts)
    whole.pictures.sort(key=lambda record: places[record.picture])
    whole.videos.sort(key=lambda record: places.get(record.video, len(places)))
    return whole
