"""Accumulated and clipped gradients: what counts once an optimiser step, and what once a batch."""

import copy
from collections.abc import Callable
from typing import Any

import lightning as L
import pytest
import torch
from torch import nn

from dsrnss.adaptation import teacher as teacher_module
from dsrnss.adaptation.losses import SourceConfig
from dsrnss.adaptation.memory_bank import MemoryBankConfig
from dsrnss.training.schedule import build_optimizer

Make = Callable[..., Any]


def without_batch_norm(network: nn.Module) -> None:
    for module in list(network.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.BatchNorm2d):
                setattr(module, name, nn.Identity())


def test_two_batches_give_the_update_of_their_mean(task: Make, batches: Make, fit: Make) -> None:
    model = task(source=SourceConfig(augmentation=None))
    without_batch_norm(model.student)
    without_batch_norm(model.method.teacher.network)
    expected, given = copy.deepcopy(model), batches(2, target=False)
    start = copy.deepcopy(model.student.state_dict())
    fit(model, given, accumulate_grad_batches=2)
    optimizer, _ = build_optimizer(expected.student, expected.optimizer_config, expected.schedule_config)
    losses = [
        expected.method.source_loss(expected.student(batch["source"]["image"]), batch["source"]["label"])
        for batch in given
    ]
    torch.stack(losses).mean().backward()
    optimizer.step()
    for name, value in expected.student.named_parameters():
        assert not torch.equal(value, start[name]), name
        # AdamW's first step divides by the gradient's own size: entries of almost 0 are left out
        sure = value.grad.abs() > 1e-4 * value.grad.abs().max()
        assert torch.allclose(model.student.get_parameter(name)[sure], value[sure], rtol=1e-5, atol=1e-5), name


def test_teacher_and_bank_count_optimiser_steps(
    task: Make, batches: Make, fit: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = task(memory_bank=MemoryBankConfig(interval=2))
    moved: list[int] = []
    pasted: list[int] = []
    paste = model.method.bank.paste
    momentum = teacher_module.ema_momentum
    monkeypatch.setattr(
        teacher_module, "ema_momentum", lambda step, *more: (moved.append(step), momentum(step, *more))[1]
    )
    model.method.bank.paste = lambda *mixed: (pasted.append(model.global_step), paste(*mixed))[1]
    trainer = fit(model, batches(8), accumulate_grad_batches=2)
    assert trainer.global_step == 4 and trainer.fit_loop.total_batch_idx == 7
    assert moved == [0, 1, 2, 3]
    assert pasted == [0, 0, 2, 2], "both batches of every second step"


class Norms(L.Callback):
    def __init__(self) -> None:
        self.values: list[float] = []

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: Any, *_: Any) -> None:
        gradients = [p.grad.norm() for p in pl_module.student.parameters() if p.grad is not None]
        self.values.append(float(torch.stack(gradients).norm()))


def test_gradients_are_clipped(task: Make, batches: Make, fit: Make) -> None:
    free, clipped = Norms(), Norms()
    fit(task(), batches(2), free)
    fit(task(), batches(2), clipped, gradient_clip_val=0.05)
    assert min(free.values) > 0.06
    assert clipped.values == pytest.approx([0.05, 0.05], rel=1e-3)


def test_a_skipped_batch_of_an_accumulated_step_leaves_the_other(task: Make, batches: Make, fit: Make) -> None:
    model, given = task(on_nonfinite="skip"), batches(2)
    given[1]["source"]["image"][:] = float("nan")
    before = copy.deepcopy(model.student.state_dict())
    with pytest.warns(RuntimeWarning, match="source: a1 b1"):
        trainer = fit(model, given, accumulate_grad_batches=2)
    assert trainer.global_step == 1
    tensors = [value for value in model.state_dict().values() if isinstance(value, torch.Tensor)]
    assert all(value.isfinite().all() for value in tensors)
    assert not torch.equal(before["head.conv_seg.weight"], model.student.head.conv_seg.weight)
