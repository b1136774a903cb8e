"""Which class of one label space becomes which class of another, by their names."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from dsrnss.errors import ConfigError, did_you_mean
from dsrnss.labels import IGNORE_INDEX, LabelSpace

SYNONYMS: tuple[tuple[str, ...], ...] = (
    ("sidewalk", "pavement", "footpath"),
    ("vegetation", "tree", "trees"),
    ("traffic sign", "sign", "sign symbol", "signsymbol"),
    ("traffic light", "traffic signal"),
    ("person", "pedestrian"),
    ("rider", "bicyclist", "cyclist"),
    ("pole", "column pole"),
    ("bicycle", "bike"),
    ("motorcycle", "motorbike"),
)
"""Names of one class in Cityscapes, CamVid and others. A truck that would be a car elsewhere is left to `names`."""

Names = Mapping[str, str | None]
"""Class of a source -> class that it becomes, None: ignored."""


@dataclass(frozen=True)
class ClassMapping:
    """What the classes of one label space become in another.

    Attributes:
        source: Where labels come from.
        target: What they become.
        ids: Train id in the target of each class of the source, None: ignored.
    """

    source: LabelSpace
    target: LabelSpace
    ids: tuple[int | None, ...]

    @cached_property
    def table(self) -> npt.NDArray[np.uint8]:
        """(256,) train id of the source -> train id of the target, 255 where there is none."""
        table = np.full(256, IGNORE_INDEX, np.uint8)
        for old, new in enumerate(self.ids):
            table[old] = IGNORE_INDEX if new is None else new
        return table

    @property
    def identical(self) -> bool:
        """Whether every label stays what it is."""
        return self.ids == tuple(range(self.source.num_classes))

    def becoming(self, target_id: int | None) -> list[str]:
        """Names of the classes that become a class of the target, None: that are ignored."""
        return [name for name, new in zip(self.source.names, self.ids, strict=True) if new == target_id]


def map_classes(source: LabelSpace, target: LabelSpace, names: Names | None = None) -> ClassMapping:
    """Map label spaces by name: first what `names` says, then equal names, then `SYNONYMS`.

    Case does not count, nor whether words are joined by blanks, `_` or `-`. What has no counterpart is ignored.

    Args:
        source: Where labels come from.
        target: What they become.
        names: Class of the source -> class of the target, None: ignored. Classes that the source lacks do not matter.

    Raises:
        ConfigError: If no class has a counterpart (both lists are named), a name of `names` is no class of the target,
            or a class has synonyms in two classes of it.
    """
    known = {_plain(name): index for index, name in enumerate(target.names)}
    said = {_plain(name): new for name, new in (names or {}).items()}
    for name, new in (names or {}).items():
        if new is not None and _plain(new) not in known:
            raise ConfigError(f"names: '{name}' cannot become '{new}'.{did_you_mean(new, target.names)}")
    ids = tuple(_counterpart(name, said, known, target) for name in source.names)
    if all(new is None for new in ids):
        raise ConfigError(
            f"No class has a counterpart: the set has {', '.join(source.names)}; wanted are {', '.join(target.names)}. "
            "Say by names what becomes what, for example names: "
            f"{{{source.names[0]}: {target.names[0]}}}."
        )
    return ClassMapping(source, target, ids)


def _counterpart(name: str, said: Mapping[str, str | None], known: Mapping[str, int], target: LabelSpace) -> int | None:
    plain = _plain(name)
    if plain in said:
        new = said[plain]
        return None if new is None else known[_plain(new)]
    if plain in known:
        return known[plain]
    found = {known[other] for group in SYNONYMS if plain in group for other in group if other in known}
    if len(found) > 1:
        choices = " or ".join(f"'{target.names[index]}'" for index in sorted(found))
        raise ConfigError(f"The class '{name}' may be {choices}: say which by names, null ignores it.")
    return next(iter(found), None)


def _plain(name: str) -> str:
    return " ".join(name.casefold().replace("_", " ").replace("-", " ").split())


def mapping_table(mappings: Sequence[tuple[str, ClassMapping]]) -> str:
    """A table in words: a row for each class of the target, a column for what becomes it in each set.

    Args:
        mappings: Name of a set, and its mapping; all have one target.
    """
    target = mappings[0][1].target
    rows = [["class", *(name for name, _ in mappings)]]
    for index, name in [*enumerate(target.names), (None, "(ignored)")]:
        rows.append([name, *(", ".join(mapping.becoming(index)) or "-" for _, mapping in mappings)])
    widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    lacking = [name for k, name in enumerate(target.names) if all(k not in mapping.ids for _, mapping in mappings)]
    return "\n".join([*lines, *([f"In no set: {', '.join(lacking)}."] if lacking else [])])
