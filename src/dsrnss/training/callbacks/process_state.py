"""What each of several training processes has of its own: random draws, memory bank, counts; all are saved."""

import logging
from typing import Any

import lightning as L
import torch
from lightning.pytorch.trainer.states import TrainerFn
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from dsrnss.collectives import average_
from dsrnss.training.callbacks.pseudo_accuracy import PseudoAccuracy
from dsrnss.training.callbacks.random_state import RandomState
from dsrnss.training.processes import gathered, seed_of

PROCESSES_KEY = "processes"
"""Under this key of a checkpoint stand the states of all processes but the first, whose state is the checkpoint's."""
_OWN = (RandomState, PseudoAccuracy)
_log = logging.getLogger(__name__)


class ProcessState(L.Callback):
    """Makes one training of several processes; in a single one it does nothing.

    Parameters are the same in all of them, since their gradients are; so is the teacher, which follows the parameters.
    Statistics of batch norms are averaged after each batch, so that all evaluate and save the same network.
    Draws differ, or all processes would augment alike. Whatever a part keeps besides (`get_extra_state`) stays with its
    process and goes into the checkpoint.
    """

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Let this process draw for itself."""
        if stage == "fit":
            _draw_alone(pl_module, trainer.global_rank)

    def on_after_backward(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Average the statistics of batch norms, which have moved; the backward pass wanted them as they were."""
        norms = [module for module in pl_module.modules() if isinstance(module, _BatchNorm) and module.training]
        statistics = [one for norm in norms for one in (norm.running_mean, norm.running_var) if one is not None]
        average_(statistics)

    def on_save_checkpoint(self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]) -> None:
        """Add the states of the other processes."""
        if trainer.world_size > 1:
            own = {key: checkpoint["callbacks"][key] for key in _own_callbacks(trainer)}
            checkpoint[PROCESSES_KEY] = gathered({"callbacks": own, "parts": _extra_states(pl_module)})[1:]

    def on_load_checkpoint(self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]) -> None:
        """Take back the state of this process, or begin with draws of its own where it had none."""
        if trainer.state.fn != TrainerFn.FITTING:
            return
        others, rank = checkpoint.get(PROCESSES_KEY, []), trainer.global_rank
        if len(others) + 1 != trainer.world_size and rank == 0:
            _tell(len(others) + 1, trainer.world_size)
        if rank == 0:
            return
        states = checkpoint["callbacks"]
        for key in _own_callbacks(trainer):
            states.pop(key, None)  # that of the first process
        if rank <= len(others):
            states |= others[rank - 1]["callbacks"]
            for name, state in others[rank - 1]["parts"].items():
                pl_module.get_submodule(name).set_extra_state(state)
        else:
            _draw_alone(pl_module, rank, checkpoint["global_step"])


def _own_callbacks(trainer: L.Trainer) -> list[str]:
    callbacks: list[L.Callback] = trainer.callbacks  # type: ignore[attr-defined]
    return [callback.state_key for callback in callbacks if isinstance(callback, _OWN)]


def _extra_states(module: nn.Module) -> dict[str, Any]:
    """The extra state of each part that has some, by the part's name."""
    parts = module.named_modules()
    return {name: part.get_extra_state() for name, part in parts if _has_extra_state(part)}


def _has_extra_state(part: nn.Module) -> bool:
    return type(part).get_extra_state is not nn.Module.get_extra_state


def _draw_alone(module: Any, process: int, step: int = 0) -> None:
    """Give a process its own draws: those of the method, and those of dropout."""
    if process == 0:
        return
    module.method.generator.manual_seed(seed_of(module.method.generator.initial_seed(), process, step))
    torch.manual_seed(seed_of(torch.initial_seed(), process, step))


def _tell(before: int, now: int) -> None:
    what = (
        "the memory banks and random draws of the others are left out"
        if now < before
        else "the new ones begin with the first one's memory bank and with random draws of their own"
    )
    _log.warning(
        "the checkpoint is of %d process%s, this run has %d: weights, optimiser, teacher, class frequencies and the "
        "place in the data go on as they were; %s. A step sees another number of pictures, unless the batch sizes "
        "change too. So the losses are not those of a run that was never stopped.",
        before,
        "" if before == 1 else "es",
        now,
        what,
    )
