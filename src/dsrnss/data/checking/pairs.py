"""Labels without picture or mask, whatever the layout of a set: its own pairs say how names correspond."""

from collections.abc import Sequence
from pathlib import Path

from dsrnss.data.files import Entry
from dsrnss.data.originals import invalid_file


def labels_without_picture(entries: Sequence[Entry]) -> list[Path]:
    """Find labels whose picture is not there.

    The endings of a pair are what remains of both names behind their common beginning; a label of such an ending is
    looked for among the pictures, beside the pictures of the labels beside it.

    Args:
        entries: Pairs that are there.
    """
    homes: dict[Path, Path] = {}
    endings: dict[str, set[str]] = {}
    for entry in entries:
        if entry.label is not None:
            common = _common_beginning(entry.image.name, entry.label.name)
            homes[entry.label.parent] = entry.image.parent
            endings.setdefault(entry.label.name[common:], set()).add(entry.image.name[common:])
    if not homes:
        return []
    known = {entry.label for entry in entries}
    kinds = {entry.label.suffix for entry in entries if entry.label is not None}
    pictures = {home: {path.name for path in home.iterdir()} for home in set(homes.values()) if home.is_dir()}
    found = []
    first = next(iter(homes))
    top = next(one for one in (first, *first.parents) if all(home.is_relative_to(one) for home in homes))
    for path in sorted(top.rglob("*")):
        if path in known or path.suffix not in kinds or path.name.startswith("."):
            continue
        fitting = [ending for ending in endings if path.name.endswith(ending)]
        beside = pictures.get(homes.get(path.parent, path), set())
        named = {path.name.removesuffix(end) + image for end in fitting for image in endings[end]}
        if fitting and not named & beside:
            found.append(path)
    return found


def labels_without_mask(entries: Sequence[Entry]) -> list[Path]:
    """Find labels without a mask of invalid pixels in a set that has such masks.

    Args:
        entries: Pairs that are there.
    """
    labels = [entry.label for entry in entries if entry.label is not None]
    bare = [label for label in labels if invalid_file(label) is None]
    return bare if len(bare) < len(labels) else []


def _common_beginning(one: str, other: str) -> int:
    """Number of characters in which two names agree from their beginning on."""
    differing = (index for index, (a, b) in enumerate(zip(one, other, strict=False)) if a != b)
    return next(differing, min(len(one), len(other)))
