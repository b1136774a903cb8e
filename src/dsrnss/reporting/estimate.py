"""When will a job of several phases be done? Weights say what to expect, measured rates correct it."""

import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from dsrnss.errors import ConfigError, did_you_mean

_WINDOW = 45.0
"""Seconds over which the rate of the running phase is measured."""
_TRUST_AFTER = 3.0
"""Seconds of a phase before its own rate counts for anything; the first steps are slow."""


@dataclass
class Phase:
    """One stretch of the job.

    Args:
        name: What is going on, in a few words.
        weight: Seconds expected; only the proportions matter once the first phase is under way.
    """

    name: str
    weight: float
    total: float = 1.0
    done: float = 0.0
    started: float | None = None
    ended: float | None = None
    samples: deque[tuple[float, float]] = field(default_factory=deque)

    @property
    def fraction(self) -> float:
        """Part of the phase that is done, in [0, 1]."""
        if self.ended is not None:
            return 1.0
        return min(1.0, self.done / self.total) if self.total > 0 else 0.0

    def rate(self) -> float:
        """Units a second over the last while; 0 before it can be told."""
        if len(self.samples) < 2:
            return 0.0
        (then, before), (now, after) = self.samples[0], self.samples[-1]
        return (after - before) / (now - then) if now - then >= _TRUST_AFTER else 0.0


class FinishEstimate:
    """Follows the phases of a job and estimates how long the rest will take.

    Args:
        phases: Phase -> weight, in order; weights are the seconds that each is expected to take.
        clock: Seconds of a clock that never goes back.

    Raises:
        ConfigError: If there is no phase, or a weight is not positive.
    """

    def __init__(self, phases: Mapping[str, float], clock: Callable[[], float] = time.monotonic) -> None:
        if not phases or min(phases.values()) <= 0:
            raise ConfigError(f"A job has at least one phase, and every weight is positive; got {dict(phases)}.")
        self.phases = {name: Phase(name, float(weight)) for name, weight in phases.items()}
        self.current: Phase | None = None
        self._clock = clock
        self._begin = clock()
        self._end: float | None = None

    def start(self, name: str, total: float) -> Phase:
        """Begin a phase of `total` units; the one before, if still running, has ended.

        Raises:
            ConfigError: If there is no such phase.
        """
        if name not in self.phases:
            raise ConfigError(f"Unknown phase '{name}'.{did_you_mean(name, self.phases)}")
        self.finish()
        now = self._clock()
        phase = Phase(name, self.phases[name].weight, float(total), started=now, samples=deque([(now, 0.0)]))
        self.phases[name] = self.current = phase
        return phase

    def advance(self, units: float = 1) -> None:
        """Count units of the running phase as done; without one nothing happens."""
        phase = self.current
        if phase is None:
            return
        phase.done += units
        now = self._clock()
        phase.samples.append((now, phase.done))
        while len(phase.samples) > 2 and now - phase.samples[1][0] > _WINDOW:
            phase.samples.popleft()

    def finish(self) -> None:
        """End the running phase, if there is one."""
        if self.current is not None:
            self.current.ended = self._clock()
            self.current = None

    def stop(self) -> None:
        """Stop the clock; a phase still running stays as far as it got."""
        self._end = self._clock()

    def elapsed(self) -> float:
        """Seconds since the job began."""
        return self._now() - self._begin

    @property
    def over(self) -> bool:
        """Whether every phase has ended."""
        return all(phase.ended is not None for phase in self.phases.values())

    def seconds(self) -> dict[str, float]:
        """Phase -> wall-clock seconds so far, for the phases that have begun."""
        now = self._now()
        return {
            name: (phase.ended if phase.ended is not None else now) - phase.started
            for name, phase in self.phases.items()
            if phase.started is not None
        }

    def remaining(self) -> float:
        """Seconds that the rest of the job will take, as far as can be told."""
        pace = self._pace()
        waiting = sum(phase.weight for phase in self.phases.values() if phase.started is None)
        return waiting * pace + (self._rest_of(self.current, pace) if self.current else 0.0)

    def fraction(self) -> float:
        """Part of the job that is done, by time, in [0, 1]."""
        spent = sum(self.seconds().values())
        rest = self.remaining()
        return spent / (spent + rest) if spent + rest > 0 else 0.0

    def _now(self) -> float:
        return self._clock() if self._end is None else self._end

    def _pace(self) -> float:
        """How much slower than its weights the job has been; 1 before anything was measured."""
        taken = self.seconds()
        spent = expected = 0.0
        for phase in self.phases.values():
            measured = phase.fraction > 0 and taken.get(phase.name, 0.0) >= _TRUST_AFTER
            if measured or phase.ended is not None:
                spent += taken[phase.name]
                expected += phase.weight * phase.fraction
        return spent / expected if spent > 0 and expected > 0 else 1.0

    def _rest_of(self, phase: Phase, pace: float) -> float:
        rate = phase.rate()
        left = (phase.total - phase.done) / rate if rate > 0 else phase.weight * pace * (1 - phase.fraction)
        since = self._now() - phase.samples[-1][0]
        return max(0.0, left - since)
