"""Where a data set lies on the disk: where it should, or so near that no other can be meant."""

import functools
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dsrnss.data.zipped import with_archives
from dsrnss.errors import DatasetNotFoundError
from dsrnss.paths import expanded

if TYPE_CHECKING:
    from dsrnss.data.files import FileDataset

Signs = tuple[tuple[str, ...], ...]
"""What a layout is known by: groups of folders, of which one must be there completely."""
STAND_IN = "cityscapes_darkzurich"
_log = logging.getLogger(__name__)


def has_layout(path: Path, signs: Signs) -> bool:
    """Whether a folder has a layout."""
    return any(all((path / sign).is_dir() for sign in group) for group in signs)


def as_seen(path: Path, signs: Signs) -> Path:
    """A folder as it is if it has a layout; else with what is in the archives that lie in it, or an archive itself."""
    return path if has_layout(path, signs) else with_archives(path)


def data_root(kind: "type[FileDataset]", root: str | Path | None = None) -> Path:
    """Where a data set lies: `root` if given, else `$DATA_DIR/<folder>`.

    What is not unpacked there is looked for in the zip archives that lie in that folder, which may be an archive
    itself. Where nothing of the set is there, the one folder near it that has the layout is taken, and told: one level
    deeper or higher, of the same name in other letters, or DATA_DIR itself.

    Args:
        kind: The class of the set.
        root: What the user gave.

    Raises:
        DatasetNotFoundError: If neither is given, the folder does not exist, or the set is elsewhere.
    """
    base = os.environ.get("DATA_DIR")
    if root is not None:
        place, why = expanded(root), "the option 'root'"
    elif base:
        place, why = expanded(base) / kind.folder, f"DATA_DIR={base}"
    else:
        raise not_found(kind, f"'$DATA_DIR/{kind.folder}', but the environment variable DATA_DIR is not set")
    place = as_seen(place, kind.signs)
    found, likely = nearest(place, kind.signs, kind.folder, may_be_above=root is None)
    if found is not None:
        return found
    if place.is_dir() and not likely:
        return place
    above = place.absolute().parent
    beside = (above, *folders_in(above), above.parent / kind.folder)
    likely = likely or [path for path in beside if has_layout(path, kind.signs)]
    state = "holds none of its folders" if place.is_dir() else "is a file" if place.exists() else "does not exist"
    raise not_found(kind, f"the folder '{place}' (from {why}), which {state}", hint(likely))


def nearest(
    place: Path, signs: Signs, name: str = "", *, may_be_above: bool = False
) -> tuple[Path | None, Sequence[Path]]:
    """Find the folder of a layout: a place itself, its archives included, else the only one near it, which is told.

    Args:
        place: Where it should be.
        signs: Of the layout.
        name: Official name of the folder, which decides between several.
        may_be_above: Whether the folder above may be meant even where the place is no part of the layout.

    Returns:
        The folder, None: there is none, or there are several; and the folders nearby that have at least a part of it.
    """
    place = as_seen(place, signs)
    if _touches(place, signs):
        return place, ()
    may_be_above = may_be_above or place.name in {sign.partition("/")[0] for group in signs for sign in group}
    likely = [path for path in _near(place, may_be_above=may_be_above) if _touches(path, signs)]
    fitting = [path for path in likely if has_layout(path, signs)]
    named = [path for path in fitting if _letters(path.name) in (_letters(place.name), _letters(name))]
    found = named if len(named) == 1 else fitting
    if len(found) != 1:
        return None, likely
    _say(f"'{place}' {'does not hold the set' if place.exists() else 'does not exist'}: '{found[0]}' is taken.")
    return found[0], likely


def hint(likely: Sequence[Path]) -> str:
    """What was probably meant, a line to be put behind a message; empty if nothing was found."""
    if len(likely) < 2:
        return "".join(f"\nDid you mean '{path}'?" for path in likely)
    named = ", ".join(f"'{path}'" for path in likely[:5])
    return f"\nIt, or parts of it, lie in {named}: bring together what belongs together, or name one of them as root."


def not_found(kind: "type[FileDataset]", looked_for: str, meant: str = "") -> DatasetNotFoundError:
    """The error for a data set that is not where it should be, with all ways out."""
    substitute = (
        f"\nNo copy at hand? `dsrnss data synthesize OUT --layout {kind.stand_in}` writes a synthetic stand-in; "
        "then use DATA_DIR=OUT."
    )
    return DatasetNotFoundError(
        f"Data set {kind.folder} not found: looked for {looked_for}.{meant}\n"
        f"Set DATA_DIR to the folder that holds '{kind.folder}', or pass the option root=/path/to/{kind.folder}."
        + (substitute if kind.stand_in else "")
    )


def _touches(path: Path, signs: Signs) -> bool:
    return any((path / sign).is_dir() for group in signs for sign in group)


def _near(place: Path, *, may_be_above: bool) -> list[Path]:
    """Folders that are easily meant: in other letters, one level deeper, one level higher."""
    place = place.absolute()
    spelt = [path for path in folders_in(place.parent) if path != place and _letters(path.name) == _letters(place.name)]
    deeper = [child for path in (place, *spelt) for child in folders_in(path)]
    near = [*spelt, *deeper, *([place.parent] if may_be_above else [])]
    return list({path.resolve(): path for path in near}.values())


def folders_in(path: Path) -> list[Path]:
    """The folders in a folder, sorted; hidden ones left out."""
    try:
        return sorted(child for child in path.iterdir() if child.is_dir() and not child.name.startswith("."))
    except OSError:
        return []


def _letters(name: str) -> str:
    """A name without what people write differently: capitals, and signs between the words."""
    return "".join(filter(str.isalnum, name.lower()))


@functools.cache  # every split of a set asks
def _say(message: str) -> None:
    _log.info(message)
