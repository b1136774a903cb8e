"""The fastest way to compute is measured, taken where it gains something, and kept in checkpoints."""

import shutil
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dsrnss.errors import HardwareError
from dsrnss.models.config import NetworkConfig
from dsrnss.models.factory import build_segmentor
from dsrnss.training.callbacks import execution
from dsrnss.training.callbacks.execution import Setting, candidates, choose, fastest, measure

RECORDED = {
    "compact, FPN": (0.675, 0.532, True),
    "EfficientNet-Lite0, FPN": (3.830, 2.801, True),
    "MiT-B0, SegFormer": (1.154, 1.382, False),
    "MiT-B0, DAFormer, HRDA": (3.856, 6.393, False),
    "noise": (1.000, 0.970, False),
}
"""Network -> seconds of a pass, contiguous and channels-last, on a CPU with AVX-512, and what is the better one."""


@pytest.mark.parametrize("name", RECORDED)
def test_of_recorded_times_the_better_is_chosen(name: str) -> None:
    contiguous, channels_last, better = RECORDED[name]
    plain = Setting(False, 1)
    assert choose({plain: contiguous, Setting(True, 1): channels_last}, plain).channels_last is better


@given(st.dictionaries(st.sampled_from(candidates(16, fewer_threads=True)), st.floats(0.001, 10)), st.floats(0.001, 10))
def test_what_is_chosen_is_never_slower_than_the_plain_way(seconds: dict[Setting, float], plainly: float) -> None:
    plain = Setting(False, 16)
    seconds[plain] = plainly
    chosen = choose(seconds, plain)
    assert chosen == plain or seconds[chosen] < 0.95 * plainly


def test_threads_are_tried_where_their_number_is_free() -> None:
    assert [one.threads for one in candidates(16, fewer_threads=True)] == [16, 16, 8, 8, 4, 4]
    assert candidates(16, fewer_threads=False) == candidates(16, fewer_threads=True)[:2]
    assert [one.threads for one in candidates(2, fewer_threads=True)] == [2, 2]


