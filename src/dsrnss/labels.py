"""Label spaces: class names, colours, raw ids and the groups of classes that the method treats differently."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from dsrnss.errors import ConfigError, did_you_mean

IGNORE_INDEX = 255
"""The label value that counts nowhere: not in a loss, not in a metric, not in a choice of classes."""


@dataclass(frozen=True)
class CoOccurrence:
    """A rule of the class choice: where any of `chosen` was chosen, `added` come along (paper section III-B)."""

    chosen: tuple[int, ...]
    added: tuple[int, ...]


@dataclass(frozen=True)
class LabelSpace:
    """The classes of a task.

    Args:
        names: Class names in the order of their train ids.
        palette: One RGB colour (0..255) a class.
        raw_ids: Raw id of the annotation tool -> train id; raw ids not named are ignored.
        large_static: Classes whose pseudo-labels trust the day reference (`M` of the refinement).
        dynamic: Moving classes; reported as a mean of their own.
        small: Small classes; reported as a mean of their own.
        tail: Classes kept in the long-tail memory bank.
        feature_distance: Classes whose features are held near those of the initial encoder.
        co_occurrence: Rules of the class choice, applied in this order.
    """

    names: tuple[str, ...]
    palette: tuple[tuple[int, int, int], ...]
    raw_ids: Mapping[int, int] = field(default_factory=dict)
    large_static: tuple[int, ...] = ()
    dynamic: tuple[int, ...] = ()
    small: tuple[int, ...] = ()
    tail: tuple[int, ...] = ()
    feature_distance: tuple[int, ...] = ()
    co_occurrence: tuple[CoOccurrence, ...] = ()

    def __post_init__(self) -> None:
        """Check that the parts fit each other.

        Raises:
            ConfigError: If they do not, naming the part.
        """
        if not 2 <= len(self.names) <= 254:
            raise ConfigError(f"A label space has 2 to 254 classes, not {len(self.names)}.")
        if len(self.palette) != len(self.names):
            raise ConfigError(f"{len(self.names)} class names but {len(self.palette)} colours: give one RGB a class.")
        groups = ("large_static", "dynamic", "small", "tail", "feature_distance")
        for group in groups:
            outside = [c for c in getattr(self, group) if not 0 <= c < len(self.names)]
            if outside:
                raise ConfigError(f"Group '{group}' names classes {outside}, outside 0..{len(self.names) - 1}.")

    @property
    def num_classes(self) -> int:
        """Number of classes, without the ignored label."""
        return len(self.names)

    def index(self, name: str) -> int:
        """Train id of a class name.

        Raises:
            ConfigError: If there is no such class.
        """
        if name not in self.names:
            raise ConfigError(f"Unknown class '{name}'.{did_you_mean(name, self.names)}")
        return self.names.index(name)

    def colorize(self, labels: npt.NDArray[np.integer]) -> npt.NDArray[np.uint8]:
        """Paint a label map.

        Args:
            labels: (H, W) train ids; anything outside the label space is painted black.

        Returns:
            (H, W, 3) uint8 RGB.
        """
        table = np.zeros((256, 3), np.uint8)
        table[: self.num_classes] = self.palette
        if labels.dtype != np.uint8:
            known = (labels >= 0) & (labels < self.num_classes)
            labels = np.where(known, labels, IGNORE_INDEX).astype(np.uint8)
        return np.take(table, labels, axis=0)

    def raw_table(self) -> npt.NDArray[np.uint8]:
        """A look-up table of 256 entries, raw id -> train id, 255 where the raw id is not a class."""
        table = np.full(256, IGNORE_INDEX, np.uint8)
        for raw, train in self.raw_ids.items():
            table[raw] = train
        return table

    def flat_palette(self) -> list[int]:
        """The 768 numbers that a palette PNG wants; ids that are no class are black."""
        flat = [channel for colour in self.palette for channel in colour]
        return flat + [0] * (768 - len(flat))


def _groups(names: Sequence[str], *members: str) -> tuple[int, ...]:
    return tuple(sorted(names.index(member) for member in members))


_NAMES = (
    "road", "sidewalk", "building", "wall", "fence", "pole", "traffic light", "traffic sign", "vegetation", "terrain",
    "sky", "person", "rider", "car", "truck", "bus", "train", "motorcycle", "bicycle",
)  # fmt: skip

CITYSCAPES = LabelSpace(
    names=_NAMES,
    palette=(
        (128, 64, 128), (244, 35, 232), (70, 70, 70), (102, 102, 156), (190, 153, 153), (153, 153, 153),
        (250, 170, 30), (220, 220, 0), (107, 142, 35), (152, 251, 152), (70, 130, 180), (220, 20, 60), (255, 0, 0),
        (0, 0, 142), (0, 0, 70), (0, 60, 100), (0, 80, 100), (0, 0, 230), (119, 11, 32),
    ),
    raw_ids={
        7: 0, 8: 1, 11: 2, 12: 3, 13: 4, 17: 5, 19: 6, 20: 7, 21: 8, 22: 9, 23: 10, 24: 11, 25: 12, 26: 13, 27: 14,
        28: 15, 31: 16, 32: 17, 33: 18,
    },
    large_static=_groups(
        _NAMES, "road", "sidewalk", "building", "wall", "fence", "vegetation", "terrain", "sky"
    ),
    dynamic=tuple(range(11, 19)),
    small=_groups(
        _NAMES, "pole", "traffic light", "traffic sign", "person", "rider", "motorcycle", "bicycle"
    ),
    tail=_groups(_NAMES, "rider", "truck", "bus", "motorcycle", "bicycle"),
    feature_distance=(6, 7, *range(11, 19)),
    co_occurrence=(
        CoOccurrence(chosen=(6, 7), added=(5,)),
        CoOccurrence(chosen=(5,), added=(6, 7)),
        CoOccurrence(chosen=(12,), added=(18, 17)),
    ),
)  # fmt: skip
"""The 19 classes of Cityscapes, with the groups of the paper (sections III-B and III-C)."""
