"""SynthNight as a data set: scenes rendered when asked for, or kept in memory."""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torchvision import tv_tensors

from dsrnss.data.base import Sample, SegmentationDataset, Size, histogram, image_tensor
from dsrnss.data.parallel import Progress, parallel_map
from dsrnss.data.synthnight import NIGHT_PRESETS, SPLITS, STYLES, Style, SynthScene, generate
from dsrnss.data.synthnight.generator import LARGEST, SMALLEST
from dsrnss.errors import ConfigError, did_you_mean
from dsrnss.labels import CITYSCAPES

DEFAULT_LENGTHS = {"source": 400, "target": 400, "val": 50, "test": 100}


@dataclass(frozen=True)
class Recipe:
    """All that decides the pixels of a SynthNight sample, apart from its index."""

    split: str
    seed: int
    size: Size
    night: str
    light: Literal["auto", "day", "night", "both"]
    reference: bool
    style: Style = "drawn"

    def render(self, index: int) -> SynthScene:
        """Render one scene."""
        light = self.light
        if light == "both":
            light = "night" if index % 2 else "day"
        return generate(
            self.split,
            index,
            seed=self.seed,
            size=self.size,
            night=self.night,
            reference=self.reference,
            light=light,
            style=self.style,
        )


class SynthNight(SegmentationDataset):
    """Procedural street scenes with the classes of Cityscapes, by day (source) and by night.

    Args:
        split: `source` (day), `target`, `val` or `test` (night). Tune on `val`; look at `test` for reports only.
        length: Number of scenes; None: 400 (source, target), 50 (val), 100 (test).
        size: (height, width) in pixels, at most 1024 x 2048.
        seed: Seed of all scenes.
        night: Severity of the night, a name of `NIGHT_PRESETS`.
        labelled: Whether samples carry labels; None: all splits but `target`.
        references: Whether samples carry the day picture of the same place; None: `target` only, or where a flow is
            asked for.
        flow: `true` adds the exact flow to the reference, with confidence 1 at static pixels seen in both pictures and
            0 elsewhere: an oracle for experiments.
        light: `auto`: as the split says; `day` or `night` render the same scenes by that light, `both` every other one
            by night: a labelled source of day and night.
        cache: Whether rendered samples are kept in memory (do not write into them).
        style: `photographic` has streets of many more shapes and the faults of real cameras: for networks that are to
            work on photographs. Numbers measured on SynthNight are those of `drawn`.

    Raises:
        ConfigError: If an option has a value that does not exist.
    """

    label_space = CITYSCAPES

    def __init__(
        self,
        split: str = "target",
        length: int | None = None,
        size: tuple[int, int] = (192, 384),
        seed: int = 0,
        night: str = "city",
        labelled: bool | None = None,
        references: bool | None = None,
        flow: Literal["none", "true"] = "none",
        light: Literal["auto", "day", "night", "both"] = "auto",
        cache: bool = False,
        style: Style = "drawn",
    ) -> None:
        _check_options(split, night, length, size, seed, style)
        if flow == "true" and references is False:
            raise ConfigError("SynthNight cannot give the flow to a reference without one: set references to true.")
        if split == "source" and (flow == "true" or references):
            raise ConfigError("The SynthNight split 'source' has no references: set references to false, flow to none.")
        self.split = split
        self.length = DEFAULT_LENGTHS[split] if length is None else length
        self.labelled = split != "target" if labelled is None else labelled
        self.references = (split == "target" or flow == "true") if references is None else references
        self.flow = flow
        self.cache = self.in_memory = cache
        self.recipe = Recipe(split, seed, (int(size[0]), int(size[1])), night, light, self.references, style)
        self._store: dict[int, Sample] = {}
        self._counts: npt.NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Sample:
        if not 0 <= index < self.length:
            raise IndexError(f"SynthNight '{self.split}' has {self.length} scenes, there is no number {index}.")
        stored = self._store.get(index)
        if stored is None:
            stored = self._sample(index)
            if self.cache:
                self._store[index] = stored
        sample: Sample = {**stored}
        if "flow" in sample:
            sample["flow"] = sample["flow"].float()
            sample["confidence"] = sample["confidence"].float()
        return sample

    def prepare(self, workers: int | None = None, progress: Progress | None = None) -> None:
        """Render all scenes into memory, if the set keeps them there.

        Args:
            workers: Processes; None: one a core.
            progress: Called with (scenes done, scenes in all).
        """
        missing = [index for index in range(self.length) if index not in self._store] if self.cache else []
        for index, sample in zip(
            missing,
            parallel_map(_render_sample, self._bare(), missing, workers=workers, progress=progress),
            strict=True,
        ):
            self._store[index] = sample

    def verify(self) -> None:
        """Nothing to check: the scenes are made, not found."""

    def sample_size(self) -> Size:
        """(height, width) of the scenes."""
        return self.recipe.size

    def counted_size(self) -> Size:
        """(height, width) of the scenes."""
        return self.recipe.size

    def class_counts(self) -> npt.NDArray[np.int64]:
        """Pixels of each class in each scene, (N, num_classes); scenes not in memory are rendered in parallel."""
        if self._counts is None:
            if self.cache and self.labelled:
                self.prepare()
                rows = [histogram(self._store[i]["label"].numpy()) for i in range(self.length)]
            else:
                # daylight is faster to render and leaves the labels as they are
                bare = replace(self.recipe, reference=False, light="day")
                rows = parallel_map(_count_labels, bare, range(self.length))
            self._counts = np.stack(rows)[:, : self.label_space.num_classes]
        return self._counts

    def _bare(self) -> "SynthNight":
        clone = SynthNight.__new__(SynthNight)
        clone.__dict__.update(self.__dict__, _store={}, cache=False)
        return clone

    def _sample(self, index: int) -> Sample:
        scene = self.recipe.render(index)
        sample: Sample = {"image": _planar(scene.image), "name": f"{self.split}_{index:05d}"}
        if self.labelled:
            sample["label"] = tv_tensors.Mask(torch.from_numpy(scene.label.astype(np.uint8)))
        if self.references and scene.reference is not None:
            sample["reference"] = _planar(scene.reference)
        if self.flow == "true" and scene.flow is not None and scene.flow_valid is not None:
            # half precision: a sixteenth of a pixel at worst, in half of the memory
            sample["flow"] = torch.from_numpy(scene.flow.astype(np.float16)).permute(2, 0, 1).contiguous()
            sample["confidence"] = torch.from_numpy(scene.flow_valid.astype(np.float16))[None]
        return sample


