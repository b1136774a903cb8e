"""One rule for `~` in paths, wherever a user writes one (option, YAML, list of pairs, environment), and the cache."""

import os
from pathlib import Path


def expanded(path: str | Path) -> Path:
    """A path with `~` for the home folder, as a shell expands it.

    Where there is no such user, as for a file `~draft.png`, or no home folder, the path stays as it is.
    """
    if isinstance(path, Path) and not str(path).startswith("~"):  # it may be more than its name
        return path
    return Path(os.path.expanduser(path))  # noqa: PTH111 (Path.expanduser raises where there is no such user)


def cache_folder() -> Path:
    """Where what can be had again is kept: $DSRNSS_CACHE, or `dsrnss` in $XDG_CACHE_HOME or ~/.cache."""
    if own := os.environ.get("DSRNSS_CACHE"):
        return expanded(own)
    return expanded(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "dsrnss"
