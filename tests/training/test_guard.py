"""A loss or a gradient that is not finite: who is told what, and what stays as it was."""

import copy
import warnings
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import lightning as L
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint

from dsrnss.adaptation.prototypes import PrototypeConfig
from dsrnss.errors import TrainingError
from dsrnss.training import guard
from dsrnss.training.task import AdaptationTask

Make = Callable[..., Any]
NAN = float("nan")


def spoilt(batches: list[Any], number: int, part: str = "source") -> list[Any]:
    """One pixel of the first picture of a batch is NaN."""
    batches[number][part]["image"][0, 0, 3, 5] = NAN
    return batches


def spoil_gradient(model: AdaptationTask, step: int) -> None:
    weight = model.student.head.conv_seg.weight
    weight.register_hook(lambda gradient: gradient * NAN if model.global_step == step else gradient)


def finite(state: dict[str, Any]) -> bool:
    return all(value.isfinite().all() for value in state.values() if isinstance(value, torch.Tensor))


def same(one: Any, other: Any) -> bool:
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other


class States(L.Callback):
    """The task's state before each batch."""

    def __init__(self) -> None:
        self.before: list[dict[str, Any]] = []

    def on_train_batch_start(self, trainer: L.Trainer, pl_module: L.LightningModule, *_: Any) -> None:
        self.before.append(copy.deepcopy(pl_module.state_dict()))


class TestStop:
    @pytest.mark.parametrize("part", ["source", "target"])
    def test_it_names_the_step_the_term_and_the_files(self, task: Make, batches: Make, fit: Make, part: str) -> None:
        with pytest.raises(TrainingError) as raised:
            fit(task(), spoilt(batches(4), 2, part))
        text = str(raised.value)
        assert text.startswith("Step 2: the loss term")
        assert ("'source' (nan)" if part == "source" else "'mixed' (nan)") in text
        assert "source: a2 b2, target: c2 d2" in text
        name = "a2 (source, image)" if part == "source" else "c2 (target, image)"
        assert f"Not finite before the network saw it: {name}" in text

    def test_any_term_is_guarded(self, task: Make, batches: Make, fit: Make) -> None:
        model = task()
        model.method.masked_loss = lambda *_: {"masked": torch.tensor(float("inf"))}
        with pytest.raises(TrainingError, match=r"Step 0: the loss term 'masked' \(inf\) is not finite"):
            fit(model, batches(1))

    def test_a_broken_weight_is_found(self, task: Make, batches: Make, fit: Make) -> None:
        model = task(on_nonfinite="skip")
        with torch.no_grad():
            model.student.head.conv_seg.weight[0] = NAN
        with pytest.raises(
            TrainingError, match=r"parameter 'head\.conv_seg\.weight' of the student(.|\n)*does not mend"
        ):
            fit(model, batches(1))

    def test_gradients_are_guarded_too(self, task: Make, batches: Make, fit: Make) -> None:
        model, states = task(), States()
        spoil_gradient(model, step=1)
        with pytest.raises(TrainingError, match=r"Step 1: 1 of \d+ gradients .*conv_seg\.weight'\. source: a1 b1"):
            fit(model, batches(2), states)
        assert finite(model.state_dict())

    @pytest.mark.parametrize("on_exception", [False, True])
    def test_the_checkpoint_stays_sound(
        self, task: Make, batches: Make, fit: Make, tmp_path: Path, on_exception: bool
    ) -> None:
        model, states = task(), States()
        every = 10 if on_exception else 1
        saver = ModelCheckpoint(
            tmp_path / "c", save_last=True, save_top_k=0, every_n_train_steps=every, save_on_exception=on_exception
        )
        with pytest.raises(TrainingError):
            fit(model, spoilt(batches(4), 2), saver, states)
        for name, value in model.student.state_dict().items():
            assert torch.equal(value, states.before[2][f"student.{name}"]), name
        last = torch.load(tmp_path / "c/last.ckpt", weights_only=True)
        assert last["global_step"] == 2 and finite(last["state_dict"])
        assert last["Given"]["samples_seen"]["source"] == (6 if on_exception else 4)


class TestSkip:
    def test_a_skipped_batch_leaves_no_trace(self, task: Make, batches: Make, fit: Make) -> None:
        model = task(on_nonfinite="skip", prototypes=PrototypeConfig(start_epoch=None, class_weights="tail"))
        states = States()
        with pytest.warns(
            RuntimeWarning, match="Step 1: the loss terms? .*source: a1 b1.* This batch is skipped"
        ) as told:
            trainer = fit(model, spoilt(batches(4), 1), states)
        assert len([one for one in told if "is skipped" in str(one.message)]) == 1
        before, after = states.before[1], states.before[2]
        assert before.keys() == after.keys()
        for name, value in before.items():
            # the teacher moves and the generator has drawn, as at every step
            if not name.startswith("method.teacher.") and name != "method._extra_state":
                assert same(value, after[name]), name
        assert after["method.bank._extra_state"]["entries"]
        assert finite(model.state_dict())
        counted = trainer.global_step, trainer.datamodule.samples_seen["source"]
        assert counted == (4, 8), "it counts as a step and as a batch"
        assert not torch.equal(states.before[3]["student.head.conv_seg.weight"], after["student.head.conv_seg.weight"])

    def test_a_skipped_gradient_leaves_the_weights(self, task: Make, batches: Make, fit: Make) -> None:
        model, states = task(on_nonfinite="skip"), States()
        spoil_gradient(model, step=1)
        with pytest.warns(RuntimeWarning, match="Step 1: 1 of"):
            trainer = fit(model, batches(3), states, gradient_clip_val=1.0)
        for name, value in model.student.named_parameters():
            assert torch.equal(states.before[1][f"student.{name}"], states.before[2][f"student.{name}"])
            assert not torch.equal(value, states.before[2][f"student.{name}"]), name
        moments = trainer.optimizers[0].state[model.student.head.conv_seg.weight]
        assert moments["step"] == 2 and moments["exp_avg"].isfinite().all()

    @pytest.mark.parametrize("what", ["loss", "gradient"])
    def test_it_stops_after_many_in_a_row(
        self, task: Make, batches: Make, fit: Make, what: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(guard, "MAX_SKIPPED", 2)
        model, given = task(on_nonfinite="skip"), batches(5)
        if what == "loss":
            for number in (0, 2, 3, 4):
                spoilt(given, number)
        else:
            weight = model.student.head.conv_seg.weight
            weight.register_hook(lambda gradient: gradient if model.global_step == 1 else gradient * NAN)
        with pytest.raises(TrainingError, match=r"^Step 4: (.|\n)*2 batches in a row"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            fit(model, given)


def test_infinite_gradients_are_left_to_the_gradient_scaler(task: Make) -> None:
    model = task()
    model._trainer = SimpleNamespace(precision_plugin=SimpleNamespace(scaler=object()), global_step=0)
    model.student.head.conv_seg.weight.grad = torch.full_like(model.student.head.conv_seg.weight, float("inf"))
    model.on_before_optimizer_step(torch.optim.SGD(model.student.parameters()))
    assert model.student.head.conv_seg.weight.grad.isinf().all()
