"""The adaptation task: one training step of the method (method section 1)."""

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor

from dsrnss.adaptation.alignment import Aligner, Alignment
from dsrnss.adaptation.augmentation import AugmentationConfig, strong_augment, uniform
from dsrnss.adaptation.class_frequency import ClassFrequency
from dsrnss.adaptation.feature_distance import FeatureDistanceConfig, feature_distance
from dsrnss.adaptation.geometry import warp
from dsrnss.adaptation.losses import segmentation_loss
from dsrnss.adaptation.masking import MaskingConfig, mask_images
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
from dsrnss.adaptation.prototypes import PrototypeConfig, contrast
from dsrnss.adaptation.reference_encoder import ReferenceEncoder
from dsrnss.adaptation.refinement import RefinementConfig, refine
from dsrnss.adaptation.teacher import EMATeacher
from dsrnss.errors import CheckpointError
from dsrnss.labels import CITYSCAPES, LabelSpace
from dsrnss.metrics import class_balance
from dsrnss.models.hrda import detail_offset
from dsrnss.models.segmentor import NetworkConfig, SegmentorOutput, build_segmentor, split_output
from dsrnss.models.weights import DEMO_MODEL, load_backbone, load_pretrained, load_state
from dsrnss.training.config import HRDAConfig, InferenceConfig, SelfTrainingConfig, SourceConfig
from dsrnss.training.nonfinite import GuardedModule, OnNonfinite
from dsrnss.training.pseudo_accuracy import PseudoAccuracy
from dsrnss.training.records import WatchedModule
from dsrnss.training.schedule import OptimizerConfig, ScheduleConfig, build_optimizer

Batch = dict[str, dict[str, Any]]

SCALE_ATTENTION = "hrda_scale_attention."
HRDA_MIXED_WEIGHT = 0.8
_log = logging.getLogger(__name__)
"""Officially the mixed loss counts less with HRDA."""


