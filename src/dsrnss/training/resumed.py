"""What a task keeps in its checkpoints, so that a killed run goes on to the last digit."""

from collections.abc import Mapping
from typing import Any

import torch
from lightning.pytorch.trainer.states import TrainerFn

from dsrnss.adaptation.memory_bank import MemoryBank
from dsrnss.errors import CheckpointError
from dsrnss.models.weights import CARD_KEY, describe
from dsrnss.training.evaluated import EvaluatedModule
from dsrnss.training.rng import restore_rng, rng_state

_TRAINING_ONLY = ("frequency.", "reference.", "bank.", "pseudo_accuracy.")
"""Beginnings of the names of what only training needs."""
_SWITCHES = {
    "frequency.": ("--model.prototypes.class_weights tail", "--model.prototypes.class_weights none"),
    "reference.": (
        "--model.feature_distance.weight above 0 (and classes 'feature_distance' in the label space)",
        "--model.feature_distance.weight 0",
    ),
}
"""Beginning of the names of a part's state -> how it is switched on and off."""


class ResumedModule(EvaluatedModule):
    """A task with a teacher, a memory bank and a generator of its own, whose state stands in the checkpoint.

    Attributes:
        batches_seen: Training batches of all runs; the loaders go on from there.
        image_size: (height, width) of the training pictures before cropping, for the network's card.
    """

    bank: MemoryBank
    generator: torch.Generator

    def __init__(self) -> None:
        super().__init__()
        self.batches_seen = 0
        self.image_size: tuple[int, int] | None = None
        self._teacher_step = -1
        self._pending_rng: dict[str, Any] | None = None

    def update_teacher(self) -> None:
        """Move the teacher: once an optimiser step, however many batches it accumulates."""
        if self.global_step != self._teacher_step:
            self.teacher.update(self.student, self.global_step)
            self._teacher_step = self.global_step

    def card(self) -> dict[str, Any]:
        """What is told of the network beside its weights."""
        height, width = self.image_size or (None, None)
        return {"step": self.global_step, "image_height": height, "image_width": width}

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
        """Take them back; the random state is restored when the next step begins.

        Whoever does not train needs no state of training: it is left out, whichever parts were switched on.

        Raises:
            CheckpointError: If training goes on with other parts than it began with, naming the switch.
        """
        self._initial_weights = None
        trainer = getattr(self, "_trainer", None)
        if trainer is not None and trainer.state.fn != TrainerFn.FITTING:
            self._leave_out_training(checkpoint)
            return
        if trainer is not None:
            self._check_parts(checkpoint.get("state_dict", {}))
        resume = checkpoint.get("resume")
        if resume is None:
            return
        self.batches_seen = resume["batches_seen"]
        self._teacher_step = resume["teacher_step"]
        self.bank.resize(resume["bank"])
        self._pending_rng = resume["rng"]

    def _leave_out_training(self, checkpoint: dict[str, Any]) -> None:
        saved, own = checkpoint.get("state_dict", {}), self.state_dict()
        kept = {key: value for key, value in saved.items() if not key.startswith(_TRAINING_ONLY)}
        # loading stays strict about the networks: what is left out is replaced by what is there
        checkpoint["state_dict"] = kept | {key: own[key] for key in own if key.startswith(_TRAINING_ONLY)}

    def _check_parts(self, saved: Mapping[str, Any]) -> None:
        own = self.state_dict()
        for part, (on, off) in _SWITCHES.items():
            before, now = (any(key.startswith(part) for key in keys) for keys in (saved, own))
            if before != now:
                raise CheckpointError(
                    f"The checkpoint was trained {'with' if before else 'without'} a part that this experiment has "
                    f"switched {'off' if before else 'on'}: to go on, set {on if before else off}; "
                    "--model.weights FILE starts a new run from its weights."
                )

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Restore the random state of a resumed run: whatever was drawn since the start of the process is undone."""
        if self._pending_rng is not None:
            restore_rng(self._pending_rng, self.generator)
            self._pending_rng = None
