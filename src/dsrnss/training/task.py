"""The adaptation task: one training step of the method (method section 1), validation and exact resume."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import lightning as L
import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor

from dsrnss.adaptation.alignment import Aligner, Alignment
from dsrnss.adaptation.augmentation import AugmentationConfig, strong_augment, uniform
from dsrnss.adaptation.geometry import warp
from dsrnss.adaptation.memory_bank import MemoryBank, MemoryBankConfig
from dsrnss.adaptation.mixing import (
    Mixed,
    MixingConfig,
    PseudoLabels,
    choose_classes,
    class_masks,
    class_mix,
    pseudo_labels,
)
from dsrnss.adaptation.refinement import RefinementConfig, refine
from dsrnss.adaptation.teacher import EMATeacher
from dsrnss.labels import CITYSCAPES, LabelSpace
from dsrnss.models.segmentor import NetworkConfig, Segmentor, build_segmentor
from dsrnss.models.weights import CARD_KEY, DEMO_MODEL, describe, load_pretrained, load_state
from dsrnss.training.config import SelfTrainingConfig, SourceConfig
from dsrnss.training.evaluation import count_batch
from dsrnss.training.losses import pixel_weighted_cross_entropy
from dsrnss.training.metrics import ConfusionMatrix, Scores, class_balance, pixel_accuracy, scores
from dsrnss.training.rng import restore_rng, rng_state
from dsrnss.training.schedule import OptimizerConfig, ScheduleConfig, build_optimizer

Batch = dict[str, dict[str, Any]]


class AdaptationTask(L.LightningModule):
    """Train on labelled day images and, where there are target images, adapt to the night.

    Args:
        network: What the student is made of.
        weights: Initial weights: `random`, `demo` (the packaged source network), or what `load_pretrained` reads.
        optimizer: AdamW.
        schedule: Learning rate over steps.
        source: The supervised part.
        self_training: The teacher and the mixed loss.
        refinement: Use of the day reference.
        mixing: Pseudo-label threshold and class choice.
        augmentation: Strong augmentation of the mixed images.
        memory_bank: The long-tail bank.
        aligner: Aligns night and reference; without one pseudo-labels are not refined.
        label_space: The classes.
        evaluate: Which network is validated and tested; officially the student.
        channels_last: Memory layout; much faster for convolutions on a CPU.
        seed: Seed of the method's draws; None: that of torch, which `seed_everything` sets.
    """

    def __init__(
        self,
        network: NetworkConfig = NetworkConfig(),  # noqa: B008  (frozen)
        weights: str = "random",
        optimizer: OptimizerConfig = OptimizerConfig(),  # noqa: B008
        schedule: ScheduleConfig = ScheduleConfig(),  # noqa: B008
        source: SourceConfig = SourceConfig(),  # noqa: B008
        self_training: SelfTrainingConfig = SelfTrainingConfig(),  # noqa: B008
        refinement: RefinementConfig = RefinementConfig(),  # noqa: B008
        mixing: MixingConfig = MixingConfig(),  # noqa: B008
        augmentation: AugmentationConfig = AugmentationConfig(),  # noqa: B008
        memory_bank: MemoryBankConfig = MemoryBankConfig(),  # noqa: B008
        aligner: Aligner | None = None,
        label_space: LabelSpace = CITYSCAPES,
        evaluate: Literal["student", "teacher"] = "student",
        channels_last: bool = True,
        seed: int | None = None,
    ) -> None:
        super().__init__()
        self.optimizer_config, self.schedule_config = optimizer, schedule
        self.source_config, self.self_training = source, self_training
        self.refinement, self.mixing, self.augmentation = refinement, mixing, augmentation
        self.aligner = aligner
        self.label_space = label_space
        self.evaluate = evaluate
        self.student = build_segmentor(network)
        if channels_last:
            self.student = self.student.to(memory_format=torch.channels_last)
        if weights != "random":
            self.load_weights(weights)
        self.teacher = EMATeacher(self.student, self_training.momentum, self_training.teacher_dropout)
        self.bank = MemoryBank(label_space.tail, memory_bank)
        self.generator = torch.Generator().manual_seed(torch.initial_seed() if seed is None else seed)
        self.batches_seen = 0
        self._teacher_step = -1
        self.image_size: tuple[int, int] | None = None
        self.class_weights: Tensor | None = None
        self.confusion: list[ConfusionMatrix] = []
        self.results: dict[str, Scores] = {}
        self._pending_rng: dict[str, Any] | None = None

    def load_weights(self, path: str | Path) -> None:
        """Take the student's weights from a file, or `demo`; the teacher becomes its copy at step 0.

        Raises:
            CheckpointError: If there is no such file, or it is of another network.
        """
        path = DEMO_MODEL if str(path) == "demo" else Path(path)
        load_state(self.student, load_pretrained(path).segmentor.state_dict(), str(path))

    def card(self) -> dict[str, Any]:
        """What is told of the network beside its weights."""
        height, width = self.image_size or (None, None)
        return {"step": self.global_step, "image_height": height, "image_width": width}

    # --- one training step, in the order of the method ---------------------------------------------------------------

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """One step of the method on `batch["source"]` and, if it is there, `batch["target"]`."""
        images, labels = batch["source"]["image"], batch["source"]["label"]
        self._update_teacher()
        if "target" in batch:
            images_trg, pseudo = self.pseudo_label(batch["target"])
            mixed = self.mix(images, labels, images_trg, pseudo)
            logits_src, logits_mixed = self.student_logits(self.augment_source(images), mixed.images)
            losses = {"source": self.source_loss(logits_src, labels), "mixed": self.mixed_loss(logits_mixed, mixed)}
        else:
            (logits_src,) = self.student_logits(self.augment_source(images))
            losses = {"source": self.source_loss(logits_src, labels)}
        total = torch.stack(list(losses.values())).sum()
        self.log_dict({f"train/loss_{name}": loss.detach() for name, loss in losses.items()})
        self.log("train/loss", total.detach(), prog_bar=True)
        self.batches_seen += 1
        return total

    def _update_teacher(self) -> None:
        """Once an optimiser step, however many batches it accumulates."""
        if self.global_step != self._teacher_step:
            self.teacher.update(self.student, self.global_step)
            self._teacher_step = self.global_step

    def augment_source(self, images: Tensor) -> Tensor:
        """Photometric augmentation of the source, if it is configured: (B, 3, H, W)."""
        config = self.source_config.augmentation
        return images if config is None else strong_augment(images, config, self.generator)

    def student_logits(self, *batches: Tensor) -> list[Tensor]:
        """The student's logits of one or more image batches, in one forward pass or in one each."""
        if not self.self_training.joint_forward:
            return [self.student(images).logits.float() for images in batches]
        logits = self.student(torch.cat(batches)).logits.float()
        return list(logits.split([len(images) for images in batches]))

    def source_loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Supervised loss of day images: (B, C, h, w), (B, H, W) -> scalar."""
        return pixel_weighted_cross_entropy(logits, labels, class_weights=self.class_weights)

    @torch.no_grad()
    def pseudo_label(self, target: dict[str, Any]) -> tuple[Tensor, PseudoLabels]:
        """Pseudo-labels of the target, refined by its day reference.

        Args:
            target: `image`, and optionally `reference`, `flow`, `confidence`, and `label` (only measured).

        Returns:
            The images adapted to, (B, 3, H, W), and their pseudo-labels.
        """
        images, reference = target["image"], target.get("reference")
        if self.self_training.adapt_to_reference and reference is not None and uniform(0, 1, self.generator) < 0.5:
            images, probabilities = reference, self.teacher(reference).softmax(1)
        elif reference is None or self.aligner is None or not self.refinement.enabled:
            probabilities = self.teacher(images).softmax(1)
        else:
            probabilities = self._refined(target, images, reference)
        pseudo = pseudo_labels(probabilities, self.mixing)
        self.log("pseudo/share", pseudo.share)
        if images is not reference:
            self._log_accuracy("refined", pseudo.labels, target)
        return images, pseudo

    def _refined(self, target: dict[str, Any], images: Tensor, reference: Tensor) -> Tensor:
        logits_trg, logits_ref = self.teacher(torch.cat((images, reference))).chunk(2)
        given = Alignment(target["flow"], target.get("confidence")) if "flow" in target else None
        assert self.aligner is not None
        flow, confidence = self.aligner(images, reference, given)
        warped, valid = warp(logits_ref, flow)
        self._log_accuracy("teacher", logits_trg.argmax(1), target)
        return refine(logits_trg, warped, valid, confidence, self.label_space.large_static, self.refinement)

    @torch.no_grad()
    def mix(self, images_src: Tensor, labels_src: Tensor, images_trg: Tensor, pseudo: PseudoLabels) -> Mixed:
        """DSR: class choice with co-occurrence, class mix, strong augmentation, memory bank."""
        self.bank.add(images_src, labels_src)
        masks = class_masks(labels_src, self.choose_classes(labels_src))
        mixed = class_mix(masks, images_src, labels_src, images_trg, pseudo)
        images, labels, weights = mixed
        images = strong_augment(images, self.augmentation, self.generator)
        if self.bank.is_due(self.global_step):
            images, labels, weights = self.bank.paste(images, labels, weights)
        return Mixed(images, labels, weights)

    def choose_classes(self, labels: Tensor) -> list[list[int]]:
        """The classes of each source image that are mixed in: (B, H, W) -> B lists of train ids."""
        rules = self.label_space.co_occurrence if self.mixing.co_occurrence else ()
        return [
            choose_classes(label, rules, self.generator, choose_ignored=self.mixing.choose_ignored)
            for label in labels.cpu()
        ]

    def mixed_loss(self, logits: Tensor, mixed: Mixed) -> Tensor:
        """Loss of the student on the mixed batch, weighted per pixel."""
        return self.self_training.mixed_weight * pixel_weighted_cross_entropy(logits, mixed.labels, mixed.weights)

    def _log_accuracy(self, name: str, labels: Tensor, target: dict[str, Any]) -> None:
        if "label" in target:
            self.log(f"pseudo/accuracy_{name}", pixel_accuracy(labels, target["label"]))

    # --- optimiser, validation ----------------------------------------------------------------------------------------

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """AdamW over four groups; the schedule moves once a step."""
        optimizer, scheduler = build_optimizer(self.student, self.optimizer_config, self.schedule_config)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def on_fit_start(self) -> None:
        """Read the scale and, if they are asked for, the class frequencies of the source set."""
        # Lightning trains modules in the mode it finds them, and an evaluation before may have left them in eval mode
        self.train()
        self.image_size = self.trainer.datamodule.source.sample_size()  # type: ignore[attr-defined]
        if self.source_config.class_balance:
            counts = self.trainer.datamodule.source.class_counts()  # type: ignore[attr-defined]
            weights = class_balance(counts.sum(0), self.source_config.class_balance)
            self.class_weights = torch.from_numpy(weights).to(self.device, torch.float32)

    @property
    def evaluated(self) -> Segmentor:
        """The network that is validated and tested."""
        return self.student if self.evaluate == "student" else self.teacher.network

    def _start_evaluation(self, names: Sequence[str]) -> None:
        self.confusion = [ConfusionMatrix(self.label_space.num_classes).to(self.device) for _ in names]
        self.evaluated.eval()
        if self.evaluate == "teacher":
            self.teacher.adopt_statistics(self.student)

    def _evaluate(self, batch: dict[str, Any], dataloader_idx: int) -> None:
        count_batch(self.evaluated, batch, self.confusion[dataloader_idx])

    def _end_evaluation(self, names: Sequence[str], stage: str) -> None:
        for name, confusion in zip(names, self.confusion, strict=True):
            self.results[name] = scores(confusion.compute().cpu().numpy(), self.label_space)
            means = {f"{stage}/{name}/{metric}": value for metric, value in self.results[name].summary().items()}
            self.log_dict(means, add_dataloader_idx=False)
        self.teacher.train(self.training)

    def on_validation_epoch_start(self) -> None:
        """Begin with empty confusion matrices."""
        self._start_evaluation(self._names("val"))

    def validation_step(self, batch: dict[str, Any], batch_idx: int, dataloader_idx: int = 0) -> None:
        """Count a batch."""
        self._evaluate(batch, dataloader_idx)

    def on_validation_epoch_end(self) -> None:
        """Log the means of each set."""
        self._end_evaluation(self._names("val"), "val")

    def on_test_epoch_start(self) -> None:
        """Begin with empty confusion matrices."""
        self._start_evaluation(self._names("test"))

    def test_step(self, batch: dict[str, Any], batch_idx: int, dataloader_idx: int = 0) -> None:
        """Count a batch."""
        self._evaluate(batch, dataloader_idx)

    def on_test_epoch_end(self) -> None:
        """Log the means of each set."""
        self._end_evaluation(self._names("test"), "test")

    def _names(self, stage: str) -> list[str]:
        return list(getattr(self.trainer.datamodule, stage))  # type: ignore[attr-defined]

    def predict_step(self, batch: dict[str, Any], batch_idx: int, dataloader_idx: int = 0) -> Tensor:
        """Train ids of a batch: (B, H, W) uint8."""
        return self.evaluated.eval().predict(batch["image"]).argmax(1).byte()

    # --- exact resume ------------------------------------------------------------------------------------------------

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the description of the network, the random state, the samplers' position and the bank's shapes."""
        checkpoint[CARD_KEY] = describe(self.student.config, self.label_space, self.card())
        checkpoint["resume"] = {
            "batches_seen": self.batches_seen,
            "teacher_step": self._teacher_step,
            "rng": rng_state(self.generator),
            "bank": self.bank.shapes(),
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take them back; the random state is restored when the next step begins."""
        resume = checkpoint.get("resume")
        if resume is None:
            return
        self.batches_seen = resume["batches_seen"]
        self._teacher_step = resume["teacher_step"]
        self.bank.resize(resume["bank"])
        self._pending_rng = resume["rng"]

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Restore the random state of a resumed run: whatever was drawn since the start of the process is undone."""
        if self._pending_rng is not None:
            restore_rng(self._pending_rng, self.generator)
            self._pending_rng = None
