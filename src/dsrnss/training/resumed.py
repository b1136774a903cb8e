"""What a task keeps in its checkpoints, so that a killed run goes on to the last digit."""

from typing import Any

import torch

from dsrnss.adaptation.memory_bank import MemoryBank
from dsrnss.models.weights import CARD_KEY, describe
from dsrnss.training.evaluated import EvaluatedModule
from dsrnss.training.rng import restore_rng, rng_state


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
        """Take them back; the random state is restored when the next step begins."""
        self._initial_weights = None
        resume = checkpoint.get("resume")
        if resume is None:
            return
        self.batches_seen = resume["batches_seen"]
        self._teacher_step = resume["teacher_step"]
        self.bank.resize(resume["bank"])
        self._pending_rng = resume["rng"]

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Restore the random state of a resumed run: whatever was drawn since the start of the process is undone."""
        if self._pending_rng is not None:
            restore_rng(self._pending_rng, self.generator)
            self._pending_rng = None
