"""What segmenting a picture costs, in the way in which an experiment evaluates and predicts."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from typing import Any

import lightning as L
import torch
from torch import Tensor

from dsrnss.data.base import SegmentationDataset, Size
from dsrnss.data.datamodule import AdaptationDataModule
from dsrnss.data.loading import make_eval_loader
from dsrnss.errors import DatasetNotFoundError
from dsrnss.measuring.counting import Counter, GpuAutocast
from dsrnss.measuring.made_up import PICTURE
from dsrnss.measuring.rehearsal import Rehearsal
from dsrnss.measuring.stages import Cost, Stages, gauge_of
from dsrnss.measuring.training import half_precision
from dsrnss.training.predictions import predict_batch
from dsrnss.training.task import AdaptationTask

PICTURE_STAGE = "picture"
Pictures = Mapping[str, Any]


def pictures(data: AdaptationDataModule, size: Size | None) -> tuple[Iterator[Pictures], bool]:
    """Batches of one picture without end, and whether they are made up.

    Args:
        data: Of the experiment: the first set that it predicts, tests or validates with and that is there.
        size: (height, width) of made-up ones; None: those of a set, if there is one.
    """
    for dataset in (*data.predict.values(), *data.test.values(), *data.val.values()) if size is None else ():
        try:
            dataset.verify()
        except DatasetNotFoundError:
            continue
        return _loaded(dataset, data.workers), False
    batch = {"image": torch.randn(1, 3, *(size or PICTURE), generator=torch.Generator().manual_seed(0)), "name": ["0"]}
    return iter(lambda: batch, None), True


def _loaded(dataset: SegmentationDataset, workers: int) -> Iterator[Pictures]:
    while True:
        yield from make_eval_loader(dataset, 1, workers)


class _Watched:
    """A network whose passes are a stage."""

    def __init__(self, stages: Stages, predict: Callable[[Tensor], Tensor]) -> None:
        self.predict = stages.wrapped("network", predict)


@torch.inference_mode()
def measure(
    task: AdaptationTask,
    trainer: L.Trainer,
    given: Iterator[Pictures],
    steps: int,
    warm_up: int,
    advance: Callable[[], None] = lambda: None,
) -> dict[str, Cost]:
    """Segment some pictures.

    Args:
        task: With weights of any kind.
        trainer: Of the experiment.
        given: Batches of one picture, on the host.
        steps: How many are measured.
        warm_up: How many before them are not.
        advance: Called after each.
    """
    device, plugin = trainer.strategy.root_device, trainer.precision_plugin
    task.prepare_evaluated()
    plugin.convert_module(task).to(device)
    stages = Stages(gauge_of(device))
    network = _Watched(stages, task.predictor.predict)
    for number in range(warm_up + steps):
        if number == warm_up:
            stages.forget()
        with stages.of(PICTURE_STAGE):
            with stages.of("data"):
                batch = dict(next(given))
                batch["image"] = plugin.convert_input(batch["image"].to(device))
            with stages.of("labels"), plugin.val_step_context():
                predict_batch(network, batch)
        advance()
    return stages.costs(steps)


@torch.no_grad()
def count(task: AdaptationTask, size: Size, precision: object = "32-true", *, gpu: bool = True) -> dict[str, Cost]:
    """Count the passes of the network for one picture on tensors without values.

    Args:
        task: Built on `meta`.
        size: (height, width) of the picture.
        precision: The `trainer.precision` to count for.
        gpu: Whether autocast is that of a GPU, else of the CPU.
    """
    task.prepare_evaluated()
    network, dtype = task.predictor.network, half_precision(precision)
    rehearsal, counter = Rehearsal("cpu"), Counter()
    rehearsal.move(network)
    image = rehearsal.fake((1, 3, *size))
    counter.hold([*network.parameters(), *network.buffers(), image])
    stages = Stages(counter)
    rules = GpuAutocast() if gpu and dtype is not None else nullcontext()
    cast = nullcontext() if dtype is None else torch.autocast("cpu", dtype)
    with rehearsal, counter, rules, cast, stages.of("network"):
        task.predictor.predict(image)
    return stages.costs()
