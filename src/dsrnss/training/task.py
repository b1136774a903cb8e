"""The adaptation task: what Lightning has to know of the method (optimiser, logging, evaluation, checkpoints)."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, cast

import lightning as L
import torch
from lightning.pytorch.plugins.precision import MixedPrecision
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from dsrnss.adaptation.alignment import Aligner
from dsrnss.adaptation.method import DSRNSS, MethodConfig
from dsrnss.adaptation.records import Batch, StepRecord
from dsrnss.allocator import keep_freed_memory
from dsrnss.errors import ConfigError
from dsrnss.labels import CITYSCAPES, LabelSpace
from dsrnss.metrics import Scores, pixel_accuracy
from dsrnss.models.config import NetworkConfig
from dsrnss.models.factory import build_segmentor
from dsrnss.models.segmentor import Segmentor
from dsrnss.models.weights import CARD_KEY, describe
from dsrnss.models.weights.unwrapping import Which
from dsrnss.training.callbacks.execution import Execution, LayoutChoice, set_layout
from dsrnss.training.callbacks.process_state import ProcessState
from dsrnss.training.callbacks.pseudo_accuracy import STAGES, PseudoAccuracy, measurable
from dsrnss.training.callbacks.random_state import RandomState
from dsrnss.training.evaluation import Evaluation, InferenceConfig, Predictor
from dsrnss.training.guard import NonfiniteGuard, OnNonfinite
from dsrnss.training.initial import InitialWeights, read_network
from dsrnss.training.predictions import Prediction, predict_batch
from dsrnss.training.processes import end_group_at_exit
from dsrnss.training.protocol import TrainingData, set_names, training_data
from dsrnss.training.resume import (
    SETTINGS_KEY,
    check_description,
    check_resumable,
    check_settings,
    leave_out_training,
)
from dsrnss.training.schedule import (
    OptimizerConfig,
    ScheduleConfig,
    apply_settings,
    build_optimizer,
    parameter_groups,
)


class AdaptationTask(L.LightningModule):
    """Train on labelled day images and, where there are target images, adapt to the night.

    Args:
        network: What the student is made of; its number of classes is that of the label space.
        weights: Initial weights of the whole network: `random`, `demo` (the packaged source network), a name of
            `dsrnss weights list`, or what `load_pretrained` reads.
        backbone_weights: Initial weights of the backbone alone, where `weights` is `random`: a name, a file, or
            `random`.
        optimizer: AdamW.
        schedule: Learning rate over steps.
        criterion: What a prediction costs: `cross_entropy`, or a class of your own (see
            `dsrnss.adaptation.criterion.PixelWeightedCrossEntropy`).
        aligner: Aligns night and reference; without one pseudo-labels are not refined.
        inference: How pictures are evaluated and predicted.
        label_space: The classes.
        evaluate: Which network is validated and tested; officially the student.
        channels_last: Memory layout of the student; `auto`: measured at the first batch, as the CPU threads are.
        compile: Compile backbones and heads, which takes minutes once; losses are equal to 1e-4.
        recompute_backbone: Compute the backbone's activations again in the backward pass: less memory, more time.
        freeze_batch_norm: Let the batch norms of student and teacher normalise by the statistics that the weights come
            with, which then rest. Not in the paper; for a network that knows the streets already.
        seed: Seed of the method's draws; None: that of torch, which `seed_everything` sets.
        on_nonfinite: `stop` or `skip` the batch where a loss or a gradient is not finite.
        check_classes: Refuse weights and checkpoints whose classes have other names, or another order, than those of
            `label_space`.
        parts: The switches of the method, by the names of `MethodConfig`.

    Attributes:
        student: The network that is trained.
        method: Teacher, memory bank and whatever else the method keeps.
        results: The scores of each set that was measured last.
        method_class: The method; a subclass of the task may name a subclass of it.
    """

    method_class: type[DSRNSS] = DSRNSS

    def __init__(
        self,
        network: NetworkConfig = NetworkConfig(),  # noqa: B008  (frozen)
        weights: str = "random",
        backbone_weights: str = "random",
        optimizer: OptimizerConfig = OptimizerConfig(),  # noqa: B008
        schedule: ScheduleConfig = ScheduleConfig(),  # noqa: B008
        criterion: nn.Module | str = "cross_entropy",
        aligner: Aligner | None = None,
        inference: InferenceConfig = InferenceConfig(),  # noqa: B008
        label_space: LabelSpace = CITYSCAPES,
        evaluate: Literal["student", "teacher"] = "student",
        channels_last: LayoutChoice = False,
        compile: bool = False,
        recompute_backbone: bool = False,
        freeze_batch_norm: bool = False,
        seed: int | None = None,
        on_nonfinite: OnNonfinite = "stop",
        check_classes: bool = True,
        **parts: Any,
    ) -> None:
        super().__init__()
        # the configuration reads the names and types of `parts` from this call
        config = MethodConfig(**parts)
        self.optimizer_config, self.schedule_config = optimizer, schedule
        self.inference, self.label_space, self.evaluate = inference, label_space, evaluate
        self.student = build_segmentor(replace(network, num_classes=label_space.num_classes))
        self.student.set_recompute_backbone(recompute_backbone)
        self.student.freeze_batch_norm(freeze_batch_norm)
        set_layout(self.student, channels_last is True)
        self.execution = Execution(channels_last, compile)
        self.method = self.method_class(self.student, label_space, config, aligner, criterion, seed)
        self.guard = NonfiniteGuard(on_nonfinite)
        self.results: dict[str, Scores] = {}
        self.check_classes = check_classes
        self._initial: InitialWeights | None = InitialWeights(weights, backbone_weights)
        self._settings = {
            "model.weights": weights,
            "model.backbone_weights": backbone_weights,
            "model.seed": seed,
            # the optimiser has its state by groups, which are others with a decay
            "model.optimizer.layer_decay below 1": optimizer.layer_decay < 1,
        }
        self._evaluation: Evaluation | None = None
        self._source_size: tuple[int, int] | None = None

    # --- weights and checkpoints --------------------------------------------------------------------------------------

    def load_weights(self, path: str | Path, which: Which = "student") -> None:
        """Take the student's weights from a file or a name; teacher and reference encoder become its copies.

        Args:
            path: As `load_pretrained` takes it.
            which: Of a file that has both, the student or the teacher.

        Raises:
            CheckpointError: If there is no such file, or it is of another network.
        """
        read_network(self.student, path, self.label_space if self.check_classes else None, which)
        self._begin()

    def _read_initial_weights(self) -> None:
        if self._initial is not None:
            self._initial.read_into(self.student, self.label_space if self.check_classes else None)
            self._begin()

    def _begin(self) -> None:
        self._initial = None
        self.method.begin_from(self.student)

    def card(self) -> dict[str, Any]:
        """What is told of the network beside its weights."""
        height, width = self._source_size or (None, None)
        return {"step": self.global_step, "image_height": height, "image_width": width}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the description of the network."""
        checkpoint[CARD_KEY] = describe(self.student.config, self.label_space, self.card())
        checkpoint[SETTINGS_KEY] = self._settings

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """See what the checkpoint is good for.

        Raises:
            CheckpointError: If its classes are others, or training goes on with other parts or settings than it began
                with, naming them.
        """
        self._initial = None
        if self.check_classes:
            check_description(checkpoint.get(CARD_KEY), self.label_space)
        trainer = getattr(self, "_trainer", None)
        if trainer is None or trainer.state.fn == TrainerFn.FITTING:
            check_resumable(checkpoint, self)
            check_settings(checkpoint, self._settings)
        else:
            leave_out_training(checkpoint, self)

    # --- training -----------------------------------------------------------------------------------------------------

    def configure_callbacks(self) -> list[L.Callback]:
        """What every training has, unless the trainer has such."""
        own = [self.execution, RandomState(), PseudoAccuracy(self.label_space), ProcessState()]
        given = {type(callback) for callback in self.trainer.callbacks}  # type: ignore[attr-defined]
        return [callback for callback in own if type(callback) not in given]

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """AdamW over four groups; the schedule moves once a step, over the trainer's steps unless it names its own."""
        schedule = self.schedule_config
        if schedule.max_steps is None:
            schedule = replace(schedule, max_steps=int(self.trainer.estimated_stepping_batches))
        # fused, a gradient scaler need not be asked by the host whether to step; but Lightning then clips nothing in
        # mixed precision, and a scaler that finds the gradients of a skipped step gone has looked at none
        clips = self.trainer.gradient_clip_val and isinstance(self.trainer.precision_plugin, MixedPrecision)
        fused = self.device.type == "cuda" and not clips and not (self._scaled and self.guard.on_nonfinite == "skip")
        optimizer, scheduler = build_optimizer(
            self.student, self.optimizer_config, schedule, self.method.criterion, fused=fused
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def setup(self, stage: str) -> None:
        """Called by Lightning in each process, before anything of it."""
        end_group_at_exit()

    def on_fit_start(self) -> None:
        """Read the weights, the scale and, if they are asked for, frequencies and places of the classes of the source.

        Raises:
            ConfigError: If the data cannot tell what is asked of its classes.
        """
        if self.device.type == "cpu":
            keep_freed_memory(largest_too=False)
        self._read_initial_weights()
        # Lightning trains modules in the mode it finds them, and an evaluation before may have left them in eval mode
        self.train()
        if self.method.aligner is not None:
            self.method.aligner.load()
        self._count_source(training_data(self.trainer))

    def _count_source(self, data: TrainingData | None) -> None:
        balance, priors = self.method.config.source.class_balance, self.method.priors
        counts_places = priors is not None and not priors.known  # a checkpoint has them
        if data is None:
            if balance or counts_places:
                name = "source.class_balance" if balance else "priors.strength"
                raise ConfigError(f"{name} needs counts of the source's labels: train with an AdaptationDataModule.")
            return
        self._source_size = data.source_size()
        if balance:
            self.method.balance(data.source_counts())
        if priors is not None and counts_places:
            priors.learn(torch.from_numpy(data.source_places(priors.GRID)))

    def on_train_start(self) -> None:
        """Let the settings of today hold, not those that a checkpoint was saved with."""
        (optimizer,), (scheduler,) = self.trainer.optimizers, self.trainer.lr_scheduler_configs
        groups = parameter_groups(self.student, self.optimizer_config, self.method.criterion)
        today = [{**group, "betas": self.optimizer_config.betas} for group in groups]
        apply_settings(optimizer, cast(LambdaLR, scheduler.scheduler), today)

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Be ready to undo the batch."""
        new_step = batch_idx % self.trainer.accumulate_grad_batches == 0
        self.guard.begin(batch, self.method.snapshot(self.student), new_step=new_step)

    def training_step(self, batch: Batch, batch_idx: int) -> dict[str, Any] | None:
        """One step of the method; its `record` goes to the callbacks."""
        losses, record = self.method.losses(self.student, batch, self.global_step, self.current_epoch)
        total = self.guard.total(losses, batch, self.student, self.global_step)
        if total is None:
            return None
        self.log_dict({f"train/loss_{name}": loss.detach() for name, loss in losses.items()})
        self.log("train/loss", total.detach(), prog_bar=True)
        self._log_pseudo_labels(record, batch)
        return {"loss": total, "record": record}

    def _log_pseudo_labels(self, record: StepRecord, batch: Batch) -> None:
        if record.target is None:
            return
        self.log("pseudo/share", record.target.pseudo.share)
        for stage, labels in measurable(record, batch).items():
            self.log(f"pseudo/accuracy_{stage}", pixel_accuracy(labels, batch["target"]["label"]))
        if record.target.is_reference and "label" in batch["target"]:
            # Lightning would log the numbers of an earlier step again
            for stage in STAGES if self.method.refines(batch["target"]) else STAGES[1:]:
                self.log(f"pseudo/accuracy_{stage}", math.nan)

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Refuse losses and gradients that are not finite; gradients that a scaler made so are its own affair."""
        self.guard.check(self, self.student, optimizer, self.global_step, scaled=self._scaled)

    @property
    def _scaled(self) -> bool:
        """Whether a gradient scaler watches the gradients, as in 16-mixed precision."""
        return getattr(self.trainer.precision_plugin, "scaler", None) is not None

    # --- evaluation ---------------------------------------------------------------------------------------------------

    @property
    def evaluated(self) -> Segmentor:
        """The network that is validated and tested."""
        return self.student if self.evaluate == "student" else self.method.teacher.network

    @property
    def predictor(self) -> Predictor:
        """That network, and how pictures pass it."""
        return Predictor(self.evaluated, self.inference)

    def prepare_evaluated(self) -> Segmentor:
        """Make that network ready: its weights, eval mode, and a teacher's batch-norm statistics."""
        self._read_initial_weights()
        self.evaluated.eval()
        if self.evaluate == "teacher":
            self.method.teacher.adopt_statistics(self.student)
        return self.evaluated

    def _start(self, stage: str, loaders: int) -> None:
        self.prepare_evaluated()
        names = set_names(self.trainer, stage, loaders)
        self._evaluation = Evaluation(names, self.label_space, self.device, detailed=stage == "test")

    def _count(self, batch: dict[str, Tensor], index: int) -> None:
        assert self._evaluation is not None
        self._evaluation.count(self.predictor, batch, index)

    def _end(self, stage: str) -> None:
        assert self._evaluation is not None
        found = self._evaluation.scores()
        self.results |= found
        for name, scores in found.items():
            means = {f"{stage}/{name}/{metric}": value for metric, value in scores.summary().items()}
            self.log_dict(means, add_dataloader_idx=False)
        self.method.teacher.train(self.training)

    def on_validation_epoch_start(self) -> None:
        """Begin with empty confusion matrices."""
        self._start("val", len(self.trainer.num_val_batches))

    def validation_step(self, batch: dict[str, Tensor], batch_idx: int, dataloader_idx: int = 0) -> None:
        """Count a batch."""
        self._count(batch, dataloader_idx)

    def on_validation_epoch_end(self) -> None:
        """Log the means of each set."""
        self._end("val")

    def on_test_epoch_start(self) -> None:
        """Begin with empty confusion matrices."""
        self._start("test", len(self.trainer.num_test_batches))

    def test_step(self, batch: dict[str, Tensor], batch_idx: int, dataloader_idx: int = 0) -> None:
        """Count a batch."""
        self._count(batch, dataloader_idx)

    def on_test_epoch_end(self) -> None:
        """Log the means of each set."""
        self._end("test")

    def on_predict_start(self) -> None:
        """Read the initial weights, if no checkpoint brought any; predict with what `test` measures."""
        self.prepare_evaluated()

    def predict_step(self, batch: dict[str, Any], batch_idx: int, dataloader_idx: int = 0) -> list[Prediction]:
        """Labels and confidences of a batch, each picture at its size on disk."""
        return predict_batch(self.predictor, batch)