def test_settings_take_turns_and_hopeless_ones_have_one(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, used, now = [0.0], [], [Setting(False, 1)]
    cost = {Setting(False, 1): 1.0, Setting(True, 1): 1.2, Setting(True, 2): 5.0}

    def use(setting: Setting) -> None:
        used.append(setting)
        now[0] = setting

    def run() -> None:
        clock[0] += cost[now[0]] * (9 if len(used) <= len(cost) else 1)  # the first pass of each is slow

    monkeypatch.setattr(execution.time, "perf_counter", lambda: clock[0])
    assert measure(run, use, list(cost), rounds=2) == pytest.approx(cost)
    assert [used.count(setting) for setting in cost] == [3, 3, 2]


@pytest.mark.parametrize("processes", [1, 2])
def test_of_several_processes_each_passes_equally_often(processes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Batch norms that are synchronised wait for each other, and what is hopeless differs from process to process."""
    passes, ticks = list[bool](), iter(range(10**6))
    student = build_segmentor(NetworkConfig("compact", "fpn", 8)).train()
    monkeypatch.setattr(execution, "together", lambda: processes > 1)
    # each pass seems to take twice as long as the one before
    monkeypatch.setattr(execution.time, "perf_counter", lambda: 2.0 ** next(ticks))
    fastest(student, torch.randn(2, 3, 64, 64), lambda: nullcontext(passes.append(True)))
    whole = 3 * len(candidates(torch.get_num_threads(), fewer_threads=True))
    assert len(passes) == whole if processes > 1 else len(passes) < whole


@pytest.mark.parametrize("hrda", [False, True])
def test_measuring_changes_nothing(hrda: bool) -> None:
    student = build_segmentor(NetworkConfig("compact", "fpn", 8, hrda=hrda)).train()
    before = {name: tensor.clone() for name, tensor in student.state_dict().items()}
    drawn, threads = torch.random.get_rng_state(), torch.get_num_threads()
    assert fastest(student, torch.randn(2, 3, 64, 64), nullcontext) in candidates(threads, fewer_threads=True)
    torch.testing.assert_close(dict(student.state_dict()), before, rtol=0, atol=0)
    assert torch.get_num_threads() == threads
    assert all(parameter.grad is None for parameter in student.parameters())
    torch.manual_seed(1)
    fastest(student, torch.zeros(2, 3, 64, 64), nullcontext)
    after = torch.rand(1)
    torch.manual_seed(1)
    assert torch.equal(after, torch.rand(1))
    torch.random.set_rng_state(drawn)


def _layouts(model: Any) -> set[bool]:
    networks = (model.student, model.method.teacher.network)
    weights = [p for network in networks for p in network.parameters() if p.ndim == 4 and min(p.shape) > 1]
    return {p.is_contiguous(memory_format=torch.channels_last) for p in weights}


def test_auto_takes_what_was_measured_and_a_checkpoint_keeps_it(
    task: Callable[..., Any],
    batches: Callable[..., Any],
    fit: Callable[..., L.Trainer],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    chosen, threads = Setting(True, torch.get_num_threads() + 1), torch.get_num_threads()
    monkeypatch.setattr(execution, "fastest", lambda *_: chosen)
    model = task(channels_last="auto")
    assert _layouts(model) == {False}
    trainer = fit(model, batches(2), L.pytorch.callbacks.ModelCheckpoint(tmp_path, save_last=True))
    assert _layouts(model) == {True}
    assert torch.get_num_threads() == threads, "as before, when training is over"

    def never(*_: object) -> Setting:
        raise AssertionError("measured again")

    monkeypatch.setattr(execution, "fastest", never)
    again = task(channels_last="auto")
    settings: dict[str, Any] = {"logger": False, "enable_progress_bar": False, "enable_checkpointing": False}
    resumed = L.Trainer(max_epochs=2, accelerator="cpu", enable_model_summary=False, **settings)
    resumed.fit(again, datamodule=trainer.datamodule, ckpt_path=tmp_path / "last.ckpt")
    assert _layouts(again) == {True}


def test_a_run_goes_on_in_another_layout_with_its_moments(
    task: Callable[..., Any], batches: Callable[..., Any], fit: Callable[..., L.Trainer], tmp_path: Path
) -> None:
    trainer = fit(task(), batches(2), L.pytorch.callbacks.ModelCheckpoint(tmp_path, save_last=True))
    settings: dict[str, Any] = {"logger": False, "enable_progress_bar": False, "enable_checkpointing": False}
    resumed = L.Trainer(max_epochs=2, accelerator="cpu", enable_model_summary=False, **settings)
    again = task(channels_last=True)
    resumed.fit(again, datamodule=trainer.datamodule, ckpt_path=tmp_path / "last.ckpt")
    moments = resumed.optimizers[0].state
    assert _layouts(again) == {True} and len(moments) == len([*again.student.parameters()])
    assert all(moments[p]["exp_avg"].stride() == p.stride() for p in again.student.parameters()), "a GPU wants it"


def test_a_missing_compiler_is_told(
    task: Callable[..., Any],
    batches: Callable[..., Any],
    fit: Callable[..., L.Trainer],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def none(*_: Any, **__: Any) -> Any:
        raise RuntimeError("no working compiler was found")

    monkeypatch.setattr(torch, "compile", none)
    with pytest.raises(HardwareError, match=r"torch.compile needs a C\+\+ compiler"):
        fit(task(compile=True), batches(1))


@pytest.mark.slow
def test_compiled_losses_are_those_of_eager_execution(
    task: Callable[..., Any], batches: Callable[..., Any], fit: Callable[..., L.Trainer]
) -> None:
    if shutil.which("g++") is None and shutil.which("clang++") is None:
        pytest.skip("no C++ compiler")
    found = []
    for compiled in (False, True):
        losses: list[float] = []

        class Note(L.Callback):
            def on_train_batch_end(self, trainer: Any, module: Any, outputs: Any, *_: Any, to: Any = losses) -> None:
                to.append(float(outputs["loss"]))

        model = task(compile=compiled)
        fit(model, batches(3), Note())
        found.append(losses)
    assert len(found[0]) == 3
    assert found[1] == pytest.approx(found[0], rel=1e-4)
