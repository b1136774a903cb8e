"""What the commands say to the user: errors and notices on stderr, the next command on stdout.

The library itself only logs; `showing_log` makes notices of that.
"""

import logging
import shlex
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

_LIBRARY = logging.getLogger("dsrnss")


def error(message: str) -> None:
    """Print one message in red, behind 'error:', on stderr."""
    _say("error", "bold red", message)


def notice(message: str) -> None:
    """Print one message behind 'note:' on stderr."""
    _say("note", "yellow", message)


@contextmanager
def showing_log() -> Iterator[None]:
    """Inside, what the library logs from INFO on is shown on stderr, behind 'note:' or 'warning:'."""
    if any(isinstance(handler, _Notices) for handler in _LIBRARY.handlers):
        yield
        return
    handler, level = _Notices(), _LIBRARY.level
    _LIBRARY.addHandler(handler)
    _LIBRARY.setLevel(logging.INFO)
    try:
        yield
    finally:
        _LIBRARY.removeHandler(handler)
        _LIBRARY.setLevel(level)


class _Notices(logging.Handler):
    """Prints records as notices on what is stderr at that moment."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print one record."""
        try:
            _say("warning" if record.levelno >= logging.WARNING else "note", "yellow", record.getMessage())
        except Exception:
            self.handleError(record)


def next_step(*commands: Iterable[str | object], what: str = "Next") -> None:
    """Print the commands to type next.

    Args:
        commands: Each a sequence of words, quoted here where the shell needs it.
        what: The word in front.
    """
    lines = [shlex.join(str(word) for word in command) for command in commands]
    print(f"\n{what}: " + ("\n" + " " * (len(what) + 2)).join(lines), flush=True)


def counted(number: int, noun: str) -> str:
    """A number with its noun, such as `1 fault` or `1,200 faults`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _say(label: str, style: str, message: str) -> None:
    # rich costs more time to import than the whole `dsrnss --help`, so only where something is said
    from rich.console import Console
    from rich.text import Text

    console = Console(file=sys.stderr, highlight=False, soft_wrap=True)
    console.print(Text.assemble((f"{label}:", style), " ", message))
