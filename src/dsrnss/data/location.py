"""Where a data set lies on the disk."""

import os
from pathlib import Path

from dsrnss.errors import DatasetNotFoundError

Signs = tuple[tuple[str, ...], ...]
"""What a layout is known by: groups of folders, of which one must be there completely."""
STAND_IN = "cityscapes_darkzurich"


def has_layout(path: Path, signs: Signs) -> bool:
    """Whether a folder has a layout."""
    return any(all((path / sign).is_dir() for sign in group) for group in signs)


def data_root(root: str | Path | None, folder: str, stand_in: str | None = STAND_IN) -> Path:
    """Where a data set lies: `root` if given, else `$DATA_DIR/<folder>`.

    Args:
        root: What the user gave.
        folder: Official name of its folder.
        stand_in: Layout of `dsrnss data synthesize` that has a stand-in for it, None: there is none.

    Raises:
        DatasetNotFoundError: If neither is given, or the folder does not exist.
    """
    base = os.environ.get("DATA_DIR")
    if root is not None:
        path, why = Path(root).expanduser(), "the option 'root'"
    elif base:
        path, why = Path(base).expanduser() / folder, f"DATA_DIR={base}"
    else:
        raise not_found(folder, f"'$DATA_DIR/{folder}', but the environment variable DATA_DIR is not set", stand_in)
    if not path.is_dir():
        state = "is a file" if path.exists() else "does not exist"
        raise not_found(folder, f"the folder '{path}' (from {why}), which {state}", stand_in)
    return path


def not_found(folder: str, looked_for: str, stand_in: str | None = STAND_IN) -> DatasetNotFoundError:
    """The error for a data set that is not where it should be, with all ways out."""
    substitute = (
        f"\nNo copy at hand? `dsrnss data synthesize OUT --layout {stand_in}` writes a synthetic stand-in; "
        "then use DATA_DIR=OUT."
    )
    return DatasetNotFoundError(
        f"Data set {folder} not found: looked for {looked_for}.\n"
        f"Set DATA_DIR to the folder that holds '{folder}', or pass the option root=/path/to/{folder}."
        + (substitute if stand_in else "")
    )