def _check_options(split: str, night: str, length: int | None, size: Size, seed: int, style: str) -> None:
    if split not in SPLITS:
        raise ConfigError(f"Unknown SynthNight split '{split}'.{did_you_mean(split, list(SPLITS))}")
    if night not in NIGHT_PRESETS:
        raise ConfigError(f"Unknown night '{night}'.{did_you_mean(night, list(NIGHT_PRESETS))}")
    if style not in STYLES:
        raise ConfigError(f"Unknown style '{style}'.{did_you_mean(style, list(STYLES))}")
    if length is not None and length < 1:
        raise ConfigError(f"length must be at least 1, not {length}.")
    if seed < 0:
        raise ConfigError(f"seed must be 0 or more, not {seed}.")
    if not all(low <= side <= high for low, side, high in zip(SMALLEST, size, LARGEST, strict=True)):
        raise ConfigError(
            f"SynthNight cannot be rendered at size {size[0]}x{size[1]} (height x width): from "
            f"{SMALLEST[0]}x{SMALLEST[1]} to {LARGEST[0]}x{LARGEST[1]}."
        )


def _planar(pixels: npt.NDArray[np.uint8]) -> tv_tensors.Image:
    return tv_tensors.Image(image_tensor(pixels).contiguous())


def _render_sample(dataset: SynthNight, index: int) -> Sample:
    return dataset._sample(index)


def _count_labels(recipe: Recipe, index: int) -> npt.NDArray[np.int64]:
    return histogram(recipe.render(index).label)
