"""Labelled sets under one label space: one set in the classes of another, and several sets at once."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torchvision import tv_tensors

from dsrnss.data.base import BoxChooser, Member, Sample, SegmentationDataset, Size
from dsrnss.data.class_mapping import ClassMapping, map_classes, mapping_table
from dsrnss.data.parallel import Progress
from dsrnss.data.sets.label_files import read_label_space
from dsrnss.errors import ConfigError, did_you_mean
from dsrnss.labels import CITYSCAPES, LabelSpace
from dsrnss.paths import expanded


class Remapped(SegmentationDataset):
    """A data set whose labels are those of another label space, mapped by the names of the classes.

    Classes without a counterpart are ignored (255). `mapping` says what became what.

    Args:
        dataset: The set.
        label_space: The classes wanted: a label space, the path of a `labels.yaml`, or `cityscapes`.
        names: Class of the set -> class wanted, null: ignored; goes before equal names and usual synonyms.

    Raises:
        ConfigError: If the set joins several; give them to `MultiSource`.
    """

    def __init__(
        self,
        dataset: SegmentationDataset,
        label_space: LabelSpace | str | Path,
        names: Mapping[str, str | None] | None = None,
    ) -> None:
        if isinstance(dataset, MultiSource):
            raise ConfigError("A MultiSource has the classes of one label space: give it label_space and names itself.")
        self.dataset = dataset
        self.names = dict(names or {})
        self.split = dataset.split
        self.in_memory = dataset.in_memory
        self._wanted = label_space

    @cached_property
    def label_space(self) -> LabelSpace:  # type: ignore[override]
        """The classes wanted.

        Raises:
            DataError: If they are named by a file, and that is missing or wrong.
        """
        return resolved_space(self._wanted)

    @cached_property
    def labelled(self) -> bool:  # type: ignore[override]
        """Whether samples carry a label."""
        return self.dataset.labelled

    @cached_property
    def references(self) -> bool:  # type: ignore[override]
        """Whether samples carry a day reference."""
        return self.dataset.references

    @cached_property
    def mapping(self) -> ClassMapping:
        """What became what.

        Raises:
            ConfigError: If no class has a counterpart, or `names` names a class that is none.
        """
        own = self.dataset.label_space
        check_names(self.names, [own])
        return map_classes(own, self.label_space, self.names)

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Sample:
        return self._renamed(self.dataset[index])

    def cropped(self, index: int, choose: BoxChooser) -> Sample:
        """The part of a sample inside a box, which is chosen by the mapped label."""

        def by_mapped(size: Size, label: Tensor | None, name: str) -> Any:
            return choose(size, None if label is None else self._mapped(label), name)

        return self._renamed(self.dataset.cropped(index, by_mapped))

    def _renamed(self, sample: Sample) -> Sample:
        return {**sample, "label": self._mapped(sample["label"])} if "label" in sample else sample

    def _mapped(self, label: Tensor) -> tv_tensors.Mask:
        mapped = label.numpy() if self.mapping.identical else cv2.LUT(label.numpy(), self.mapping.table)
        return tv_tensors.Mask(torch.from_numpy(mapped))

    def verify(self) -> None:
        """Check the set, and that its classes have counterparts.

        Raises:
            DatasetNotFoundError: If it is not where it was looked for.
            DataError: If files are missing.
            ConfigError: If no class has a counterpart.
        """
        self.dataset.verify()
        _ = self.mapping

    def prepare(self, workers: int | None = None, progress: Progress | None = None) -> None:
        """Prepare the set."""
        self.dataset.prepare(workers, progress)

    def class_counts(self) -> npt.NDArray[np.int64]:
        """Pixels of each class wanted in each sample, (N, num_classes)."""
        counts = self.dataset.class_counts()
        mapped = np.zeros((len(counts), self.label_space.num_classes), np.int64)
        for old, new in enumerate(self.mapping.ids):
            if new is not None:
                mapped[:, new] += counts[:, old]
        return mapped

    def sample_size(self) -> Size:
        """(height, width) of the set's pictures."""
        return self.dataset.sample_size()

    def counted_size(self) -> Size:
        """(height, width) of the label maps that were counted."""
        return self.dataset.counted_size()


