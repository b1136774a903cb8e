"""Stages: what lies inside another is its own, and what a GPU's clock says is asked for at the end alone."""

import time
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import torch

from dsrnss.measuring.stages import CudaGauge, HostGauge, Stages


class Counted:
    """A gauge that counts by hand."""

    def __init__(self) -> None:
        self.work, self.used, self.most = 0.0, 0.0, 0.0

    def do(self, work: float, memory: float) -> None:
        self.work += work
        self.most = max(self.most, memory)
        self.used = memory

    def read(self) -> Mapping[str, Any]:
        return {"work": self.work}

    def between(self, before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, float]:
        return {"work": after["work"] - before["work"]}

    def peak(self) -> float:
        return self.most

    def forget_peak(self) -> None:
        self.most = self.used


def test_a_stage_is_counted_with_and_without_what_lies_inside() -> None:
    gauge = Counted()
    stages = Stages(gauge)
    for _ in range(2):
        with stages.of("step"):
            gauge.do(1, 5)
            with stages.of("teacher"):
                gauge.do(10, 8)
            gauge.do(2, 3)
    costs = stages.costs(2)
    assert list(costs) == ["step", "teacher"]
    assert costs["step"] == {"peak_bytes": 8, "work": 13, "own_work": 3}
    assert costs["teacher"] == {"peak_bytes": 8, "work": 10, "own_work": 10}


def test_the_peak_of_a_stage_is_not_that_of_one_before() -> None:
    gauge = Counted()
    stages = Stages(gauge)
    with stages.of("step"):
        with stages.of("high"):
            gauge.do(1, 9)
        gauge.do(1, 2)
        with stages.of("low"):
            gauge.do(1, 3)
    peaks = {name: cost["peak_bytes"] for name, cost in stages.costs().items()}
    assert peaks == {"step": 9, "high": 9, "low": 3}


def test_a_warm_up_is_forgotten() -> None:
    gauge = Counted()
    stages = Stages(gauge)
    with stages.of("once"):
        gauge.do(100, 1)
    stages.forget()
    with stages.of("step"):
        gauge.do(1, 1)
    assert {name: cost["work"] for name, cost in stages.costs().items()} == {"step": 1}


def test_the_host_tells_seconds_and_memory() -> None:
    stages = Stages(HostGauge())
    with stages.of("sleep"):
        time.sleep(0.05)
    with stages.of("memory"):
        kept = torch.ones(2**25)
    del kept
    costs = stages.costs()
    assert costs["sleep"]["seconds"] > 0.049 > costs["sleep"]["cpu_s"]
    assert costs["memory"]["peak_bytes"] > 2**27


class Event:
    """What `torch.cuda.Event` does, by a clock of its own."""

    now = 0.0
    waited: list[float]

    def __init__(self, enable_timing: bool = False) -> None:
        assert enable_timing

    def record(self, stream: object) -> None:
        self.at = Event.now

    def synchronize(self) -> None:
        Event.waited.append(self.at)

    def elapsed_time(self, end: "Event") -> float:
        return end.at - self.at


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, int]]:
    allocated = {"peak": 0, "now": 0}
    Event.now, Event.waited = 0.0, []
    begun: list[bool] = []

    def forget(device: torch.device) -> None:
        assert begun, "the allocator of a GPU that nobody has used yet has no peak to forget"
        allocated.update(peak=allocated["now"])

    monkeypatch.setattr(torch.cuda, "init", lambda: begun.append(True))
    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: None)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: allocated["peak"])
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", forget)
    yield allocated


def test_a_gpu_is_not_waited_for_between_stages(gpu: dict[str, int]) -> None:
    stages = Stages(CudaGauge(torch.device("cuda", 0)))
    with stages.of("step"):
        with stages.of("teacher"):
            Event.now += 20  # milliseconds
            gpu.update(peak=700, now=100)
        Event.now += 5
    assert Event.waited == []
    costs = stages.costs()
    assert costs["teacher"]["seconds"] == pytest.approx(0.020)
    assert costs["step"]["own_seconds"] == pytest.approx(0.005)
    assert costs["teacher"]["peak_bytes"] == costs["step"]["peak_bytes"] == 700
