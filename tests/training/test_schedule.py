"""The optimiser of a GPU, one fused kernel, beside what a run may ask of it: clipping, scalers, older checkpoints."""

from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import lightning as L
import pytest
import torch
from lightning.pytorch.plugins.precision import MixedPrecision
from torch import nn

from dsrnss.training.schedule import match_layout
from dsrnss.training.task import AdaptationTask

Make = Callable[..., Any]
PRECISIONS = ("32-true", "bf16-mixed", "16-mixed")


class Optimisers:
    """Of which device optimisers are configured, whatever the task is on, and whether each is one kernel."""

    def __init__(self) -> None:
        self.device, self.fused = "cuda", list[bool]()


@pytest.fixture
def optimisers(monkeypatch: pytest.MonkeyPatch) -> Optimisers:
    found, configure = Optimisers(), AdaptationTask.configure_optimizers

    def configured(task: AdaptationTask) -> Any:
        with mock.patch.object(AdaptationTask, "device", torch.device(found.device)):
            made = configure(task)
        found.fused.append(bool(made["optimizer"].defaults["fused"]))
        return made

    monkeypatch.setattr(AdaptationTask, "configure_optimizers", configured)
    return found


def precisely(precision: str) -> dict[str, Any]:
    """The trainer's options; Lightning would take another precision on a CPU."""
    mixed = precision.endswith("mixed")
    return {"plugins": [MixedPrecision(precision, "cpu")]} if mixed else {"precision": precision}  # type: ignore[arg-type]


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("clip", [None, 1.0])
def test_every_precision_trains_with_and_without_clipping(
    precision: str, clip: float | None, optimisers: Optimisers, task: Make, batches: Make, fit: Make
) -> None:
    model = task()
    before = model.student.head.conv_seg.weight.detach().clone()
    fit(model, batches(2), gradient_clip_val=clip, **precisely(precision))
    assert not torch.equal(model.student.head.conv_seg.weight, before)
    assert optimisers.fused == [clip is None or precision == "32-true"], "one kernel wherever Lightning can do with it"


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_step_that_several_processes_skip_leaves_a_scaler_working(
    precision: str, optimisers: Optimisers, task: Make, batches: Make, fit: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dsrnss.training.guard.together", lambda: True)
    model, given = task(on_nonfinite="skip"), batches(3)
    given[1]["source"]["image"][0, 0, 3, 5] = torch.nan
    with pytest.warns(RuntimeWarning, match="This batch is skipped"):
        trainer = fit(model, given, **precisely(precision))
    assert trainer.global_step == 3
    assert all(parameter.isfinite().all() for parameter in model.student.parameters())


@pytest.mark.parametrize(("before", "after"), [("cpu", "cuda"), ("cuda", "cpu")])
def test_a_run_goes_on_with_the_optimiser_of_todays_device(
    before: str, after: str, optimisers: Optimisers, task: Make, batches: Make, fit: Make, tmp_path: Path
) -> None:
    optimisers.device = before
    trainer = fit(task(), batches(2), L.pytorch.callbacks.ModelCheckpoint(tmp_path, save_last=True))
    optimisers.device = after
    settings: dict[str, Any] = {"logger": False, "enable_progress_bar": False, "enable_checkpointing": False}
    settings |= {"accelerator": "cpu", "enable_model_summary": False, **precisely("16-mixed")}
    resumed = L.Trainer(max_epochs=2, **settings)
    resumed.fit(task(), datamodule=trainer.datamodule, ckpt_path=tmp_path / "last.ckpt")
    assert resumed.global_step == 4 and optimisers.fused == [before == "cuda", after == "cuda"]
    assert {bool(group["fused"]) for group in resumed.optimizers[0].param_groups} == {after == "cuda"}


def test_moments_lie_as_their_parameters_do() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 2, 1)).to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(network.parameters(), fused=True)
    network(torch.randn(1, 3, 8, 8)).sum().backward()
    optimizer.step()
    kept = {p: {key: value.clone() for key, value in optimizer.state[p].items()} for p in network.parameters()}
    network.to(memory_format=torch.contiguous_format)
    assert any(state["exp_avg"].stride() != p.stride() for p, state in optimizer.state.items())
    match_layout(optimizer)
    for parameter, state in optimizer.state.items():
        assert state["exp_avg"].stride() == state["exp_avg_sq"].stride() == parameter.stride()
        assert all(torch.equal(value, kept[parameter][key]) for key, value in state.items())
