"""A progress display for jobs of several phases, with a finish estimate; plain lines where there is no terminal."""

import time
from collections.abc import Callable, Mapping
from types import TracebackType

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from dsrnss.reporting.estimate import FinishEstimate, Phase


def short_duration(seconds: float) -> str:
    """A duration as on a stop-watch: "0:07", "12:30", "1:02:05"."""
    whole = max(0, round(seconds))
    hours, minutes = whole // 3600, whole % 3600 // 60
    return f"{hours}:{minutes:02d}:{whole % 60:02d}" if hours else f"{minutes}:{whole % 60:02d}"


def rough_duration(seconds: float) -> str:
    """A duration as an estimate deserves: "a few seconds", "about 40 s", "about 6 min", "about 1 h 20 min"."""
    if seconds < 5:
        return "a few seconds"
    if seconds < 55:
        return f"about {round(seconds / 5) * 5} s"
    if seconds < 570:
        return f"about {max(1, round(seconds / 30) / 2):g} min"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"about {minutes} min"
    minutes = round(minutes / 5) * 5
    return f"about {minutes // 60} h {minutes % 60:02d} min"


class DemoProgress:
    """Shows how far a job is and when it will be done.

    In a terminal all phases stand below each other with a bar and the newest figures; elsewhere (a file, a CI log) a
    line of plain text is printed when a phase begins or ends and every `line_every` seconds. It is a context manager
    whose methods may be called from anywhere, a Lightning callback included; outside of ``with`` they only count.

    Args:
        phases: Phase -> seconds it is expected to take, in order.
        console: Where to show it; standard output by default.
        live: Whether to draw bars; None asks the console.
        line_every: Seconds between plain lines.
        clock: Seconds of a clock that never goes back.

    Raises:
        ConfigError: If there is no phase, or a weight is not positive.

    Example:
        >>> with DemoProgress({"train": 60, "evaluate": 10}) as progress:
        ...     progress.start("train", total=100)
        ...     progress.advance(loss=1.25)
    """

    def __init__(
        self,
        phases: Mapping[str, float],
        *,
        console: Console | None = None,
        live: bool | None = None,
        line_every: float = 15.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.console = console or Console()
        self.estimate = FinishEstimate(phases, clock)
        self._bars = live if live is not None else self.console.is_terminal and not self.console.is_dumb_terminal
        self._line_every, self._clock = line_every, clock
        self._last_line = clock()
        self._figures: dict[str, str] = {}
        self._live: Live | None = None
        self._open = False

    def __enter__(self) -> "DemoProgress":
        """Show the display."""
        self._open = True
        if self._bars:
            self._live = Live(
                console=self.console, get_renderable=self.render, refresh_per_second=4, vertical_overflow="visible"
            )
            self._live.start(refresh=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the running phase and leave the last state on the screen; after an error the phase stays unfinished."""
        if kind is None:
            self.finish()
        self.estimate.stop()
        self._open = False
        if self._live is not None:
            self._live.stop()
            self._live = None

    @property
    def seconds(self) -> dict[str, float]:
        """Phase -> wall-clock seconds so far, for the phases that have begun; what `DemoReport` wants."""
        return self.estimate.seconds()

    def start(self, name: str, total: float) -> Phase:
        """Begin a phase of `total` units; the one before, if still running, has ended.

        Raises:
            ConfigError: If there is no such phase.
        """
        self.finish()
        self._figures = {}
        phase = self.estimate.start(name, total)
        self._line(f"{name}: started")
        return phase

    def advance(self, units: float = 1, **figures: float | str) -> None:
        """Count units of the running phase as done.

        Args:
            units: How many.
            figures: Newest numbers to show beside the bar, such as ``loss=1.25``; underscores are shown as blanks.
        """
        self.estimate.advance(units)
        for name, value in figures.items():
            self._figures[name.replace("_", " ")] = value if isinstance(value, str) else f"{value:.3g}"
        if self.estimate.current is not None and self._clock() - self._last_line >= self._line_every:
            self._line(self._status(self.estimate.current))

    def finish(self) -> None:
        """End the running phase, if there is one."""
        phase = self.estimate.current
        if phase is None:
            return
        self.estimate.finish()
        self._line(f"{phase.name}: done in {short_duration(self.seconds[phase.name])}{self._told()}")

    def log(self, message: str) -> None:
        """Print a line above the bars."""
        self.console.print(message, highlight=False)

    def render(self) -> Group:
        """The display as it stands, for a terminal."""
        table = Table.grid(padding=(0, 1))
        taken = self.seconds
        for phase in self.estimate.phases.values():
            running = phase is self.estimate.current
            style = "" if running else "dim"
            bar = ProgressBar(total=1.0, completed=phase.fraction, width=self._bar_width())
            table.add_row(
                self._mark(phase),
                Text(phase.name, "bold" if running else style, no_wrap=True),
                bar if phase.started is not None else "",
                Text(short_duration(taken[phase.name]) if phase.name in taken else "", style, justify="right"),
                Text(self._detail(phase), style, no_wrap=True, overflow="ellipsis") if running else "",
            )
        return Group(table, self._footer())

    def _bar_width(self) -> int:
        return max(8, min(28, self.console.width - 56))

    def _mark(self, phase: Phase) -> Text:
        plain = self.console.options.ascii_only
        if phase is self.estimate.current and not self._open:
            return Text("x" if plain else "✗", "red")
        if phase is self.estimate.current:
            return Text(">" if plain else "▸", "bold cyan")
        if phase.ended is not None:
            return Text("+" if plain else "✓", "green")
        return Text(" ")

    def _footer(self) -> Text:
        elapsed, plain = short_duration(self.estimate.elapsed()), self.console.options.ascii_only
        if not self._open:
            return Text(f"  {elapsed} altogether", "dim")
        parts = (f"{100 * self.estimate.fraction():.0f} %", f"{elapsed} so far", self._left())
        return Text("  " + (", " if plain else " · ").join(parts), "bold")

    def _left(self) -> str:
        return "done" if self.estimate.over else f"{rough_duration(self.estimate.remaining())} left"

    def _detail(self, phase: Phase) -> str:
        count = f"{phase.done:g}/{phase.total:g}" if phase.total != 1 else ""
        return count + self._told(", " if count else "")

    def _told(self, before: str = ", ") -> str:
        told = ", ".join(f"{name} {value}" for name, value in self._figures.items())
        return before + told if told else ""

    def _status(self, phase: Phase) -> str:
        return f"{phase.name}: {self._detail(phase)}"

    def _line(self, text: str) -> None:
        """Print a plain line with the state of the whole job, if there are no bars."""
        if self._bars or not self._open:
            return
        self._last_line = self._clock()
        head = f"[{100 * self.estimate.fraction():3.0f} %, {short_duration(self.estimate.elapsed())}, {self._left()}]"
        self.console.print(f"{head} {text}", markup=False, highlight=False, soft_wrap=True)
