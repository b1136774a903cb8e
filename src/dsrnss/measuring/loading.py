"""How many pictures a second an experiment's data sets give, and where a sample's time goes."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any
from unittest import mock

import torch

from dsrnss.data.datamodule import AdaptationDataModule
from dsrnss.data.loading import TrainStream
from dsrnss.measuring.stages import Cost, HostGauge, Stages
from dsrnss.measuring.training import loaded

SAMPLE_STAGE = "sample"


def rate(data: AdaptationDataModule, number: int, warm_up: int, advance: Callable[[], None] = lambda: None) -> float:
    """Training batches a second, by the loaders and workers of the experiment.

    Args:
        data: Set up.
        number: Batches that are counted.
        warm_up: Batches before them; those that were loaded ahead while they were waited for are left out, too.
        advance: Called after each batch.
    """
    given = loaded(data)
    start = 0.0
    warm_up += 2 * data.workers
    for position in range(warm_up + number):
        if position == warm_up:
            start = time.perf_counter()
        next(given)
        advance()
    return number / (time.perf_counter() - start)


def samples(
    data: AdaptationDataModule, number: int, advance: Callable[[], None] = lambda: None
) -> dict[str, dict[str, Cost]]:
    """Load samples in this process, one by one: where their time goes.

    Args:
        data: As `rate` leaves it.
        number: Samples of the source, and of the target.
        advance: Called after each.

    Returns:
        `source` and, where there is one, `target` -> the stages `reading` (the picture, its label and its reference:
        read, decoded, cut), `choosing the crop` and `sample`, whose own part is scaling, mirroring and normalising.
    """
    found = {}
    for name, loader in _loaders(data):
        stream: Any = loader.dataset
        assert isinstance(stream, TrainStream)
        stages = Stages(HostGauge())
        with ExitStack() as patches:
            for owner, call, stage in ((stream.dataset, "cropped", "reading"), (stream, "_box", "choosing the crop")):
                patches.enter_context(mock.patch.object(owner, call, stages.wrapped(stage, getattr(owner, call))))
            for position in range(number):
                with stages.of(SAMPLE_STAGE):
                    _ = stream[position]
                advance()
        found[name] = stages.costs(number)
    return found


def _loaders(data: AdaptationDataModule) -> Iterator[tuple[str, torch.utils.data.DataLoader[Any]]]:
    loaders = data.train_dataloader().iterables
    assert isinstance(loaders, dict)
    yield from loaders.items()
