"""What a training step costs: timed on this machine, and counted on tensors without values."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from typing import Any, NamedTuple, cast
from unittest import mock

import lightning as L
import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map_only

from dsrnss.adaptation.alignment import ClassicalAligner, GivenAligner
from dsrnss.adaptation.records import Batch
from dsrnss.allocator import keep_freed_memory
from dsrnss.constants import forget_constants
from dsrnss.data.datamodule import AdaptationDataModule
from dsrnss.errors import DatasetNotFoundError
from dsrnss.measuring.counting import Counter, GpuAutocast
from dsrnss.measuring.made_up import training_batch
from dsrnss.measuring.rehearsal import Rehearsal, autocast
from dsrnss.measuring.stages import Cost, Stages, gauge_of
from dsrnss.presence import classes_present
from dsrnss.training.task import AdaptationTask

STEP, EPOCH = 10_000, 100
"""Of the first step that is measured: late enough for every loss, one that the memory bank is pasted in."""
STEP_STAGE = "step"
_HALF = {"16": torch.float16, "bf16": torch.bfloat16}


class Counted(NamedTuple):
    """What is known of a step without running it.

    Attributes:
        stages: Of each stage its `operations` and `peak_bytes`, those of what lies inside it among them.
        kept_bytes: Weights, buffers, gradients and moments of the optimiser.
    """

    stages: dict[str, Cost]
    kept_bytes: int


def half_precision(precision: object) -> torch.dtype | None:
    """The type that autocast computes in under a `trainer.precision`, None: it does not."""
    name, _, kind = str(precision).partition("-")
    return None if kind == "true" else _HALF.get(name)


def batches(data: AdaptationDataModule, *, made_up: bool = False) -> tuple[Iterator[Batch], bool]:
    """Training batches without end, and whether they are made up, since the sets are not there or nobody wants them."""
    if not made_up:
        try:
            data.setup("fit")
            return loaded(data), False
        except DatasetNotFoundError:
            pass
    batch = training_batch(data)
    return iter(lambda: batch, None), True


def loaded(data: AdaptationDataModule) -> Iterator[Batch]:
    """Training batches without end of a data module that is set up."""
    loader = data.train_dataloader()
    while True:
        for batch, *_ in loader:
            batch["source"]["present"] = classes_present(batch["source"]["label"])
            yield batch


def load_aligner(aligner: Any) -> None:
    """Let an aligner be ready, its networks with random weights: what they are does not change what they cost."""
    for one in (aligner, getattr(aligner, "aligner", None)):
        for name in ("weights", "vgg_weights"):
            if hasattr(one, name):
                setattr(one, name, "random")
        if hasattr(one, "load"):
            one.load()  # type: ignore[union-attr]


class TrainingStep:
    """One optimiser step of a task, in the order in which the trainer does it.

    Args:
        task: The task, on its device.
        trainer: Whose precision and clipping it has.
        stages: Where backward pass and optimiser are written down.
        precision: Around the forward pass; None: what the trainer's precision says.
    """

    def __init__(
        self,
        task: AdaptationTask,
        trainer: L.Trainer,
        stages: Stages,
        precision: Callable[[], AbstractContextManager[Any]] | None = None,
    ) -> None:
        self.task, self.trainer, self.stages = task, trainer, stages
        self.plugin = trainer.precision_plugin
        self.scaler = getattr(self.plugin, "scaler", None)
        self.precision = precision or self.plugin.train_step_context
        task.trainer = trainer
        self.optimizer = cast(dict[str, torch.optim.Optimizer], task.configure_optimizers())["optimizer"]

    def forward(self, batch: Batch, number: int = 0) -> Tensor:
        """The loss of a batch."""
        with self.precision():
            losses, _ = self.task.method.losses(self.task.student, batch, STEP + number, EPOCH)
        total = self.task.guard.total(losses, batch, self.task.student, STEP + number)
        assert total is not None  # it is not asked whether it is finite before the optimiser's step
        return total

    def run(self, batch: Batch, number: int = 0) -> None:
        """The whole step."""
        total = self.forward(batch, number)
        self.optimizer.zero_grad()  # here, so that the gradients of the step before lie beside the forward pass
        with self.stages.of("backward"):
            (total if self.scaler is None else self.scaler.scale(total)).backward()
        with self.stages.of("optimiser"):
            self.check(number)
            if self.trainer.gradient_clip_val:
                if self.scaler is not None:
                    self.scaler.unscale_(self.optimizer)
                self.plugin.clip_gradients(self.optimizer, self.trainer.gradient_clip_val)
            if self.scaler is None:
                self.optimizer.step()
            else:
                self.scaler.step(self.optimizer)
                self.scaler.update()

    def check(self, number: int = 0) -> None:
        """Refuse what is not finite."""
        task, scaled = self.task, self.scaler is not None
        task.guard.check(task, task.student, self.optimizer, STEP + number, scaled=scaled)


def _make_ready(task: AdaptationTask) -> None:
    """What `fit` learns of the data, evenly."""
    method, classes = task.method, task.label_space.num_classes
    if method.config.source.class_balance:
        method.class_weights = torch.ones(classes)
    if method.priors is not None:
        method.priors.learn(torch.ones_like(method.priors.counts))
    task.guard.on_nonfinite = "stop"
    task.train()


@contextmanager
def watched(task: AdaptationTask, stages: Stages) -> Iterator[None]:
    """Inside the block the parts of the method are stages."""
    method = task.method
    parts: list[tuple[Any, str, str]] = [
        (method.teacher, "update", "teacher's average"),
        (method.teacher, "forward", "teacher"),
        (method, "pseudo_label", "refinement"),
        (method, "mix", "mixing"),
        (method, "student_passes", "student"),
        (method, "source_loss", "source and mixed loss"),
        (method, "mixed_loss", "source and mixed loss"),
        (method, "feature_distance_loss", "feature distance"),
        (method, "prototype_losses", "prototypes"),
    ]
    parts += [(method, "masked_loss", "masked images")] if method.config.masking.weight else []
    if isinstance(method.aligner, nn.Module):
        parts.append((method.aligner, "forward", "alignment"))
    elif method.aligner is not None:
        parts.append((method, "aligner", "alignment"))
    with ExitStack() as patches:
        for owner, name, stage in parts:
            patches.enter_context(mock.patch.object(owner, name, stages.wrapped(stage, getattr(owner, name))))
        yield


def measure(
    task: AdaptationTask,
    trainer: L.Trainer,
    given: Iterator[Batch],
    steps: int,
    warm_up: int,
    advance: Callable[[], None] = lambda: None,
) -> dict[str, Cost]:
    """Run some steps.

    Args:
        task: With weights of any kind.
        trainer: Of the experiment.
        given: Batches on the host.
        steps: How many are measured.
        warm_up: How many before them are not.
        advance: Called after each.

    Returns:
        Of each stage the mean of a step, see `Stages.costs`.
    """
    device = trainer.strategy.root_device
    if device.type == "cpu":
        keep_freed_memory(largest_too=False)
    load_aligner(task.method.aligner)
    stages = Stages(gauge_of(device))
    _make_ready(task)
    trainer.precision_plugin.convert_module(task).to(device)
    step = TrainingStep(task, trainer, stages)
    with watched(task, stages):
        for number in range(warm_up + steps):
            if number == warm_up:
                stages.forget()
            with stages.of(STEP_STAGE):
                with stages.of("data"):
                    batch = trainer.precision_plugin.convert_input(_on(next(given), device))
                step.run(batch, number)
            advance()
    return stages.costs(steps)


def _on(batch: Batch, device: torch.device) -> Batch:
    moved: Batch = tree_map_only(Tensor, lambda tensor: tensor.to(device, non_blocking=True), batch)
    return moved


def count(
    task: AdaptationTask, trainer: L.Trainer, batch: Batch, precision: object = "32-true", *, gpu: bool = True
) -> Counted:
    """Count a step on tensors without values.

    A step whose gradients and moments are there, and whose memory bank is full. The networks lose their numbers.

    Args:
        task: Built on `meta`, or one that is no longer needed.
        trainer: One of the CPU in 32 bits.
        batch: On the host.
        precision: The `trainer.precision` to count for.
        gpu: Whether autocast is that of a GPU, else of the CPU.
    """
    rehearsal, counter, dtype = Rehearsal("cpu"), Counter(), half_precision(precision)
    batch, stages = _faked(rehearsal, task, batch), Stages(counter)
    if isinstance(task.method.aligner, ClassicalAligner):  # on the host, with numbers: nothing of it is counted
        task.method.aligner = GivenAligner()

    def cast_down() -> AbstractContextManager[Any]:
        return nullcontext() if dtype is None else torch.autocast("cpu", dtype)

    rules = _gpu_autocast(task.student.backbone) if gpu and dtype is not None else nullcontext()
    step = TrainingStep(task, trainer, stages, cast_down)
    counter.hold([*_tensors(task), *(leaf for leaf in tree_leaves(batch) if isinstance(leaf, Tensor))])
    with _without_constants(), rules, rehearsal, counter, watched(task, stages):
        _give_gradients(task)
        step.optimizer.step()
        kept = counter.bytes
        for _ in range(task.method.bank.config.size):
            source = batch["source"]
            task.method.bank.add(source["image"], source["label"], EPOCH, source["present"])
        stages.forget()
        counter.forget_peak()
        with stages.of(STEP_STAGE):
            step.run(batch)
    task.method.bank.entries = ()
    return Counted(stages.costs(), kept)


def waits(task: AdaptationTask, trainer: L.Trainer, batch: Batch, precision: object = "32-true") -> dict[str, int]:
    """Where the host waits for a GPU in a step once constants are there; backward pass and optimiser ask nothing.

    Args:
        task: As of `count`.
        trainer: As of `count`.
        batch: As of `count`.
        precision: As of `count`.

    Returns:
        The line of the package -> how often.
    """
    rehearsal, dtype = Rehearsal(), half_precision(precision)
    batch = _faked(rehearsal, task, batch)
    with _without_constants(), torch.backends.cudnn.flags(enabled=False), rehearsal:  # its grid sampler has no fake
        step = TrainingStep(task, trainer, Stages(Counter()), lambda: autocast("cuda", dtype))
        step.forward(batch)
        _give_gradients(task)
        step.check()
    task.method.bank.entries = ()
    return {line: number for line, number in rehearsal.syncs.items() if not line.startswith("constants.py")}


@contextmanager
def _gpu_autocast(backbone: nn.Module) -> Iterator[None]:
    """Inside the block autocast is that of a GPU, also where a backward pass runs the backbone again."""
    forward = backbone.forward

    def again(images: Tensor) -> Any:
        with GpuAutocast():  # a backward pass leaves the one around it
            return forward(images)

    with GpuAutocast(), mock.patch.object(backbone, "forward", again):
        yield


@contextmanager
def _without_constants() -> Iterator[None]:
    """What was made before, and what is made inside the block, does not meet."""
    forget_constants()
    try:
        yield
    finally:
        forget_constants()


def _faked(rehearsal: Rehearsal, task: AdaptationTask, batch: Batch) -> Batch:
    load_aligner(task.method.aligner)
    _make_ready(task)
    for parameter in task.parameters():
        parameter.grad = None
    for module in _modules(task):
        rehearsal.move(module)
    faked: Batch = tree_map_only(Tensor, rehearsal.upload, batch)
    return faked


def _modules(task: AdaptationTask) -> list[nn.Module]:
    network = getattr(task.method.aligner, "network", None)
    return [task, *([network] if isinstance(network, nn.Module) else [])]


def _tensors(task: AdaptationTask) -> list[Tensor]:
    return [tensor for module in _modules(task) for tensor in (*module.parameters(), *module.buffers())]


def _give_gradients(task: AdaptationTask) -> None:
    for parameter in task.parameters():
        if parameter.requires_grad:
            parameter.grad = torch.empty_like(parameter)
