"""The method as a whole, in plain PyTorch (DSRNSS, arXiv 2310.04747; method section 1).

    method = DSRNSS(student, label_space, MethodConfig(), aligner)
    losses, record = method.losses(student, batch, step, epoch)
    sum(losses.values()).backward()

Everything that training needs beside the student and its optimiser is a part of this module, and whatever state a part
has is in its `state_dict`. A new part with state is a file of its own and a line here.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from dsrnss.adaptation.alignment import Aligner, Alignment
from dsrnss.adaptation.augmentation import AugmentationConfig, strong_augment, uniform
from dsrnss.adaptation.class_frequency import ClassFrequency
from dsrnss.adaptation.criterion import build_criterion
from dsrnss.adaptation.feature_distance import FeatureDistanceConfig, feature_distance
from dsrnss.adaptation.geometry import warp
from dsrnss.adaptation.losses import HRDAConfig, SourceConfig, class_balance, segmentation_loss
from dsrnss.adaptation.masking import MaskingConfig, mask_images
from dsrnss.adaptation.memory_bank import MemoryBank, MemoryBankConfig
from dsrnss.adaptation.mixing import Mixed, MixingConfig, choose_classes, class_masks, class_mix, pseudo_labels
from dsrnss.adaptation.night_aware import NightAwareConfig, match_to_night
from dsrnss.adaptation.priors import PriorsConfig, SpatialPriors
from dsrnss.adaptation.prototypes import PrototypeConfig, contrast
from dsrnss.adaptation.records import Batch, Losses, StepOutput, StepRecord, Target
from dsrnss.adaptation.reference_encoder import ReferenceEncoder
from dsrnss.adaptation.refinement import RefinementConfig, refine
from dsrnss.adaptation.relighting import relight
from dsrnss.adaptation.teacher import EMATeacher, SelfTrainingConfig
from dsrnss.allocator import give_back_what_is_much
from dsrnss.labels import CITYSCAPES, LabelSpace
from dsrnss.models.hrda import detail_offset
from dsrnss.models.segmentor import Segmentor, SegmentorOutput, split_output
from dsrnss.presence import Present, classes_present


@dataclass(frozen=True)
class MethodConfig:
    """The switches of the method, a group for each part.

    Args:
        source: The supervised part.
        self_training: The teacher and the mixed loss.
        refinement: Use of the day reference.
        mixing: Pseudo-label threshold and class choice.
        augmentation: Strong augmentation of the mixed images.
        memory_bank: The long-tail bank.
        feature_distance: Distance to the initial encoder.
        prototypes: Feature prototype alignment.
        masking: Masked image consistency.
        night_aware: Source images matched to the night.
        priors: Places of the classes in the source.
        hrda: Training of the detail crop, where the network is HRDA.
    """

    source: SourceConfig = field(default_factory=SourceConfig)
    self_training: SelfTrainingConfig = field(default_factory=SelfTrainingConfig)
    refinement: RefinementConfig = field(default_factory=RefinementConfig)
    mixing: MixingConfig = field(default_factory=MixingConfig)
    augmentation: AugmentationConfig = field(default_factory=AugmentationConfig)
    memory_bank: MemoryBankConfig = field(default_factory=MemoryBankConfig)
    feature_distance: FeatureDistanceConfig = field(default_factory=FeatureDistanceConfig)
    prototypes: PrototypeConfig = field(default_factory=PrototypeConfig)
    masking: MaskingConfig = field(default_factory=MaskingConfig)
    night_aware: NightAwareConfig = field(default_factory=NightAwareConfig)
    priors: PriorsConfig = field(default_factory=PriorsConfig)
    hrda: HRDAConfig = field(default_factory=HRDAConfig)


SWITCHES = {
    "priors": ("priors.strength above 0", "priors.strength: 0"),
    "frequency": ("prototypes.class_weights: tail", "prototypes.class_weights: none"),
    "reference": (
        "feature_distance.weight above 0 (and classes 'feature_distance' in the label space)",
        "feature_distance.weight: 0",
    ),
}
"""Parts that are there only where they are switched on: how that is done, and how they are switched off."""


class DSRNSS(nn.Module):
    """Source loss, feature distance, refined pseudo-labels, mixing with the memory bank, prototypes and masking.

    The student is not a part of it but given to each step; teacher and reference encoder begin as its copies. All draws
    come from one generator, so that a step depends on nothing but the state of this module, the student and the batch.

    Args:
        student: The network to train.
        label_space: The classes and their groups.
        config: The switches.
        aligner: Aligns night and reference; without one pseudo-labels are not refined.
        criterion: By its name, or a module of one's own (see `dsrnss.adaptation.criterion`).
        seed: Of the draws; None: that of torch.

    Attributes:
        teacher: Moving average of the student.
        reference: The student's encoder as it was; None where the feature distance is off.
        bank: The long-tail memory bank.
        frequency: Running class frequency of the source; None where the prototypes do not use it.
        priors: Places of the classes in the source; None where they are off. They must `learn` them before a step.
        class_weights: (C,) of the source loss; None until `balance` sets them.
    """

    class_weights: Tensor | None

    def __init__(
        self,
        student: Segmentor,
        label_space: LabelSpace = CITYSCAPES,
        config: MethodConfig = MethodConfig(),
        aligner: Aligner | None = None,
        criterion: str | nn.Module = "cross_entropy",
        seed: int | None = None,
    ) -> None:
        super().__init__()
        self.config, self.label_space, self.aligner = config, label_space, aligner
        self.criterion = build_criterion(criterion)
        training = config.self_training
        self.teacher = EMATeacher(student, training.momentum, training.teacher_dropout, training.teacher_detail)
        distant = bool(config.feature_distance.weight and label_space.feature_distance)
        self.reference = ReferenceEncoder(student) if distant else None
        self.bank = MemoryBank(config.memory_bank.classes(label_space), config.memory_bank)
        self.frequency = ClassFrequency.of(label_space) if config.prototypes.class_weights == "tail" else None
        self.priors = SpatialPriors(label_space.num_classes, config.priors) if config.priors.strength else None
        self.generator = torch.Generator().manual_seed(torch.initial_seed() if seed is None else seed)
        self.register_buffer("class_weights", None, persistent=False)

    # --- state --------------------------------------------------------------------------------------------------------

    def begin_from(self, student: Segmentor) -> None:
        """Teacher and reference encoder become copies of a student whose initial weights were just read."""
        self.teacher.copy_from(student)
        if self.reference is not None:
            self.reference.copy_from(student)

    def balance(self, counts: npt.NDArray[np.int64]) -> None:
        """Weight the classes of the source loss by their frequency, if that is switched on.

        Args:
            counts: (C,) pixels of each class in the source set.
        """
        weights = class_balance(counts, self.config.source.class_balance)
        self.class_weights = torch.from_numpy(weights).to(next(self.teacher.parameters()).device, torch.float32)

    def snapshot(self, student: Segmentor) -> Callable[[], None]:
        """Remember what a batch changes besides the gradient: call the result to undo that.

        Batch-norm statistics, class frequency and memory bank; the teacher's parameters follow the student alone.
        """
        changed = [part for part in (student, self.teacher, self.frequency) if part is not None]
        kept = [(buffer, buffer.clone()) for part in changed for buffer in part.buffers()]
        bank = self.bank.get_extra_state()

        def undo() -> None:
            for buffer, value in kept:
                buffer.copy_(value)
            self.bank.set_extra_state(bank)

        return undo

    def get_extra_state(self) -> Tensor:
        """The generator's state, for the checkpoint."""
        return self.generator.get_state()

    def set_extra_state(self, state: Tensor) -> None:
        """Take back what `get_extra_state` gave."""
        self.generator.set_state(state.cpu())

    # --- one step, in the order of the method -------------------------------------------------------------------------

    def losses(self, student: Segmentor, batch: Batch, step: int, epoch: int = 0) -> StepOutput:
        """The loss terms of one batch.

        Args:
            student: The network to train.
            batch: `source` with `image` (B, 3, H, W), normalised, `label` (B, H, W) train ids and, where they are known
                without waiting for a GPU, the classes `present` in each label; optionally `target` with `image` and,
                where there are such, `reference`, `flow` (B, 2, H, W) and `confidence` (B, 1, H, W).
            step: 0-based optimiser step.
            epoch: 0-based epoch.

        Raises:
            ConfigError: If the images are smaller than the network can take.
        """
        give_back_what_is_much()
        images, labels = batch["source"]["image"], batch["source"]["label"]
        student.check_crops(images)
        images = relight(images, labels, self.label_space, self.config.source.relighting, self.generator)
        self.teacher.update(student, step)
        if "target" not in batch:
            images = self.augment_source(images)
            (source,) = self.student_passes(student, images)
            losses = {"source": self.source_loss(source, labels)}
            losses |= self.feature_distance_loss(student, source, images, labels)
            return StepOutput(losses, StepRecord())
        target = self.pseudo_label(batch["target"])
        # from here on everything sees the matched images: mix and bank, student and reference encoder
        images = match_to_night(images, batch["target"]["image"], self.config.night_aware, self.generator)
        mixed = self.mix({**batch["source"], "image": images}, target, step, epoch)
        images = self.augment_source(images)
        source, on_mixed = self.student_passes(student, images, mixed.images)
        losses = {"source": self.source_loss(source, labels), "mixed": self.mixed_loss(student, on_mixed, mixed)}
        losses |= self.feature_distance_loss(student, source, images, labels)
        if self.frequency is not None:
            self.frequency.update(labels)
        if self.config.prototypes.is_due(step, epoch):
            losses |= self.prototype_losses(student, (source, labels), target, (on_mixed, mixed.labels))
        losses |= self.masked_loss(student, target)
        return StepOutput(losses, StepRecord(target, mixed, on_mixed.logits.detach()))

    def augment_source(self, images: Tensor) -> Tensor:
        """Photometric augmentation of the source, if it is configured: (B, 3, H, W)."""
        config = self.config.source.augmentation
        return images if config is None else strong_augment(images, config, self.generator)

    def student_passes(self, student: Segmentor, *batches: Tensor) -> list[SegmentorOutput]:
        """The student on one or more image batches, in one forward pass or in one each."""
        if not self.config.self_training.joint_forward:
            return [student(images, self.detail_box(student, images)) for images in batches]
        output = student(torch.cat(batches), self.detail_box(student, batches[0]))
        return split_output(output, [len(images) for images in batches])

    def detail_box(self, student: Segmentor, images: Tensor) -> tuple[int, int] | None:
        """Draw the detail crop of a pass of HRDA over (B, 3, H, W); None for other networks."""
        if not student.config.hrda:
            return None
        height, width = images.shape[-2:]
        return detail_offset((height, width), self.generator, official=self.config.hrda.official_offsets)

    def source_loss(self, output: SegmentorOutput, labels: Tensor) -> Tensor:
        """Supervised loss of day images against (B, H, W) labels: a scalar."""
        return self._loss(output, labels, class_weights=self.class_weights)

    def feature_distance_loss(
        self, student: Segmentor, output: SegmentorOutput, images: Tensor, labels: Tensor
    ) -> Losses:
        """Distance of the student's features of (B, 3, H, W) images to the initial encoder's, if it is switched on."""
        if self.reference is None:
            return {}
        features, initial = output.features[-1], self.reference(student.view(images))
        classes, number = self.label_space.feature_distance, self.label_space.num_classes
        config = self.config.feature_distance
        return {"feature_distance": feature_distance(features, initial, labels, classes, number, config)}

    def prototype_losses(
        self,
        student: Segmentor,
        source: tuple[SegmentorOutput, Tensor],
        target: Target,
        mixed: tuple[SegmentorOutput, Tensor],
    ) -> Losses:
        """FPA (III-C): prototypes of source and target, and of source and mixed, predict each other's features.

        Args:
            student: The network.
            source: Its output and (B, H, W) labels.
            target: The night images and their pseudo-labels.
            mixed: The student's output of the mixed images and their labels.
        """
        config, number = self.config.prototypes, self.label_space.num_classes
        weights = None if self.frequency is None else self.frequency.weights()
        with torch.set_grad_enabled(config.target_gradient):
            features_trg = student.encode(target.images)[-1]
        anchor = source[0].features[-1], source[1]
        on_target = contrast(*anchor, features_trg, target.pseudo.labels, number, config, weights)
        on_mixed = contrast(*anchor, mixed[0].features[-1], mixed[1], number, config, weights)
        share = config.mixed_weight(student.config.hrda)
        return {"prototypes_target": on_target, "prototypes_mixed": share * on_mixed}

    def masked_loss(self, student: Segmentor, target: Target) -> Losses:
        """MIC (3.2): the student predicts night images of which most is hidden, if it is switched on."""
        config, images, pseudo = self.config.masking, target.images, target.pseudo
        if not config.weight:
            return {}
        if config.augment:
            images = strong_augment(images, self.config.augmentation, self.generator)
        (output,) = self.student_passes(student, mask_images(images, config, self.generator))
        return {"masked": config.weight * self._loss(output, pseudo.labels, pseudo.weights)}

    def mixed_loss(self, student: Segmentor, output: SegmentorOutput, mixed: Mixed) -> Tensor:
        """Loss of the student on the mixed batch, weighted per pixel."""
        weight = self.config.self_training.weight_of_mixed(student.config.hrda)
        return weight * self._loss(output, mixed.labels, mixed.weights)

    def _loss(
        self,
        output: SegmentorOutput,
        labels: Tensor,
        pixel_weights: Tensor | None = None,
        class_weights: Tensor | None = None,
    ) -> Tensor:
        share = self.config.hrda.detail_weight
        return segmentation_loss(self.criterion, output, labels, pixel_weights, class_weights, detail_weight=share)

    def refines(self, target: Mapping[str, Any]) -> bool:
        """Whether pseudo-labels of a target batch are refined by its day reference."""
        return "reference" in target and self.aligner is not None and self.config.refinement.enabled

    @torch.no_grad()
    def pseudo_label(self, target: Mapping[str, Any]) -> Target:
        """Pseudo-labels of the target, refined by its day reference (Refign 3.2).

        Args:
            target: `image`, and optionally `reference`, `flow` and `confidence`; `box` (B, 4) for spatial priors.
        """
        images: Tensor = target["image"]
        reference: Any = target.get("reference")
        unrefined: Tensor | None = None
        alignment: Alignment | None = None
        adapt_to_day = self.config.self_training.adapt_to_reference
        is_day = adapt_to_day and reference is not None and uniform(0, 1, self.generator) < 0.5
        if is_day or self.aligner is None or not self.refines(target):
            images = reference if is_day else images
            probabilities = self.teacher(images).softmax(1)
        else:
            # plane by plane also of a channels-last network: each softmax would copy them into that layout anew
            logits_trg, logits_ref = self.teacher(images, reference).contiguous().chunk(2)
            given = Alignment(target["flow"], target.get("confidence")) if "flow" in target else None
            alignment, unrefined = self.aligner(images, reference, given), logits_trg.max(1).indices
            warped, valid = warp(logits_ref, alignment.flow)
            static = self.label_space.large_static
            probabilities = refine(logits_trg, warped, valid, alignment.confidence, static, self.config.refinement)
        if self.priors is not None:
            probabilities = self.priors(probabilities, target.get("box"))
        return Target(images, pseudo_labels(probabilities, self.config.mixing), is_day, unrefined, alignment)

    @torch.no_grad()
    def mix(self, source: Mapping[str, Any], target: Target, step: int, epoch: int) -> Mixed:
        """DSR (III-B): class choice with co-occurrence, class mix, strong augmentation, memory bank.

        Args:
            source: `image` and `label` of the source, and the classes `present` in each label, if they are known.
            target: What is mixed with.
            step: 0-based optimiser step.
            epoch: 0-based epoch.
        """
        images, labels = source["image"], source["label"]
        present = source.get("present") or classes_present(labels)
        self.bank.add(images, labels, epoch, present)
        masks = class_masks(labels, self.choose_classes(present))
        mixed = class_mix(masks, images, labels, target.images, target.pseudo)
        mixed = mixed._replace(images=strong_augment(mixed.images, self.config.augmentation, self.generator))
        return Mixed(*self.bank.paste(*mixed)) if self.bank.is_due(step) else mixed

    def choose_classes(self, present: Present) -> list[list[int]]:
        """The classes of each source image that are mixed in, of those that are present."""
        rules = self.label_space.co_occurrence if self.config.mixing.co_occurrence else ()
        ignored = self.config.mixing.choose_ignored
        return [choose_classes(one, rules, self.generator, choose_ignored=ignored) for one in present]
