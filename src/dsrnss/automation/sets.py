"""What is meant by DAY and NIGHT: a folder of one's own, a known data set, or SynthNight."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import dsrnss.data
from dsrnss.automation.dark_skies import dark_skies
from dsrnss.data.base import SegmentationDataset
from dsrnss.data.class_mapping import map_classes
from dsrnss.data.location import has_layout
from dsrnss.data.sets import known_sets
from dsrnss.data.sets.folder import by_stem
from dsrnss.errors import ConfigError, DatasetNotFoundError, UsageError, did_you_mean
from dsrnss.labels import CITYSCAPES
from dsrnss.paths import expanded

SYNTHNIGHT = "synthnight"
ALONE = "none"
"""As the word for a further set: there is none."""
_FEW = 1000
"""Labelled pictures up to which SynthNight supports them."""
_PARTS = {"train", "val", "test"}


@dataclass(frozen=True)
class SetChoice:
    """A data set, as an experiment file names it.

    Args:
        kind: Name of its class in `dsrnss.data`.
        arguments: Of its constructor, plain values.
    """

    kind: str
    arguments: Mapping[str, Any] = field(default_factory=dict)

    def node(self) -> dict[str, Any]:
        """What stands in the experiment file."""
        return {"class_path": f"dsrnss.data.{self.kind}", "init_args": dict(self.arguments)}

    def build(self) -> SegmentationDataset:
        """The data set itself; the disk is not looked at."""
        dataset: SegmentationDataset = getattr(dsrnss.data, self.kind)(**self.arguments)
        return dataset

    def having(self, **arguments: Any) -> "SetChoice":
        """The same with further arguments; those that are None are left out."""
        given = {key: value for key, value in arguments.items() if value is not None}
        return replace(self, arguments={**self.arguments, **given})

    @property
    def finest(self) -> int | None:
        """Shorter side beyond which pictures have no more detail; None: as many pixels as they have."""
        return 256 if self.kind == "SynthNight" else None

    def of_side(self, side: int) -> "SetChoice":
        """The same with pictures of that shorter side, 0: as they are; scenes are drawn twice as wide as high."""
        if side and self.kind == "SynthNight":
            return self.having(size=[side, 2 * side])
        return self.having(size=side or None)


@dataclass(frozen=True)
class JoinedChoice(SetChoice):
    """Several labelled sets, whose classes become those of the first one.

    Args:
        members: The sets.
        weights: How much is drawn of each.
    """

    kind: str = "MultiSource"
    members: tuple[SetChoice, ...] = ()
    weights: tuple[float, ...] = ()

    def node(self) -> dict[str, Any]:
        """What stands in the experiment file."""
        sets = [member.node() for member in self.members]
        return {"class_path": "dsrnss.data.MultiSource", "init_args": {"sets": sets, "weights": list(self.weights)}}

    def build(self) -> SegmentationDataset:
        """The data set itself; the disk is not looked at."""
        return dsrnss.data.MultiSource([member.build() for member in self.members], list(self.weights))

    def of_side(self, side: int) -> SetChoice:
        """The same with pictures of that shorter side."""
        return replace(self, members=tuple(member.of_side(side) for member in self.members))


def supports(day: SetChoice, night: SetChoice) -> bool:
    """Whether SynthNight's scenes should be learned from as well: where labelled pictures are few, and the skies dark.

    A network that has only seen day takes a black sky for something else; scenes that show one cure it. Only beside a
    folder of one's own, whose classes have a sky and a road by name.

    Args:
        day: The labelled set.
        night: The set to adapt to.
    """
    if day.kind != "Folder" or len(dataset := day.build()) > _FEW:
        return False
    try:
        mapping = map_classes(CITYSCAPES, dataset.label_space)
    except ConfigError:  # nothing in common, or a name may mean several of their classes
        return False
    shared = (mapping.ids[CITYSCAPES.index(name)] is not None for name in ("sky", "road"))
    return all(shared) and dark_skies(night.build()) > 0.5


def joined(day: SetChoice, more: Sequence[str]) -> SetChoice:
    """The labelled set, and others beside it.

    Args:
        day: The set whose classes are learned.
        more: Each the word for a set, perhaps with `=WEIGHT`: how much is drawn of it for each picture of `day`.

    Raises:
        UsageError: If a word means no set, or a weight is no number above 0.
        ConfigError: If a set has no class in common with `day`.
    """
    if not more:
        return day
    members, weights = [day], [1.0]
    for word in more:
        name, _, weight = word.rpartition("=") if "=" in word else (word, "", "1")
        try:
            weights.append(float(weight))
        except ValueError:
            weights.append(0.0)
        if not 0 < weights[-1] < float("inf"):
            raise UsageError(f"source '{word}': expected a set, or SET=WEIGHT with a number above 0.")
        members.append(labelled_set(name))
    return JoinedChoice(members=tuple(members), weights=tuple(weights))


def labelled_set(word: str | Path, labels_file: str | Path | None = None, *, part: str = "train") -> SetChoice:
    """The set that a user means by the labelled pictures.

    Args:
        word: A folder, the name of a known set, or `synthnight`, whose scenes are labelled by day and by night.
        labels_file: The classes of a folder of one's own; None: its `labels.yaml`.
        part: The split to take, where there are several.

    Raises:
        UsageError: If it is none of these.
        DatasetNotFoundError: If there are no labels.
    """
    if str(word).lower() == SYNTHNIGHT:
        return SetChoice("SynthNight", {"split": "source", "light": "both", "style": "photographic", "cache": True})
    choice = _known(word, part) or _folder(word, part)
    if choice.kind == "Folder":
        choice = choice.having(labels_file=None if labels_file is None else _classes(labels_file))
        if not (dataset := choice.build()).labelled:
            raise DatasetNotFoundError(
                f"'{word}' holds no labels, and what is learned by day is learned from labels: they belong into "
                f"'{Path(str(word)) / 'labels'}', under the names of their pictures in 'images' (docs/own_data.md)."
            )
        dataset.verify()
    return choice


def night_set(word: str | Path, refs: str | Path | None = None, pairs: str | Path | None = None) -> SetChoice:
    """The set that a user means by the night pictures, whose labels are never looked at.

    Args:
        word: A folder with pictures in it, or in its folder `images`; or the name of a known set.
        refs: Folder of pictures of the same places by day, under the same names; None: its folder `refs`, if any.
        pairs: CSV of `picture,reference`; None: by name.

    Raises:
        UsageError: If it is none of these.
        DatasetNotFoundError: If there are no pictures.
    """
    choice = _known(word, "train")
    if choice is None:
        choice = _folder(word, "train").having(
            labelled=False,
            refs=None if refs is None else str(_existing(refs)),
            pairs_file=None if pairs is None else str(_existing(pairs)),
            references=None if refs is None else True,
        )
    elif refs is not None or pairs is not None:
        raise UsageError(f"'{word}' is a known data set, which has its own references: leave --refs and --pairs out.")
    choice.build().verify()
    return choice


def _known(word: str | Path, part: str) -> SetChoice | None:
    """A set of a known layout, by its name or by its folder."""
    known = known_sets()
    path = expanded(str(word))
    if path.is_dir():
        found = next((kind for kind in known.values() if has_layout(path, kind.signs)), None)
        arguments = {"root": str(path.absolute())}
    else:
        found, arguments = known.get(str(word).lower().replace("_", "").replace("-", "")), {}
    if found is None:
        return None
    split = part if part in found.splits or not found.splits else found.splits[0]
    return SetChoice(found.__name__, {"split": split, **arguments})


def _folder(word: str | Path, part: str) -> SetChoice:
    path = expanded(str(word))
    if not path.is_dir():
        names = [SYNTHNIGHT, *known_sets()]
        raise UsageError(f"'{word}' is neither a folder nor a known data set.{did_you_mean(str(word), names)}")
    root = path.absolute()
    if not (root / "images").is_dir():
        if not by_stem(root):
            raise DatasetNotFoundError(f"'{word}' holds no pictures, neither itself nor in a folder 'images'.")
        return SetChoice("Folder", {"root": str(root), "images": "."})
    inside = {child.name for child in (root / "images").iterdir() if child.is_dir() and not child.name.startswith(".")}
    split = {"split": part} if inside and inside <= _PARTS and part in inside else {}
    return SetChoice("Folder", {"root": str(root), **split})


def _classes(file: str | Path) -> str:
    return "cityscapes" if str(file) == "cityscapes" else str(_existing(file))


def _existing(path: str | Path) -> Path:
    found = expanded(str(path))
    if not found.exists():
        raise UsageError(f"'{path}' does not exist.")
    return found.absolute()
