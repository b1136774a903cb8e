"""Classes that no label shows, and label values that look like another coding than that of the classes."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dsrnss.labels import CITYSCAPES, IGNORE_INDEX, LabelSpace

SHOWN = 5
Finding = tuple[str, str, str, str]
"""Kind, name of the set (or of several), class of the set, message."""


@dataclass(frozen=True)
class LabelledSet:
    """What the labels of a set hold.

    Attributes:
        name: Its name in the run.
        dataset: Its class.
        official: Whether it is a known set, whose classes and label values are settled.
        space: The classes.
        values: (256,) pixels of each train id, or value that is none; 255 counts the ignored ones.
        raw: Whether the files hold raw values that were translated.
    """

    name: str
    dataset: str
    official: bool
    space: LabelSpace
    values: npt.NDArray[np.int64]
    raw: bool

    @property
    def absent(self) -> list[str]:
        """Classes without a pixel."""
        return [name for name, pixels in zip(self.space.names, self.values, strict=False) if not pixels]


def check_classes(sets: Sequence[LabelledSet]) -> tuple[list[Finding], list[str]]:
    """Look at the classes and label values of whole sets.

    A class that an own `labels.yaml` names and no label of the run shows is a problem. One that only some sets lack, or
    one of the 19 of Cityscapes, is remarked on: few night sets show them all.

    Args:
        sets: The labelled sets of the run.

    Returns:
        Problems, and remarks.
    """
    findings, remarks = list[Finding](), list[str]()
    coded = {one.name: guess for one in sets if not one.official and not one.raw and (guess := other_coding(one))}
    findings += [("coding", one.name, one.dataset, coded[one.name]) for one in sets if one.name in coded]
    for together in _of_one_space([one for one in sets if one.name not in coded]):
        nowhere = [name for name in together[0].space.names if all(name in one.absent for one in together)]
        own = together[0].space != CITYSCAPES
        if nowhere and own:
            names = ", ".join(one.name for one in together)
            findings.append(("absent-class", names, together[0].dataset, _nowhere(nowhere, together[0])))
        for one in together:
            lacking = [name for name in one.absent if not own or name not in nowhere]
            remarks += [f"{one.name} shows no pixel of {_some(lacking)}."] if lacking else []
    return findings, remarks


def other_coding(one: LabelledSet) -> str:
    """What the values of label files look like if not like train ids, and the cure; empty: nothing strange."""
    number = one.space.num_classes
    values = set(np.flatnonzero(one.values).tolist())
    classes = values - {IGNORE_INDEX}
    if values == {0, IGNORE_INDEX}:
        return (
            "the labels hold 0 and 255 alone, like black and white masks, but 255 means ignored: give the two classes "
            "'raw: 0' and 'raw: 255' in labels.yaml."
        )
    if classes == {0, 1} and number > 2:
        return f"the labels hold 0 and 1 alone, like masks of one thing: labels.yaml names {number} classes, not 2."
    if max(classes, default=0) != number:
        return ""
    if 0 not in classes:
        return (
            f"the labels hold 1 to {number}, but the {number} classes are 0 to {number - 1}: give them 'raw: 1', "
            "'raw: 2', ... in labels.yaml."
        )
    return (
        f"the labels hold 0 to {number}, one value more than there are classes: does labels.yaml lack the class of 0, "
        "such as a background?"
    )


def _of_one_space(sets: Sequence[LabelledSet]) -> Iterator[list[LabelledSet]]:
    rest = list(sets)
    while rest:
        yield [one for one in rest if one.space == rest[0].space]
        rest = [one for one in rest if one.space != rest[0].space]


def _nowhere(names: Sequence[str], one: LabelledSet) -> str:
    values = "raw values" if one.raw else "values"
    return (
        f"no label shows {_some(names)}: do the files hold other {values}? Else leave it out of labels.yaml, or accept "
        "it: a problem of the kind absent-class."
    )


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(f"'{name}'" for name in names[:SHOWN]) + more
