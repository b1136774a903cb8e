"""What the commands say to the user: errors and notices on stderr, the next command on stdout.

The library itself only logs; `showing_log` makes notices of that.
"""

import io
import logging
import os
import shlex
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

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


def open_streams() -> None:
    """Make the standard streams of a command such that no message can end it.

    A closed stream takes what is said and shows it to nobody; without it, the next file that is opened would get the
    messages. A character that the encoding of a stream lacks is shown by its number. What stderr cannot take, as where
    a log fills its disk, is left out; an error of stdout is one, since results would be lost.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number, which is the stream's
            setattr(sys, name, os.fdopen(number, "r" if number == 0 else "w", encoding="utf-8", closefd=False))
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    if isinstance(sys.stderr, io.TextIOWrapper):
        sys.stderr = io.TextIOWrapper(
            _Lossy(sys.stderr.fileno(), "w", closefd=False),
            encoding=sys.stderr.encoding,
            errors="backslashreplace",
            line_buffering=True,
            write_through=True,
        )


class _Lossy(io.FileIO):
    """A file that leaves out what cannot be written."""

    def write(self, data: Any, /) -> int:
        try:
            return super().write(data) or 0
        except OSError:
            return len(data)


def printable(text: str) -> str:
    """Text that any terminal can show: file names may hold control characters and bytes that are no UTF-8."""
    encoding = sys.stdout.encoding or "utf-8"
    text = text.encode(encoding, "replace").decode(encoding)
    return "".join(character if character.isprintable() or character == "\n" else "?" for character in text)


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
    try:
        from rich.console import Console
        from rich.text import Text

        console = Console(file=sys.stderr, highlight=False, soft_wrap=True)
        console.print(Text.assemble((f"{label}:", style), " ", printable(message)))
    except Exception:  # where memory is short, what is to be told is just that, and rich meets it in many ways
        print(f"{label}: {printable(message)}", file=sys.stderr)
