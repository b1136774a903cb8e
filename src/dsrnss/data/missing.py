"""Files that a data set misses: the check wants to hear of all of them, where a run stops at the first."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(frozen=True)
class Missing:
    """Files that are not there.

    Attributes:
        what: What kind of files, a plural.
        files: Their paths or names.
        advice: What to do.
    """

    what: str
    files: tuple[str, ...]
    advice: str


_noted: ContextVar[list[Missing] | None] = ContextVar("noted", default=None)


@contextmanager
def collect_missing() -> Iterator[list[Missing]]:
    """Inside, data sets list what they have and note here what is missing, instead of raising."""
    found: list[Missing] = []
    token = _noted.set(found)
    try:
        yield found
    finally:
        _noted.reset(token)


def note_missing(missing: Sequence[object], what: str, advice: str) -> bool:
    """Note missing files inside `collect_missing`; returns False outside of it, where it is an error."""
    noted = _noted.get()
    if noted is None:
        return False
    noted.append(Missing(what, tuple(str(file) for file in missing), advice))
    return True
