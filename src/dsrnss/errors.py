"""The exceptions a user can meet.

Every message names the thing that is wrong, says what was expected and what to do. The command line prints the message
alone; ``--debug`` shows the traceback.
"""

import difflib
from collections.abc import Iterable


class DsrnssError(Exception):
    """Base of every error that a user can cause and mend."""


class ConfigError(DsrnssError):
    """An option, a configuration key or its value is wrong."""


class UsageError(ConfigError):
    """The command line, or the experiment file that it names, is wrong; the exit code is 2."""


class DataError(DsrnssError):
    """A data set, or one of its files, is missing or not what it should be."""


class DatasetNotFoundError(DataError):
    """A data set is not where it was looked for."""


class ImageError(DsrnssError):
    """A picture cannot be read."""


class OutputError(DsrnssError):
    """A file or folder cannot be written."""


class DownloadError(DsrnssError):
    """A file cannot be downloaded."""


class CheckpointError(DsrnssError):
    """A file of weights is missing, unreadable or does not fit the network."""


class TrainingError(DsrnssError):
    """A training run cannot go on, for example because its loss is not finite."""


class RunError(DsrnssError):
    """What a run has left is not there, or not what a run leaves."""


class HardwareError(DsrnssError):
    """The asked-for device does not exist on this machine."""


class RefusedError(DsrnssError):
    """A server does not answer a request: it is too large or too slow, of the wrong kind, or too many wait already.

    Args:
        message: Why, and what to do.
        status: Status code of HTTP.
    """

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


def check_range(name: str, value: float, least: float, most: float = float("inf")) -> None:
    """Refuse a number outside its range.

    Raises:
        ConfigError: Naming it.
    """
    if not least <= value <= most:
        limits = f"from {least:g} to {most:g}" if most != float("inf") else f"of {least:g} or more"
        raise ConfigError(f"{name}: expected a number {limits}, not {value:g}.")


def did_you_mean(word: str, options: Iterable[str], *, show_all: bool = True) -> str:
    """Say what a mistyped word may have meant.

    Args:
        word: What the user wrote.
        options: What is accepted.
        show_all: Whether to list all options behind the guess.

    Returns:
        A sentence or two, starting with a blank, to be put behind "unknown NAME 'word'.".
    """
    known = list(options)
    begun = [option for option in known if len(word) > 2 and option.startswith(word)]
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.6) or begun
    guess = f" Did you mean '{close[0]}'?" if close else ""
    return guess + (f" Accepted: {', '.join(known)}." if show_all else "")