class AdaptationTask(WatchedModule, GuardedModule):
    """Train on labelled day images and, where there are target images, adapt to the night.

    Args:
        network: What the student is made of; its number of classes is that of the label space.
        weights: Initial weights of the whole network: `random`, `demo` (the packaged source network), a name of
            `dsrnss weights list`, or what `load_pretrained` reads.
        backbone_weights: Initial weights of the backbone alone, where `weights` is `random`: a name, a file, or
            `random`.
        optimizer: AdamW.
        schedule: Learning rate over steps.
        source: The supervised part.
        self_training: The teacher and the mixed loss.
        refinement: Use of the day reference.
        mixing: Pseudo-label threshold and class choice.
        augmentation: Strong augmentation of the mixed images.
        memory_bank: The long-tail bank.
        feature_distance: Distance to the initial encoder.
        prototypes: Feature prototype alignment.
        masking: Masked image consistency.
        hrda: Training of the detail crop, where the network is HRDA.
        aligner: Aligns night and reference; without one pseudo-labels are not refined.
        inference: How pictures are evaluated and predicted.
        label_space: The classes.
        evaluate: Which network is validated and tested; officially the student.
        channels_last: Memory layout; much faster for convolutions on a CPU.
        seed: Seed of the method's draws; None: that of torch, which `seed_everything` sets.
        on_nonfinite: `stop` or `skip` the batch where a loss or a gradient is not finite.
    """

    def __init__(
        self,
        network: NetworkConfig = NetworkConfig(),  # noqa: B008  (frozen)
        weights: str = "random",
        backbone_weights: str = "random",
        optimizer: OptimizerConfig = OptimizerConfig(),  # noqa: B008
        schedule: ScheduleConfig = ScheduleConfig(),  # noqa: B008
        source: SourceConfig = SourceConfig(),  # noqa: B008
        self_training: SelfTrainingConfig = SelfTrainingConfig(),  # noqa: B008
        refinement: RefinementConfig = RefinementConfig(),  # noqa: B008
        mixing: MixingConfig = MixingConfig(),  # noqa: B008
        augmentation: AugmentationConfig = AugmentationConfig(),  # noqa: B008
        memory_bank: MemoryBankConfig = MemoryBankConfig(),  # noqa: B008
        feature_distance: FeatureDistanceConfig = FeatureDistanceConfig(),  # noqa: B008
        prototypes: PrototypeConfig = PrototypeConfig(),  # noqa: B008
        masking: MaskingConfig = MaskingConfig(),  # noqa: B008
        hrda: HRDAConfig = HRDAConfig(),  # noqa: B008
        aligner: Aligner | None = None,
        inference: InferenceConfig = InferenceConfig(),  # noqa: B008
        label_space: LabelSpace = CITYSCAPES,
        evaluate: Literal["student", "teacher"] = "student",
        channels_last: bool = True,
        seed: int | None = None,
        on_nonfinite: OnNonfinite = "stop",
    ) -> None:
        super().__init__(on_nonfinite)
        self.optimizer_config, self.schedule_config = optimizer, schedule
        self.source_config, self.self_training = source, self_training
        self.refinement, self.mixing, self.augmentation = refinement, mixing, augmentation
        self.feature_distance, self.prototypes, self.masking = feature_distance, prototypes, masking
        self.hrda, self.inference, self.aligner = hrda, inference, aligner
        self.label_space = label_space
        self.evaluate = evaluate
        self.student = build_segmentor(replace(network, num_classes=label_space.num_classes))
        if channels_last:
            self.student = self.student.to(memory_format=torch.channels_last)
        self.teacher = EMATeacher(self.student, self_training.momentum, self_training.teacher_dropout)
        distant = bool(feature_distance.weight and label_space.feature_distance)
        self.reference = ReferenceEncoder(self.student) if distant else None
        self.bank = MemoryBank(memory_bank.classes(label_space), memory_bank)
        self.frequency = ClassFrequency.of(label_space) if prototypes.class_weights == "tail" else None
        self.generator = torch.Generator().manual_seed(torch.initial_seed() if seed is None else seed)
        self.pseudo_accuracy = PseudoAccuracy(label_space)
        self._initial_weights = (weights, backbone_weights)
        self.class_weights: Tensor | None = None

    # --- weights ------------------------------------------------------------------------------------------------------

    def read_initial_weights(self) -> None:
        """Read the initial weights when a run begins, unless a checkpoint brought its own.

        Raises:
            CheckpointError: If they cannot be had, or are of another network.
        """
        if self._initial_weights is None:
            return
        weights, backbone = self._initial_weights
        if weights != "random":
            self.load_weights(weights)
        elif backbone != "random":
            try:
                load_backbone(self.student.backbone, backbone)
            except CheckpointError as error:
                raise CheckpointError(f"{error}\nTo begin without: --model.backbone_weights random.") from error
            self._student_is_initial()

    def load_weights(self, path: str | Path) -> None:
        """Take the student's weights from a file, a name or `demo`; teacher and reference encoder become its copies.

        HRDA may begin with a network that is none: its scale attention then keeps its random weights.

        Raises:
            CheckpointError: If there is no such file, or it is of another network.
        """
        path = DEMO_MODEL if str(path) == "demo" else path
        state, own = load_pretrained(path).segmentor.state_dict(), self.student.state_dict()
        attention = {key: value for key, value in own.items() if key.startswith(SCALE_ATTENTION)}
        if attention and not attention.keys() & state.keys():
            _log.info("'%s' is no HRDA network: the scale attention starts from random weights.", path)
            state |= attention
        load_state(self.student, state, str(path))
        self._student_is_initial()

    def _student_is_initial(self) -> None:
        self._initial_weights = None
        self.teacher.network.load_state_dict(self.student.state_dict())
        if self.reference is not None:
            self.reference.copy_from(self.student)

    # --- one training step, in the order of the method ---------------------------------------------------------------

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor | None:
        """One step of the method on `batch["source"]` and, if it is there, `batch["target"]`."""
        images, labels = batch["source"]["image"], batch["source"]["label"]
        self.update_teacher()
        if "target" in batch:
            images_trg, pseudo = self.pseudo_label(batch["target"])
            mixed = self.mix(images, labels, images_trg, pseudo, batch_idx)
            images = self.augment_source(images)
            source, on_mixed = self.student_passes(images, mixed.images)
            self.keep(mixed_images=mixed.images, mixed_labels=mixed.labels, prediction=on_mixed.logits)
            losses = {"source": self.source_loss(source, labels), "mixed": self.mixed_loss(on_mixed, mixed)}
            losses |= self.feature_distance_loss(source, images, labels)
            losses |= self.prototype_losses((source, labels), (images_trg, pseudo.labels), (on_mixed, mixed.labels))
            losses |= self.masked_loss(images_trg, pseudo)
        else:
            images = self.augment_source(images)
            (source,) = self.student_passes(images)
            losses = {"source": self.source_loss(source, labels)}
            losses |= self.feature_distance_loss(source, images, labels)
        self.batches_seen += 1
        return self.sum_of(losses, batch)

    def augment_source(self, images: Tensor) -> Tensor:
        """Photometric augmentation of the source, if it is configured: (B, 3, H, W)."""
        config = self.source_config.augmentation
        return images if config is None else strong_augment(images, config, self.generator)

    def student_passes(self, *batches: Tensor) -> list[SegmentorOutput]:
        """The student on one or more image batches, in one forward pass or in one each."""
        if not self.self_training.joint_forward:
            return [self.student(images, self.detail_box(images)) for images in batches]
        output = self.student(torch.cat(batches), self.detail_box(batches[0]))
        return split_output(output, [len(images) for images in batches])

    def detail_box(self, images: Tensor) -> tuple[int, int] | None:
        """Draw the detail crop of a pass of HRDA over (B, 3, H, W); None for other networks."""
        if not self.student.config.hrda:
            return None
        height, width = images.shape[-2:]
        return detail_offset((height, width), self.generator, official=self.hrda.official_offsets)

    def source_loss(self, output: SegmentorOutput, labels: Tensor) -> Tensor:
        """Supervised loss of day images against (B, H, W) labels: a scalar."""
        return segmentation_loss(
            output, labels, class_weights=self.class_weights, detail_weight=self.hrda.detail_weight
        )

    def feature_distance_loss(self, output: SegmentorOutput, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Distance of the student's features of (B, 3, H, W) images to the initial encoder's, if it is switched on."""
        if self.reference is None:
            return {}
        features, initial = output.features[-1], self.reference(self.student.view(images))
        classes, number = self.label_space.feature_distance, self.label_space.num_classes
        return {"feature_distance": feature_distance(features, initial, labels, classes, number, self.feature_distance)}

    def prototype_losses(
        self,
        source: tuple[SegmentorOutput, Tensor],
        target: tuple[Tensor, Tensor],
        mixed: tuple[SegmentorOutput, Tensor],
    ) -> dict[str, Tensor]:
        """FPA: prototypes of source and target, and of source and mixed, predict each other's features.

        Args:
            source: The student's output and (B, H, W) labels.
            target: (B, 3, H, W) night images and their pseudo-labels.
            mixed: The student's output of the mixed images and their labels.
        """
        if self.frequency is not None:
            self.frequency.update(source[1])
        config = self.prototypes
        if not config.is_due(self.global_step, self.current_epoch):
            return {}
        weights = None if self.frequency is None else self.frequency.weights()
        with torch.set_grad_enabled(config.target_gradient):
            features_trg = self.student.encode(target[0])[-1]
        anchor, number = (source[0].features[-1], source[1]), self.label_space.num_classes
        on_target = contrast(*anchor, features_trg, target[1], number, config, weights)
        on_mixed = contrast(*anchor, mixed[0].features[-1], mixed[1], number, config, weights)
        share = config.mixed_weight(self.student.config.hrda)
        return {"prototypes_target": on_target, "prototypes_mixed": share * on_mixed}

    def masked_loss(self, images: Tensor, pseudo: PseudoLabels) -> dict[str, Tensor]:
        """MIC: the student predicts (B, 3, H, W) night images of which most is hidden, if it is switched on."""
        config = self.masking
        if not config.weight:
            return {}
        if config.augment:
            images = strong_augment(images, self.augmentation, self.generator)
        (output,) = self.student_passes(mask_images(images, config, self.generator))
        loss = segmentation_loss(output, pseudo.labels, pseudo.weights, detail_weight=self.hrda.detail_weight)
        return {"masked": config.weight * loss}

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
        self.keep(target=images, pseudo=pseudo.labels)
        self.log("pseudo/share", pseudo.share)
        if images is not reference:
            self.log_accuracy("refined", pseudo.labels, target)
        return images, pseudo

    def _refined(self, target: dict[str, Any], images: Tensor, reference: Tensor) -> Tensor:
        logits_trg, logits_ref = self.teacher(torch.cat((images, reference))).chunk(2)
        given = Alignment(target["flow"], target.get("confidence")) if "flow" in target else None
        assert self.aligner is not None
        flow, confidence = self.aligner(images, reference, given)
        warped, valid = warp(logits_ref, flow)
        unrefined = logits_trg.argmax(1)
        self.keep(flow=flow, confidence=confidence, teacher=unrefined)
        self.log_accuracy("teacher", unrefined, target)
        return refine(logits_trg, warped, valid, confidence, self.label_space.large_static, self.refinement)

    @torch.no_grad()
    def mix(
        self, images_src: Tensor, labels_src: Tensor, images_trg: Tensor, pseudo: PseudoLabels, batch_idx: int
    ) -> Mixed:
        """DSR: class choice with co-occurrence, class mix, strong augmentation, memory bank."""
        self.bank.add(images_src, labels_src)
        masks = class_masks(labels_src, self.choose_classes(labels_src))
        mixed = class_mix(masks, images_src, labels_src, images_trg, pseudo)
        images, labels, weights = mixed
        images = strong_augment(images, self.augmentation, self.generator)
        if self.bank.is_due(batch_idx if self.bank.config.official else self.global_step):
            images, labels, weights = self.bank.paste(images, labels, weights)
        return Mixed(images, labels, weights)

    def choose_classes(self, labels: Tensor) -> list[list[int]]:
        """The classes of each source image that are mixed in: (B, H, W) -> B lists of train ids."""
        rules = self.label_space.co_occurrence if self.mixing.co_occurrence else ()
        return [
            choose_classes(label, rules, self.generator, choose_ignored=self.mixing.choose_ignored)
            for label in labels.cpu()
        ]

    def mixed_loss(self, output: SegmentorOutput, mixed: Mixed) -> Tensor:
        """Loss of the student on the mixed batch, weighted per pixel."""
        weight = self.self_training.mixed_weight
        if weight is None:
            weight = HRDA_MIXED_WEIGHT if self.student.config.hrda else 1.0
        return weight * segmentation_loss(output, mixed.labels, mixed.weights, detail_weight=self.hrda.detail_weight)

    # --- optimiser ----------------------------------------------------------------------------------------------------

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """AdamW over four groups; the schedule moves once a step."""
        optimizer, scheduler = build_optimizer(self.student, self.optimizer_config, self.schedule_config)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def on_fit_start(self) -> None:
        """Read the aligner's weights, the scale and, if they are asked for, the class frequencies of the source set."""
        self.read_initial_weights()
        # Lightning trains modules in the mode it finds them, and an evaluation before may have left them in eval mode
        self.train()
        if self.aligner is not None:
            self.aligner.load()
        self.image_size = self.trainer.datamodule.source.sample_size()  # type: ignore[attr-defined]
        if self.source_config.class_balance:
            counts = self.trainer.datamodule.source.class_counts()  # type: ignore[attr-defined]
            weights = class_balance(counts.sum(0), self.source_config.class_balance)
            self.class_weights = torch.from_numpy(weights).to(self.device, torch.float32)
