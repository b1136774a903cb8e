"""The benchmarks of `dsrnss benchmark`: an experiment is built, measured on this machine, and counted."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from dsrnss import machine
from dsrnss.data.base import Size
from dsrnss.errors import UsageError
from dsrnss.experiment.measured import CountedCLI, MeasuredCLI, build_counted, build_measured
from dsrnss.measuring import aligning, inference, loading, training
from dsrnss.measuring.made_up import PICTURE, training_batch
from dsrnss.measuring.stages import Cost
from dsrnss.progress import counting

Findings = dict[str, Any]
"""What a benchmark found; see docs/performance.md."""


@dataclass(frozen=True)
class Request:
    """What to measure.

    Attributes:
        configs: Experiment files, later ones win.
        overrides: Further words, as behind `dsrnss fit`.
        steps: Measured steps: of training, pictures, batches or pairs.
        warm_up: Steps before them.
        made_up: Take made-up pictures even where the data sets are there.
        size: (height, width) of whole made-up pictures.
        dry_run: Count alone, run nothing.
    """

    configs: Sequence[Path]
    overrides: Sequence[str] = ()
    steps: int = 5
    warm_up: int = 2
    made_up: bool = False
    size: Size | None = None
    dry_run: bool = False


def train(request: Request) -> Findings:
    """A training step, stage by stage."""
    found: Findings = {}
    if not request.dry_run:
        cli = build_measured(request.configs, request.overrides)
        batches, made_up = training.batches(cli.datamodule, made_up=request.made_up)
        with _progress("steps", request) as advance:
            stages = training.measure(cli.model, cli.trainer, batches, request.steps, request.warm_up, advance)
        found = {**_about(cli, request, made_up), "stages": stages}
        data = cli.datamodule
        pictures = data.source_batch_size + (data.target_batch_size if data.target is not None else 0)
        found["pictures_a_second"] = pictures / stages[training.STEP_STAGE]["seconds"]
        del cli, batches
    counted, gpu = _counted(request, found)
    batch = training_batch(counted.datamodule)
    with counting("step counted on tensors without values"):
        waits = training.waits(counted.model, counted.trainer, batch, counted.precision)
        known = training.count(counted.model, counted.trainer, batch, counted.precision, gpu=gpu)
    _join(found, known.stages)
    found["counted"] = {"kept_bytes": known.kept_bytes, "waits": waits}
    return _named("train", training.STEP_STAGE, counted, found)


def infer(request: Request) -> Findings:
    """Segmenting a picture."""
    found: Findings = {}
    size = request.size
    if not request.dry_run:
        cli = build_measured(request.configs, request.overrides)
        wanted = (size or PICTURE) if request.made_up else size
        pictures, made_up = inference.pictures(cli.datamodule, wanted)
        first = next(pictures)
        size = (int(first["image"].shape[-2]), int(first["image"].shape[-1]))
        with _progress("pictures", request) as advance:
            stages = inference.measure(cli.model, cli.trainer, pictures, request.steps, request.warm_up, advance)
        found = {**_about(cli, request, made_up), "stages": stages}
        found["pictures_a_second"] = 1 / stages[inference.PICTURE_STAGE]["seconds"]
        del cli, pictures
    size = size or PICTURE
    counted, gpu = _counted(request, found)
    with counting("picture counted on tensors without values"):
        _join(found, inference.count(counted.model, size, counted.precision, gpu=gpu))
    how = counted.model.inference
    found["picture"] = {"size": list(size), "mode": how.mode, "window": how.window, "stride": how.stride}
    return _named("infer", inference.PICTURE_STAGE, counted, found)


def data(request: Request) -> Findings:
    """Loading.

    Raises:
        DatasetNotFoundError: If the data sets are not there.
    """
    cli = build_measured(request.configs, request.overrides)
    module = cli.datamodule
    module.setup("fit")
    with _progress("batches", request, 2 * module.workers) as advance:
        rate = loading.rate(module, request.steps, request.warm_up, advance)
    found = _about(cli, request, made_up=False)
    pictures = module.source_batch_size + (module.target_batch_size if module.target is not None else 0)
    found |= {"workers": module.workers, "batches_a_second": rate, "pictures_a_second": rate * pictures}
    with counting("samples, one by one"):
        found["samples"] = loading.samples(module, request.steps)
    return _named("data", loading.SAMPLE_STAGE, cli, found)


def align(request: Request) -> Findings:
    """Aligning.

    Raises:
        UsageError: If the experiment has no pairs, or aligns nothing.
    """
    cli = build_measured(request.configs, request.overrides)
    module = cli.datamodule
    target = module.target
    if target is None or not target.references:
        raise UsageError("The experiment has no pairs to align: its data.target gives no references.")
    size = (request.size or PICTURE) if request.made_up else request.size
    given, made_up = aligning.pair(target, size)
    device = cli.trainer.strategy.root_device
    with counting("pairs aligned") as reach:
        done = _counter(reach, None)
        stages = aligning.measure(
            cli.model, target, given, module.crop_size, device, request.steps, request.warm_up, done
        )
    found = {**_about(cli, request, made_up), "stages": stages}
    found["pairs_a_second"] = {name: 1 / cost["seconds"] for name, cost in stages.items()}
    return _named("align", "", cli, found)


BENCHMARKS: dict[str, Callable[[Request], Findings]] = {"train": train, "infer": infer, "data": data, "align": align}


def _about(cli: MeasuredCLI, request: Request, made_up: bool) -> Findings:
    device = cli.trainer.strategy.root_device
    return {
        "machine": machine.summary(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "threads": torch.get_num_threads(),
        "precision": str(cli.trainer.precision),
        "pictures": "made up" if made_up else "of the data sets",
        "steps": request.steps,
        "warm_up": request.warm_up,
    }


def _counted(request: Request, found: Findings) -> tuple[CountedCLI, bool]:
    """The experiment to be counted, and whether for a GPU: what ran in 16 bits on the CPU is compared with that."""
    cli = build_counted(request.configs, request.overrides)
    if found:
        cli.precision = found["precision"]
    return cli, found.get("device") != "cpu"


def _join(found: Findings, counted: dict[str, Cost]) -> None:
    """Put what was counted beside what was measured."""
    stages = found.setdefault("stages", {})
    for name, cost in counted.items():
        cost["counted_bytes"] = cost.pop("peak_bytes")
        stages.setdefault(name, {}).update(cost)


def _named(kind: str, whole: str, cli: MeasuredCLI, found: Findings) -> Findings:
    data = cli.datamodule
    batch = {"source": data.source_batch_size} | ({} if data.target is None else {"target": data.target_batch_size})
    precision = found.get("precision") or getattr(cli, "precision", None)
    about = {"benchmark": kind, "experiment": cli.name, "network": str(cli.model.student.config)}
    return {**about, "crop_size": list(data.crop_size), "batch": batch, "whole": whole, "precision": precision} | found


class _Advancing:
    """A progress display that is told of single steps."""

    def __init__(self, what: str, total: int) -> None:
        self._display, self._total = counting(what), total

    def __enter__(self) -> Callable[[], None]:
        return _counter(self._display.__enter__(), self._total)

    def __exit__(self, *reason: Any) -> None:
        self._display.__exit__(*reason)


def _progress(what: str, request: Request, more: int = 0) -> _Advancing:
    return _Advancing(what, request.steps + request.warm_up + more)


def _counter(reach: Callable[[int, int | None], None], total: int | None) -> Callable[[], None]:
    done = 0

    def advance() -> None:
        nonlocal done
        done += 1
        reach(done, total)

    return advance