class MultiSource(SegmentationDataset):
    """Several labelled sets at once, under one label space, each drawn with its weight.

    Rare class sampling draws a class by its frequency over the weighted sets, then one of the pictures that show it,
    those of each set with its weight. Without it, every stretch of `len` samples holds each set by its share, and each
    set goes through its own pictures in turn. Samples carry no references; their names begin with the number of
    their set. The sets may have pictures of different sizes.

    Args:
        sets: Labelled sets.
        weights: How much is drawn from each set, relative to the others; None: from each alike, whatever its length.
        label_space: The classes wanted, a label space, the path of a `labels.yaml`, or `cityscapes`; None: those of the
            first set.
        names: Class of a set -> class wanted, null: ignored; goes before equal names and usual synonyms.

    Raises:
        ConfigError: If weights do not fit the sets, or a set joins several itself.
    """

    labelled = True
    references = False

    def __init__(
        self,
        sets: list[SegmentationDataset],
        weights: list[float] | None = None,
        label_space: LabelSpace | str | Path | None = None,
        names: Mapping[str, str | None] | None = None,
    ) -> None:
        if not sets:
            raise ConfigError("MultiSource joins sets: give it one at least.")
        weights = [1.0] * len(sets) if weights is None else list(weights)
        if len(weights) != len(sets) or not all(0 < weight < float("inf") for weight in weights):
            raise ConfigError(f"weights: expected {len(sets)} numbers above 0, one for each set, not {weights}.")
        if any(isinstance(one, MultiSource) for one in sets):
            raise ConfigError("A MultiSource cannot hold another one: give it the sets of the other directly.")
        self.sets = list(sets)
        self.weights = weights
        self.names = dict(names or {})
        self.split = "+".join(one.split for one in sets)
        self.in_memory = any(one.in_memory for one in sets)
        self._wanted = label_space

    @cached_property
    def label_space(self) -> LabelSpace:  # type: ignore[override]
        """The classes wanted.

        Raises:
            DatasetNotFoundError: If they are those of a set that is not where it was looked for.
            DataError: If they are named by a file, and that is missing or wrong.
        """
        return self.sets[0].label_space if self._wanted is None else resolved_space(self._wanted)

    @cached_property
    def remapped(self) -> list[Remapped]:
        """The sets, in the classes wanted.

        Raises:
            ConfigError: If `names` names a class that no set has.
        """
        spaces = [one.label_space for one in self.sets]
        check_names(self.names, spaces)
        # each is told of its own classes only: that it lacks those of another set is no mistake
        own = [{name: new for name, new in self.names.items() if name in space.names} for space in spaces]
        return [Remapped(one, self.label_space, names) for one, names in zip(self.sets, own, strict=True)]

    def mapping_table(self) -> str:
        """Which class of which set becomes what, what is ignored, and what no set has.

        Raises:
            ConfigError: If no class of a set has a counterpart.
        """
        return mapping_table([(describe(one.dataset), one.mapping) for one in self.remapped])

    def members(self) -> list[Member]:
        """The sets in the classes wanted, with their shares."""
        return [
            Member(one, weight / sum(self.weights)) for one, weight in zip(self.remapped, self.weights, strict=True)
        ]

    def __len__(self) -> int:
        return self._ends[-1]

    @cached_property
    def _ends(self) -> list[int]:
        return list(accumulate(len(one) for one in self.sets))

    def _place(self, index: int) -> tuple[int, int]:
        """Number of the set that a sample is in, and its number there."""
        if not 0 <= index < len(self):
            raise IndexError(f"The sets have {len(self)} samples together, there is no number {index}.")
        number = next(k for k, end in enumerate(self._ends) if index < end)
        return number, index - (self._ends[number] - len(self.sets[number]))

    def __getitem__(self, index: int) -> Sample:
        number, own = self._place(index)
        return _labelled(self.remapped[number][own], number)

    def cropped(self, index: int, choose: BoxChooser) -> Sample:
        """The part of a sample inside a box; its set converts no more than that."""
        number, own = self._place(index)
        return _labelled(self.remapped[number].cropped(own, choose), number)

    def verify(self) -> None:
        """Check all sets.

        Raises:
            DatasetNotFoundError: If one is not where it was looked for.
            DataError: If files are missing.
            ConfigError: If one has no labels, or none of its classes has a counterpart.
        """
        for one in self.remapped:
            if not one.labelled:
                raise ConfigError(f"{describe(one.dataset)} has no labels: MultiSource joins labelled sets.")
            one.verify()

    def prepare(self, workers: int | None = None, progress: Progress | None = None) -> None:
        """Prepare the sets, one after the other."""
        for one in self.sets:
            one.prepare(workers, progress)

    def class_counts(self) -> npt.NDArray[np.int64]:
        """Pixels of each class in each sample, as if all label maps had the size of the first set's."""
        rows = []
        height, width = self.counted_size()
        for one in self.remapped:
            own = one.counted_size()
            scale = height * width / (own[0] * own[1])
            rows.append(np.round(one.class_counts() * scale).astype(np.int64))
        return np.concatenate(rows)

    def counted_size(self) -> Size:
        """(height, width) of the first set's label maps."""
        return self.sets[0].counted_size()


def resolved_space(wanted: LabelSpace | str | Path) -> LabelSpace:
    """A label space as it is, that of a `labels.yaml` by its path, or that of Cityscapes by its name.

    Raises:
        DataError: If the file is missing or wrong.
    """
    if isinstance(wanted, LabelSpace):
        return wanted
    return CITYSCAPES if str(wanted) == "cityscapes" else read_label_space(expanded(wanted))


def check_names(names: Mapping[str, str | None], spaces: Sequence[LabelSpace]) -> None:
    """See that every class named is one of some label space.

    Raises:
        ConfigError: If one is not.
    """
    known = list(dict.fromkeys(name for space in spaces for name in space.names))
    for name in names:
        if name not in known:
            raise ConfigError(f"names: no set has a class '{name}'.{did_you_mean(name, known)}")


def describe(dataset: SegmentationDataset) -> str:
    """A set in a word or two: its class with its folder, or with its split."""
    root = getattr(dataset, "root", None)
    return f"{type(dataset).__name__} '{dataset.split if root is None else Path(root).name}'"


def _labelled(sample: Sample, number: int) -> Sample:
    return {"image": sample["image"], "label": sample["label"], "name": f"{number + 1}/{sample['name']}"}
