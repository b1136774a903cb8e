"""How many pairs a second an experiment's aligner takes: in a step, and at full size as `dsrnss data align`."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from dsrnss.adaptation.alignment import Aligner, GivenAligner, IdentityAligner, PairwiseAligner
from dsrnss.data.alignment_store import AlignedPairs, PairAligner
from dsrnss.data.base import Size
from dsrnss.errors import DatasetNotFoundError, UsageError
from dsrnss.measuring.made_up import PICTURE, picture_pair
from dsrnss.measuring.stages import Cost, Stages, gauge_of
from dsrnss.measuring.training import load_aligner
from dsrnss.normalisation import normalise
from dsrnss.training.task import AdaptationTask

Pixels = npt.NDArray[np.uint8]


def pair(target: Any, size: Size | None) -> tuple[tuple[Pixels, Pixels], bool]:
    """A night picture and its reference, (H, W, 3) uint8, and whether they are drawn.

    Args:
        target: The target set of an experiment.
        size: (height, width) of drawn ones; None: those of the set, if it is there.
    """
    dataset = target.dataset if isinstance(target, AlignedPairs) else target
    if size is None:
        try:
            dataset.verify()
            sample = dataset[0]
            night, day = (np.ascontiguousarray(sample[key].permute(1, 2, 0).numpy()) for key in ("image", "reference"))
            return (night, day), False
        except DatasetNotFoundError:
            pass
    return picture_pair(size or PICTURE), True


def measure(
    task: AdaptationTask,
    target: Any,
    given: tuple[Pixels, Pixels],
    crop: Size,
    device: torch.device,
    steps: int,
    warm_up: int,
    advance: Callable[[], None] = lambda: None,
) -> dict[str, Cost]:
    """Align a pair again and again: a crop of it as in a training step, if the step aligns, and the whole.

    Args:
        task: Of the experiment.
        target: Its target set.
        given: The pair.
        crop: (height, width) of the crops.
        device: Of the step.
        steps: How often is measured.
        warm_up: How often before is not.
        advance: Called after each.

    Returns:
        Stage -> cost of a pair.

    Raises:
        UsageError: If the experiment aligns nothing.
    """
    works = _works(task, target, given, crop, device)
    stages = Stages(gauge_of(device))
    for name, work in works.items():
        for number in range(warm_up + steps):
            if number < warm_up:
                work()
            else:
                with stages.of(name):
                    work()
            advance()
    return stages.costs(steps)


def _works(
    task: AdaptationTask, target: Any, given: tuple[Pixels, Pixels], crop: Size, device: torch.device
) -> dict[str, Callable[[], object]]:
    aligner, stored = task.method.aligner, isinstance(target, AlignedPairs)
    load_aligner(target.aligner if stored else aligner)
    if aligner is None or (not stored and isinstance(aligner, GivenAligner | IdentityAligner)):
        raise UsageError("The experiment aligns nothing: it has no model.aligner that computes, and no AlignedPairs.")
    whole: PairAligner = PairwiseAligner(aligner)
    works: dict[str, Callable[[], object]] = {}
    if stored:
        whole = target.aligner
    else:
        height, width = (min(a, b) for a, b in zip(crop, given[0].shape, strict=False))
        night, day = (_batch(picture[:height, :width], device) for picture in given)
        works[f"a crop of {height} x {width}, as in each step"] = lambda: _align(aligner, night, day)
    height, width = given[0].shape[:2]
    works[f"a picture of {height} x {width}, as dsrnss data align"] = lambda: whole(*given)
    return works


@torch.no_grad()
def _align(aligner: Aligner, night: Tensor, day: Tensor) -> object:
    return aligner(night, day)


def _batch(picture: Pixels, device: torch.device) -> Tensor:
    return normalise(torch.from_numpy(np.ascontiguousarray(picture)).permute(2, 0, 1)[None]).to(device)
