"""How far a job is and when it will be done: bars in a terminal, elsewhere a line of plain text now and then."""

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Task

LINE_SECONDS = 30.0
"""Seconds between two lines of plain text."""
_WINDOW = 120.0
"""Seconds over which a rate is measured: enough for a few steps of a slow training, too few to remember its start."""
_PRIOR = 5.0
"""What was foreseen counts as much as so many seconds measured, so that a job's first moments promise nothing wild."""


class ProgressDisplay:
    """Bars with count, rate and time left in a terminal; elsewhere lines with the same, however wide.

    Bars nest: `advance` and `end` act on the one begun last. A job of several phases has a bar for the whole, and its
    time left is that of the whole job; a phase ends when the next begins.

    Args:
        phases: Phase -> seconds that it is expected to take.
        console: Where to show it; standard error by default.
        unit: `bytes` where sizes are counted.
        clock: Seconds of a clock that never goes back.

    Example:
        >>> with ProgressDisplay({"train": 60, "evaluate": 10}) as display:
        ...     display.begin("train", 100)
        ...     display.advance(loss=1.25)
    """

    def __init__(
        self,
        phases: Mapping[str, float] | None = None,
        *,
        console: "Console | None" = None,
        unit: str = "",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        # rich costs more time to import than the whole `dsrnss --help`
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        self.console = console or Console(stderr=True)
        self._drawn = self.console.is_interactive
        self._phases, self._unit, self._clock = dict(phases or {}), unit, clock
        self._bars = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(20),
            TextColumn("{task.fields[count]}", markup=False),
            TimeElapsedColumn(),
            TextColumn("{task.fields[told]}", markup=False),
            console=self.console,
            transient=not phases,
            disable=not self._drawn,
            speed_estimate_period=_WINDOW,
            get_time=clock,
        )
        self._whole = self._add("altogether", sum(self._phases.values())) if phases else None
        self._begun: dict[str, Task] = {}
        self._open: list[Task] = []
        self._start = self._told = clock()

    def __enter__(self) -> "ProgressDisplay":
        """Show the bars."""
        if self._drawn:
            self._bars.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Leave the terminal as it was; the last phase has ended, unless there was an error."""
        if kind is None and self._phases:
            self.end()
        for task in filter(None, (*self._open, self._whole)):
            self._bars.stop_task(task.id)
        if self._drawn:
            self._bars.stop()

    @property
    def seconds(self) -> dict[str, float]:
        """Seconds that each bar has taken so far."""
        return {name: task.elapsed or 0.0 for name, task in self._begun.items()}

    def begin(self, name: str, total: float | None, completed: int = 0) -> None:
        """Begin a bar.

        Args:
            name: What is done, in a few words.
            total: Units in all; None where there is no end.
            completed: Units that were done before.
        """
        if self._phases:
            self.end()
        self._begun[name] = self._add(name, total, completed)
        self._open.append(self._begun[name])
        if self._phases:
            self._line(f"{name}: started")

    def advance(self, units: int = 1, **figures: float | str) -> None:
        """Count units as done.

        Args:
            units: How many.
            figures: Newest numbers to show, such as ``loss=1.25``; underscores are shown as blanks.
        """
        self.reach(int(self._open[-1].completed) + units, figures=figures)

    def reach(self, completed: int, total: int | None = None, figures: Mapping[str, float | str] | None = None) -> None:
        """Say how many units are done, how many there are if that was not known, and the newest numbers."""
        task = self._open[-1]
        self._bars.update(task.id, completed=completed, total=total)
        words = {key.replace("_", " "): v if isinstance(v, str) else f"{v:.4g}" for key, v in (figures or {}).items()}
        task.fields["figures"] = _joined(*map(" ".join, words.items()))
        self._describe(task)
        if self._clock() - self._told >= LINE_SECONDS:
            self._line(f"{task.description}: {task.fields['count']}", self._detail(task))

    def end(self, *, quiet: bool = False) -> None:
        """End the bar begun last, if there is one; a quiet end is not worth a line of text."""
        if not self._open:
            return
        task = self._open[-1]
        self._bars.stop_task(task.id)
        if self._phases:
            self._bars.update(task.id, completed=task.total)
            self._describe(task)
        if not quiet:
            took = f"{task.description}: {task.fields['count']} done in {_watch(task.elapsed or 0)}"
            self._line(took, task.fields["figures"])
        self._open.pop()
        if not self._phases:
            self._bars.remove_task(task.id)

    def _add(self, name: str, total: float | None, completed: int = 0) -> "Task":
        self._bars.add_task(name, total=total, completed=completed, count="", told="", figures="")
        return self._bars.tasks[-1]

    def _describe(self, task: "Task") -> None:
        """Put the newest state behind the bars."""
        total = "" if task.total is None else f"/{self._amount(task.total)}"
        task.fields["count"] = f"{self._amount(task.completed)}{total}"
        if self._whole is None:
            task.fields["told"] = _joined(rough_duration(task.time_remaining), self._detail(task))
        else:
            task.fields["told"] = self._detail(task)
            self._bars.update(self._whole.id, completed=sum(self._foreseen().values()))
            self._whole.fields.update(count=f"{self._whole.percentage:.0f} %", told=rough_duration(self._left()))

    def _detail(self, task: "Task") -> str:
        rate = f"{self._amount(task.speed)}/s" if task.speed else ""
        return _joined(rate, task.fields["figures"])

    def _amount(self, number: float) -> str:
        from rich.filesize import decimal

        if self._unit == "bytes":
            return decimal(int(number))
        return f"{number:.2g}" if number < 10 else f"{number:.0f}"

    def _foreseen(self) -> dict[str, float]:
        """Phase -> the part of its expected seconds that is done."""
        return {name: self._phases[name] * task.percentage / 100 for name, task in self._begun.items()}

    def _left(self) -> float | None:
        """Seconds to go, None if it cannot be said: the running bar at its rate, phases to come at the pace so far."""
        running = self._open[-1]
        if self._whole is None:
            return self._open[0].time_remaining
        done = self._foreseen()
        pace = (sum(self.seconds.values()) + _PRIOR) / (sum(done.values()) + _PRIOR)
        rest = {name: pace * (seconds - done.get(name, 0)) for name, seconds in self._phases.items()}
        if running.time_remaining is not None and (running.elapsed or 0) > _PRIOR:
            rest[running.description] = running.time_remaining
        return sum(rest.values())

    def _line(self, *text: str) -> None:
        """Print a line with the state of the whole job, if there are no bars."""
        if self._drawn:
            return
        self._told = self._clock()
        whole = self._whole or self._open[0]
        share = f"{whole.percentage:3.0f} %" if whole.total else ""
        head = _joined(share, _watch(self._told - self._start), rough_duration(self._left()))
        self.console.print(f"[{head}] {_joined(*text)}", markup=False, highlight=False, soft_wrap=True)


@contextlib.contextmanager
def counting(what: str, unit: str = "") -> Iterator[Callable[[int, int | None], None]]:
    """A display for a function that reports its progress.

    Args:
        what: What is counted.
        unit: `bytes` for sizes.

    Yields:
        To be called with the units done and the units in all, None where that is not known.
    """
    with ProgressDisplay(unit=unit) as display:
        display.begin(what, None)
        yield display.reach


def rough_duration(seconds: float | None) -> str:
    """What is left, as an estimate deserves: "about 6 min left"; nothing if it is not known, or nothing is left."""
    if seconds is None or seconds < 0.5:
        return ""
    if seconds < 5:
        return "a few seconds left"
    if seconds < 55:
        return f"about {round(seconds / 5) * 5} s left"
    if seconds < 570:
        return f"about {round(seconds / 30) / 2:g} min left"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"about {hours} h {minutes:02d} min left" if hours else f"about {minutes} min left"


def _watch(seconds: float) -> str:
    """A duration as on a stop-watch: "0:12:30"."""
    return str(timedelta(seconds=round(seconds)))


def _joined(*parts: str) -> str:
    return ", ".join(filter(None, parts))
