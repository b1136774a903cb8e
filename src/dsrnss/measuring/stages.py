"""Time and peak memory of the stages of some work, on the CPU or on a GPU."""

import resource
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import torch

Cost = dict[str, float]


class Gauge(Protocol):
    """What is read where a stage begins and where it ends."""

    def read(self) -> Mapping[str, Any]:
        """Where its counters stand."""
        ...

    def between(self, before: Mapping[str, Any], after: Mapping[str, Any]) -> Cost:
        """What was counted between two readings; asked for when the work is done."""
        ...

    def peak(self) -> float:
        """The most bytes in use at once since `forget_peak`."""
        ...

    def forget_peak(self) -> None:
        """Begin to look for the peak anew."""
        ...


class HostGauge:
    """Seconds, seconds of the CPU, and resident memory of this process."""

    def read(self) -> Mapping[str, Any]:
        """Where its clocks stand."""
        used = resource.getrusage(resource.RUSAGE_SELF)
        user, system = used.ru_utime, used.ru_stime
        return {
            "seconds": time.perf_counter(),
            "cpu_s": user + system,
            "system_s": system,
            "faults": float(used.ru_minflt),
        }

    def between(self, before: Mapping[str, Any], after: Mapping[str, Any]) -> Cost:
        """What was used between two readings."""
        return {key: after[key] - before[key] for key in before}

    def peak(self) -> float:
        """The most bytes that were resident at once; elsewhere than on Linux, of the process so far."""
        try:
            lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
            return 1024.0 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
        except (OSError, StopIteration):
            return 1024.0 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    def forget_peak(self) -> None:
        """Let the system forget the peak, where it can."""
        try:
            Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
        except OSError:
            return


class CudaGauge(HostGauge):
    """Seconds of a GPU's queue, and what its allocator has given; the queue is not waited for on the way."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        torch.cuda.init()  # until then there is no peak that could be forgotten

    def read(self) -> Mapping[str, Any]:
        """An event in the queue beside the clocks of the host."""
        event = torch.cuda.Event(enable_timing=True)
        event.record(torch.cuda.current_stream(self.device))
        return {**super().read(), "seconds": event}

    def between(self, before: Mapping[str, Any], after: Mapping[str, Any]) -> Cost:
        """What was used between two readings, once the queue has come to the second."""
        after["seconds"].synchronize()
        host = super().between(*({k: v for k, v in reading.items() if k != "seconds"} for reading in (before, after)))
        return {"seconds": before["seconds"].elapsed_time(after["seconds"]) / 1000, **host}

    def peak(self) -> float:
        """The most bytes that were allocated at once."""
        return float(torch.cuda.max_memory_allocated(self.device))

    def forget_peak(self) -> None:
        """Let the allocator forget the peak."""
        torch.cuda.reset_peak_memory_stats(self.device)


def gauge_of(device: torch.device) -> Gauge:
    """The gauge of a device; other accelerators are measured by the host's clocks."""
    return CudaGauge(device) if device.type == "cuda" else HostGauge()


class _Span(NamedTuple):
    name: str
    parent: str | None
    before: Mapping[str, Any]
    after: Mapping[str, Any]
    peak: float


class Stages:
    """Writes down when stages begin and end; they may lie inside one another.

    Args:
        gauge: What is read.
    """

    def __init__(self, gauge: Gauge) -> None:
        self.gauge = gauge
        self._spans: list[_Span] = []
        self._names: dict[str, None] = {}
        self._open: list[str] = []
        self._highest = [0.0]

    @contextmanager
    def of(self, name: str) -> Iterator[None]:
        """What runs inside the block is a stage."""
        self._highest[-1] = max(self._highest[-1], self.gauge.peak())
        self.gauge.forget_peak()
        self._highest.append(0.0)
        self._names.setdefault(name)
        parent = self._open[-1] if self._open else None
        self._open.append(name)
        before = self.gauge.read()
        yield
        after = self.gauge.read()
        self._open.pop()
        peak = max(self._highest.pop(), self.gauge.peak())
        self._highest[-1] = max(self._highest[-1], peak)
        self._spans.append(_Span(name, parent, before, after, peak))

    def wrapped(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        """A call as a stage."""

        def wrapper(*args: Any, **kwargs: Any) -> Any:
            with self.of(name):
                return call(*args, **kwargs)

        return wrapper

    def forget(self) -> None:
        """Leave out what was measured so far."""
        self._spans.clear()

    def costs(self, rounds: int = 1) -> dict[str, Cost]:
        """Of each stage, in the order in which they began, the mean of a round and its greatest `peak_bytes`.

        Beside what a stage takes with all that lies inside it, `own_` is what it takes without.

        Args:
            rounds: How often the work was repeated.
        """
        found: dict[str, Cost] = {}
        for span in self._spans:
            spent = {key: value / rounds for key, value in self.gauge.between(span.before, span.after).items()}
            cost = found.setdefault(span.name, {"peak_bytes": 0.0})
            cost["peak_bytes"] = max(cost["peak_bytes"], span.peak)
            parent = found.setdefault(span.parent, {"peak_bytes": 0.0}) if span.parent is not None else {}
            for key, value in spent.items():
                cost[key] = cost.get(key, 0.0) + value
                cost[f"own_{key}"] = cost.get(f"own_{key}", 0.0) + value
                parent[f"own_{key}"] = parent.get(f"own_{key}", 0.0) - value
        return {name: found[name] for name in self._names if name in found}
