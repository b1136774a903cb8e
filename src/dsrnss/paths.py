"""One rule for `~` in paths, wherever a user writes one: option, YAML, list of pairs or environment."""

import os
from pathlib import Path


def expanded(path: str | Path) -> Path:
    """A path with `~` for the home folder, as a shell expands it.

    Where there is no such user, as for a file `~draft.png`, or no home folder, the path stays as it is.
    """
    return Path(os.path.expanduser(path))  # noqa: PTH111 (Path.expanduser raises where there is no such user)
