"""What the commands say to the user: errors and notices on stderr, the next command on stdout."""

import shlex
import sys
from collections.abc import Iterable


def error(message: str) -> None:
    """Print one message in red, behind 'error:', on stderr."""
    _say("error", "bold red", message)


def notice(message: str) -> None:
    """Print one message behind 'note:' on stderr."""
    _say("note", "yellow", message)


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
