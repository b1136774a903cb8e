"""What a user of `adapt` asks for."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from dsrnss.errors import UsageError
from dsrnss.paths import expanded


@dataclass(frozen=True)
class Request:
    """What a user asks for; None leaves the choice to the program.

    Args:
        day: Labelled pictures: a folder of one's own (docs/own_data.md), a known set, or `synthnight`.
        night: Pictures to adapt to: any folder of pictures, or a known set. Their labels are never looked at.
        source: Further labelled sets, whose classes become those of `day` by name; `SET=WEIGHT` says how much of one.
            Empty: SynthNight, where it supports few pictures of the day against dark skies; `none`: never.
        val: Labelled night pictures that choose and score the network.
        refs: Folder of pictures of the same places by day, named as those by night.
        pairs: CSV of `picture,reference` instead.
        labels_file: The classes of `day`, where it has no `labels.yaml`.
        weights: Network to begin with; if it knows the classes of `day`, there is no training by day.
        network: Name of a network.
        size: Shorter side that pictures are brought to; 0: as they are.
        crop: (height, width) of the training crops.
        batch: Crops of a training step.
        day_steps: Training steps by day.
        steps: Steps of the adaptation.
        relighting: Probability that a labelled picture is relit as night (docs/method.md).
        night_aware: Probability that a labelled picture is matched to a night picture, in adaptation.
        seed: Of all draws.
        device: `cpu` or `gpu`.
        allow: Kinds of problems of the data to accept, see `dsrnss data check`.
    """

    day: str
    night: str
    source: tuple[str, ...] = ()
    val: str | None = None
    refs: str | None = None
    pairs: str | None = None
    labels_file: str | None = None
    weights: str | None = None
    network: str | None = None
    size: int | None = None
    crop: tuple[int, int] | None = None
    batch: int | None = None
    day_steps: int | None = None
    steps: int | None = None
    relighting: float | None = None
    night_aware: float | None = None
    seed: int = 0
    device: str | None = None
    allow: tuple[str, ...] = ()

    @classmethod
    def of(cls, day: str | Path, night: str | Path, options: Mapping[str, Any]) -> "Request":
        """What is asked for, as it is remembered.

        Raises:
            UsageError: If there is no such option.
        """
        known = {field.name for field in fields(cls)}
        if unknown := [name for name in options if name not in known]:
            raise UsageError(f"adapt has no option '{unknown[0]}': it takes {', '.join(sorted(known))}.")
        return cls(_word(day), _word(night), **{name: _plain(value) for name, value in options.items()})


def _plain(value: Any) -> Any:
    """An option as it is remembered, in JSON."""
    if isinstance(value, list | tuple):
        return tuple(map(_plain, value))
    return str(value) if isinstance(value, Path) else value


def _word(place: str | Path) -> str:
    """A place as it is remembered: a folder by its whole path."""
    path = expanded(str(place))
    return str(path.absolute()) if path.is_dir() else str(place)
