"""Losses and gradients that are not finite: they stop a run, or cost it one batch, and never reach the weights."""

import warnings
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from dsrnss.adaptation.records import Batch, Losses
from dsrnss.collectives import summed, together
from dsrnss.errors import TrainingError

OnNonfinite = Literal["stop", "skip"]

MAX_SKIPPED = 20
"""So many batches in a row are skipped before a run stops all the same."""

_BROKEN = " The parameter"
_ADVICE = (
    "The last checkpoint, if there is one, is as it was, and the run can go on from it. Look at these files; if they "
    "are sound, try a lower model.optimizer.lr, trainer.gradient_clip_val, or 32-true precision. "
    "model.on_nonfinite: skip leaves such batches out."
)


class _Unseen(NamedTuple):
    losses: Losses
    total: Tensor
    batch: Batch
    undo: Callable[[], None] | None


class NonfiniteGuard:
    """Looks at losses and gradients before the optimiser does.

    A refused batch counts as a batch and, where it is skipped, as a step of the schedule. It leaves no other trace:
    weights, moments of the optimiser, memory bank, running class frequency and batch-norm statistics are what they were
    before it, so that whatever is saved afterwards is sound. The teacher moves as at every step, towards a student
    that is finite. Where only the gradient is not finite, the batch itself was sound, and the bank keeps it.

    Where a run stops for them, losses are looked at together with the gradients, before the optimiser's step: a GPU is
    waited for once. A batch that is to be skipped must be known before its gradient is added to those of others.
    Several processes leave out together what one refuses, and then the whole step, since gradients are summed by then.

    Args:
        on_nonfinite: What to do: `stop` the run or `skip` the batch.
    """

    def __init__(self, on_nonfinite: OnNonfinite = "stop") -> None:
        self.on_nonfinite = on_nonfinite
        self._skipped = 0
        self._step_names: list[str] = []
        self._undo: Callable[[], None] | None = None
        self._unseen: list[_Unseen] = []

    def begin(self, batch: Batch, undo: Callable[[], None], *, new_step: bool) -> None:
        """A batch comes.

        Args:
            batch: For messages.
            undo: Undoes what the batch will have changed.
            new_step: Whether it is the first of an optimiser step.
        """
        self._step_names = [*([] if new_step else self._step_names), _describe(batch)]
        self._undo = undo

    def total(self, losses: Losses, batch: Batch, student: nn.Module, step: int) -> Tensor | None:
        """The sum of the losses, checked now or before the optimiser's step; None if the batch is to be skipped.

        Args:
            losses: Name -> scalar.
            batch: For the message.
            student: Whose parameters may be the cause.
            step: 0-based optimiser step.

        Raises:
            TrainingError: If it is not finite and skipping it does not help.
        """
        total = torch.stack(list(losses.values())).sum()
        undo, self._undo = self._undo, None
        unseen = _Unseen({name: loss.detach() for name, loss in losses.items()}, total.detach(), batch, undo)
        if self.on_nonfinite == "stop" or together():  # one process that skipped alone would leave the others waiting
            self._unseen.append(unseen)
        elif not torch.isfinite(unseen.total):
            self._refuse_loss(unseen, student, step)
            return None
        return total

    def check(self, module: nn.Module, student: nn.Module, optimizer: Optimizer, step: int, *, scaled: bool) -> None:
        """Refuse losses and gradients that are not finite, before the optimiser's step.

        Args:
            module: Whose parameters have gradients.
            student: Whose parameters may be the cause.
            optimizer: Its gradients are set to None where the step is skipped.
            step: 0-based optimiser step.
            scaled: A gradient scaler looks after the gradients.

        Raises:
            TrainingError: If the run stops for them.
        """
        unseen, self._unseen = self._unseen, []
        gradients = {} if scaled else {name: p.grad for name, p in module.named_parameters() if p.grad is not None}
        # the largest number of each: not finite where any is not
        norms = torch._foreach_norm(list(gradients.values()), torch.inf) if gradients else []
        values = [one.total for one in unseen] + ([torch.stack(list(norms)).amax()] if gradients else [])
        if not values:  # the batch was skipped
            return
        finite = torch.stack(values).isfinite().cpu().tolist()  # the one time in a step that a GPU is waited for
        wrong_ones = [one for one, sound in zip(unseen, finite, strict=False) if not sound]
        if self.on_nonfinite == "skip" and unseen and summed(unseen[0].total.new_tensor(len(wrong_ones))):
            one = wrong_ones[0] if wrong_ones else unseen[0]
            self._refuse_loss(one._replace(undo=unseen[0].undo), student, step)
            optimizer.zero_grad(set_to_none=True)
            return
        for one in wrong_ones:
            self._refuse_loss(one, student, step)
        if not gradients or finite[-1]:
            self._skipped = 0
            return
        wrong = [name for name, gradient in gradients.items() if not gradient.isfinite().all()]
        what = f"{len(wrong)} of {len(gradients)} gradients are not finite, the first is that of '{wrong[0]}'"
        self._refuse(step, what, "; ".join(self._step_names), "")
        optimizer.zero_grad(set_to_none=True)

    def _refuse_loss(self, one: _Unseen, student: nn.Module, step: int) -> None:
        if one.undo is not None:
            one.undo()
        self._refuse(step, _blame(one.losses), _describe(one.batch), _cause(one.batch, student))

    def _refuse(self, step: int, what: str, names: str, cause: str) -> None:
        message = f"Step {step}: {what}. {names}.{cause}"
        self._skipped += 1
        if self.on_nonfinite == "stop":
            raise TrainingError(f"{message}\nThe weights were not changed by it. {_ADVICE}")
        if cause.startswith(_BROKEN):
            raise TrainingError(f"{message}\nSkipping batches does not mend this: go on from an earlier checkpoint.")
        if self._skipped > MAX_SKIPPED:
            raise TrainingError(f"{message}\n{MAX_SKIPPED} batches in a row were skipped before it. {_ADVICE}")
        warnings.warn(f"{message} This batch is skipped.", RuntimeWarning, stacklevel=3)


def _cause(batch: Batch, student: nn.Module) -> str:
    for name, parameter in student.named_parameters():
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


def _blame(losses: Losses) -> str:
    wrong = {name: float(loss) for name, loss in losses.items() if not torch.isfinite(loss)}
    if not wrong:
        own = torch.isfinite(torch.stack(list(losses.values())).sum())
        return "a loss of another process is not finite" if own else "the sum of the losses is not finite"
    terms = ", ".join(f"'{name}' ({value})" for name, value in wrong.items())
    return f"the loss term {terms} is not finite" if len(wrong) == 1 else f"the loss terms {terms} are not finite"


def _names(sample: Mapping[str, Any]) -> list[str]:
    return [str(name) for name in sample.get("name", [])]


def _describe(batch: Batch) -> str:
    return ", ".join(f"{part}: {' '.join(_names(sample)) or 'unnamed'}" for part, sample in batch.items())
