"""One thing that was looked at, and whether it is as it should be."""

import getpass
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

State = Literal["fine", "note", "missing"]
"""`note`: works, but perhaps not as wanted; `missing`: some command will not work."""


@dataclass(frozen=True)
class Finding:
    """One line of a diagnosis.

    Attributes:
        name: What was looked at.
        value: What was found.
        state: Whether that is well.
        advice: What to do about it; empty: nothing.
    """

    name: str
    value: str
    state: State = "fine"
    advice: str = ""

    def impersonal(self) -> dict[str, str]:
        """As plain values, without the home folder and the name of the user."""
        return {name: without_person(value) for name, value in asdict(self).items()}


def without_person(text: str) -> str:
    """A text in which the home folder is `~` and the user's name, as a part of a path, is `USER`."""
    home, user = str(Path.home()), _user()
    if home != "/":
        text = re.sub(rf"{re.escape(home)}(?![\w.-])", "~", text)
    return re.sub(rf"(?<![\w.-]){re.escape(user)}(?![\w-])", "USER", text) if user else text


def _user() -> str:
    """Of this process; root is nobody."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError, ImportError):  # a number without a name, as in containers
        return ""
    return "" if user == "root" else user


def gigabytes(size: float) -> str:
    """Bytes as people say them: `3.4 GB`."""
    return f"{size / 1e9:,.1f} GB" if size >= 1e8 else f"{size / 1e6:,.0f} MB"
