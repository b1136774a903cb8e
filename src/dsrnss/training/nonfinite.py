"""Losses and gradients that are not finite: they stop a run, or cost it one batch, and never reach the weights."""

import warnings
from collections.abc import Iterable, Mapping
from typing import Any, Literal

import torch
from torch import Tensor
from torch.optim import Optimizer

from dsrnss.errors import ConfigError, TrainingError
from dsrnss.training.resumed import ResumedModule

OnNonfinite = Literal["stop", "skip"]

MAX_SKIPPED = 20
"""So many batches in a row are skipped before a run stops all the same."""


class GuardedModule(ResumedModule):
    """A task that looks at its losses and gradients before the optimiser does.

    A refused batch counts as a batch and, where it is skipped, as a step of the schedule. It leaves no other trace:
    weights, moments of the optimiser, memory bank, running class frequency and batch-norm statistics are what they were
    before it, so that whatever is saved afterwards is sound. The teacher moves as at every step, towards a student
    that is finite. Where only the gradient is not finite, the batch itself was sound, and the bank keeps it.

    Args:
        on_nonfinite: What to do: `stop` the run or `skip` the batch.
    """

    def __init__(self, on_nonfinite: OnNonfinite = "stop") -> None:
        super().__init__()
        self.on_nonfinite = on_nonfinite
        self._skipped = 0
        self._step_names: list[str] = []
        self._kept: tuple[Any, dict[str, Tensor]] | None = None

    def on_train_start(self) -> None:
        """See that batches can be skipped.

        Raises:
            ConfigError: If several processes train together: one that skips would leave the others waiting for it.
        """
        if self.on_nonfinite == "skip" and self.trainer.world_size > 1:
            raise ConfigError(
                f"model.on_nonfinite: skip works in one process, and {self.trainer.world_size} train together: use "
                "stop, and go on from the last checkpoint with --ckpt_path last."
            )

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Keep what a refused batch would leave a trace in."""
        super().on_train_batch_start(batch, batch_idx)
        if batch_idx % self.trainer.accumulate_grad_batches == 0:
            self._step_names = []
        self._step_names.append(_describe(batch))
        # the bank's entries are replaced and never changed: a reference is enough
        self._kept = self.bank.entries, {name: value.clone() for name, value in self._running_buffers()}

    def _running_buffers(self) -> Iterable[tuple[str, Tensor]]:
        return ((n, b) for n, b in self.named_buffers() if not n.startswith(("bank.", "reference.")))

    def sum_of(self, losses: Mapping[str, Tensor], batch: Mapping[str, Any]) -> Tensor | None:
        """The sum of the losses, logged with each of them; None if the batch is to be skipped.

        Args:
            losses: Name -> scalar.
            batch: For the message.

        Raises:
            TrainingError: If one is not finite and the run stops for it.
        """
        total = torch.stack(list(losses.values())).sum()
        if not torch.isfinite(total.detach()):
            self._undo()
            self._refuse(_blame(losses), _describe(batch), self._cause(batch))
            return None
        self._kept = None
        self.log_dict({f"train/loss_{name}": loss.detach() for name, loss in losses.items()})
        self.log("train/loss", total.detach(), prog_bar=True)
        return total

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        """Refuse gradients that are not finite; those that a gradient scaler made so are its own affair.

        Raises:
            TrainingError: If the run stops for them.
        """
        gradients = {name: p.grad for name, p in self.named_parameters() if p.grad is not None}
        if not gradients:  # the batch was skipped
            return
        scaled = getattr(self.trainer.precision_plugin, "scaler", None) is not None
        if scaled or torch.stack([gradient.isfinite().all() for gradient in gradients.values()]).all():
            self._skipped = 0
            return
        wrong = [name for name, gradient in gradients.items() if not gradient.isfinite().all()]
        what = f"{len(wrong)} of {len(gradients)} gradients are not finite, the first is that of '{wrong[0]}'"
        self._refuse(what, "; ".join(self._step_names), "")
        optimizer.zero_grad(set_to_none=True)

    def _refuse(self, what: str, names: str, cause: str) -> None:
        message = f"Step {self.global_step}: {what}. {names}.{cause}"
        self._skipped += 1
        if self.on_nonfinite == "stop":
            raise TrainingError(f"{message}\nThe weights were not changed by it. {_ADVICE}")
        if cause.startswith(_BROKEN):
            raise TrainingError(f"{message}\nSkipping batches does not mend this: go on from an earlier checkpoint.")
        if self._skipped > MAX_SKIPPED:
            raise TrainingError(f"{message}\n{MAX_SKIPPED} batches in a row were skipped before it. {_ADVICE}")
        warnings.warn(f"{message} This batch is skipped.", RuntimeWarning, stacklevel=3)

    def _cause(self, batch: Mapping[str, Any]) -> str:
        for name, parameter in self.student.named_parameters():
            if not parameter.isfinite().all():
                return f"{_BROKEN} '{name}' of the student is not finite."
        wrong = [
            f"{name} ({part}, {key})"
            for part, sample in batch.items()
            for key, value in sample.items()
            if isinstance(value, Tensor) and value.is_floating_point()
            for name, one in zip(_names(sample), value, strict=False)
            if not one.isfinite().all()
        ]
        return f" Not finite before the network saw it: {', '.join(wrong)}." if wrong else ""

    @torch.no_grad()
    def _undo(self) -> None:
        if self._kept is None:
            return
        self.bank.entries, kept = self._kept
        self._kept = None
        for name, value in self._running_buffers():
            value.copy_(kept[name])


_BROKEN = " The parameter"
_ADVICE = (
    "The last checkpoint, if there is one, is as it was: --ckpt_path last goes on from it. Look at these files; if "
    "they are sound, try a lower model.optimizer.lr, trainer.gradient_clip_val, or 32-true precision. "
    "--model.on_nonfinite skip leaves such batches out."
)


def _blame(losses: Mapping[str, Tensor]) -> str:
    wrong = {name: float(loss.detach()) for name, loss in losses.items() if not torch.isfinite(loss)}
    if not wrong:
        return "the sum of the losses is not finite"
    terms = ", ".join(f"'{name}' ({value})" for name, value in wrong.items())
    return f"the loss term {terms} is not finite" if len(wrong) == 1 else f"the loss terms {terms} are not finite"


def _names(sample: Mapping[str, Any]) -> list[str]:
    return [str(name) for name in sample.get("name", [])]


def _describe(batch: Mapping[str, Any]) -> str:
    return ", ".join(f"{part}: {' '.join(_names(sample)) or 'unnamed'}" for part, sample in batch.items())
