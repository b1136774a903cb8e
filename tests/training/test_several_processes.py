"""Two processes that train together: what they have in common, what each has of its own, and what a stop leaves."""

import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
import several
import torch
from several import HALF, STEPS

from dsrnss.training.processes import seed_of

Pair = list[dict[str, Any]]
pytestmark = pytest.mark.slow


def _same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def _mean(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: (one[name] + other[name]) / 2 for name in one}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("several")
    _, trainer = several.fit(folder, HALF)
    trainer.save_checkpoint(folder / "of_one.ckpt")
    return folder


@pytest.fixture(scope="module")
def both(folder: Path) -> Pair:
    return several.results(folder, "whole")


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    return several.results(tmp_path_factory.mktemp("scores"), "scores")


class TestTraining:
    def test_student_teacher_and_frequencies_are_the_same_in_both(self, both: Pair) -> None:
        first, second = both
        assert _same(first["student"], second["student"]) and _same(first["teacher"], second["teacher"])
        assert torch.equal(first["frequency"], second["frequency"]) and first["frequency"].any()
        assert all(map(_same, first["gradients"], second["gradients"])) and len(first["gradients"]) == STEPS
        moved = [name for name, value in several.make_task().student.state_dict().items() if "running_mean" in name]
        assert moved and all(first["student"][name].any() for name in moved), "statistics are a part of it"

    def test_draws_and_memory_banks_are_each_ones_own(self, both: Pair) -> None:
        first, second = both
        assert not torch.equal(first["draws"], second["draws"])
        assert first["losses"] != second["losses"]
        assert first["bank"] and not any(map(torch.equal, first["bank"], second["bank"]))

    def test_pictures_are_dealt_out_in_the_order_of_one_process(self, both: Pair) -> None:
        alone, data = several.make_witness(), several.make_data(2)
        task = several.make_task()
        several.make_trainer(Path(), STEPS, alone).fit(task, datamodule=data)
        assert torch.equal(task.method.frequency.frequency, both[0]["frequency"]), "of all pictures"
        dealt = [[a[0], b[0], a[1], b[1]] for a, b in zip(both[0]["names"], both[1]["names"], strict=True)]
        assert dealt == alone.names
        assert both[0]["seen"] == both[1]["seen"] == data.samples_seen

    def test_the_gradient_is_the_mean_of_those_of_each_half(self, both: Pair) -> None:
        """One process that takes the two half batches with the draws of each; at step 0, when prototypes are not on."""
        halves = []
        for rank in (0, 1):
            task, data = several.make_task(), several.make_data()
            task.train()
            task.method.generator.manual_seed(seed_of(0, rank))
            if rank:
                torch.manual_seed(seed_of(0, rank))
            streams = data.train_dataloader().iterables
            batch = {name: loader.dataset[rank] for name, loader in streams.items()}
            batch = {name: torch.utils.data.default_collate([sample]) for name, sample in batch.items()}
            losses, _ = task.method.losses(task.student, batch, 0)
            torch.stack(list(losses.values())).sum().backward()
            halves.append({name: p.grad for name, p in task.student.named_parameters()})
        expected, found = _mean(*halves), both[0]["gradients"][0]
        assert expected.keys() == found.keys()
        for name in expected:
            torch.testing.assert_close(found[name], expected[name], rtol=1e-5, atol=1e-8)

    def test_a_resumed_run_is_the_undisturbed_one(self, both: Pair) -> None:
        for own in both:
            assert own["resumed"]["losses"] == own["losses"][HALF:]
            assert own["resumed"]["names"] == own["names"][HALF:]
            assert _same(own["resumed"]["student"], own["student"])
            assert _same(own["resumed"]["teacher"], own["teacher"])
            assert torch.equal(own["resumed"]["draws"], own["draws"])
            assert all(map(torch.equal, own["resumed"]["bank"], own["bank"]))

    def test_a_run_of_one_goes_on_in_two(self, folder: Path, both: Pair) -> None:
        first, second = (own["from_one"] for own in both)
        data = several.make_data(1)
        source = data.train_dataloader().iterables["source"].dataset
        expected = [source[position]["name"] for position in range(HALF, HALF + 2 * (STEPS - HALF))]
        names = [name for a, b in zip(first["names"], second["names"], strict=True) for name in (a[0], b[0])]
        assert names == expected, "it goes on behind the pictures that were seen"
        assert _same(first["student"], second["student"])
        assert not torch.equal(first["draws"], second["draws"])

    def test_a_run_of_two_goes_on_in_one_and_says_what_is_lost(
        self, folder: Path, both: Pair, caplog: pytest.LogCaptureFixture
    ) -> None:
        found, trainer = several.fit(folder, STEPS + 1, "of_two.ckpt")
        assert "the checkpoint is of 2 processes, this run has 1" in caplog.text
        assert "memory banks and random draws of the others are left out" in caplog.text
        assert trainer.global_step == STEPS + 1
        source = several.make_data().train_dataloader().iterables["source"].dataset
        assert found["names"][0][0] == source[2 * STEPS]["name"]
        assert all(map(torch.equal, found["bank"][:-1], both[0]["bank"][1:]))


class TestNumbersOfOneProcess:
    def test_scores(self, scored: Pair) -> None:
        task = several.make_task()
        several.make_trainer(Path(), 1, limit_val_batches=1.0).validate(
            task, datamodule=several.make_data(), verbose=False
        )
        for own in scored:
            assert (own["confusion"] == task.results["night"].confusion).all()

    def test_gradients_of_the_doubled_batch(self, scored: Pair) -> None:
        """Where nothing looks at a batch as a whole: batch norms rest, nothing is drawn, the source alone is learnt."""
        alone = several.make_witness()
        several.make_trainer(Path(), 3, several.frozen_norms(), alone).fit(
            several.plain_task(), datamodule=several.make_data(2, target=False)
        )
        for own in scored:
            for expected, found in zip(alone.gradients, own["gradients"], strict=True):
                for name in expected:
                    torch.testing.assert_close(found[name], expected[name], rtol=1e-4, atol=1e-6)
        assert [(a + b) / 2 for a, b in zip(scored[0]["losses"], scored[1]["losses"], strict=True)] == pytest.approx(
            alone.losses, rel=1e-5
        )


def test_both_skip_what_one_refuses(tmp_path: Path) -> None:
    first, second = several.results(tmp_path, "skipping")
    sound = [
        [all(one.isfinite().all() for one in step.values()) for step in own["gradients"]] for own in (first, second)
    ]
    assert sound == [[True, False, True]] * 2, "the second one's loss spoils the gradient of both"
    assert _same(first["student"], second["student"]) and _same(first["teacher"], second["teacher"])
    assert all(value.isfinite().all() for value in first["student"].values())


def _wait_for_steps(folder: Path) -> None:
    end = time.monotonic() + 240
    while not all((folder / f"step_{rank}").exists() for rank in (0, 1)):
        assert time.monotonic() < end, "the run did not come so far"
        time.sleep(0.1)


def _end_of(process: subprocess.Popen[str]) -> tuple[int, str]:
    _, err = process.communicate(timeout=60)
    return process.returncode, err


@pytest.mark.parametrize("victim", [0, 1])
def test_no_process_outlives_another(tmp_path: Path, victim: int) -> None:
    processes = several.start(tmp_path, "hang")
    _wait_for_steps(tmp_path)
    os.kill(processes[victim].pid, signal.SIGKILL)
    code, err = _end_of(processes[1 - victim])
    assert code not in (0, -signal.SIGKILL), err


def test_an_error_in_one_ends_both(tmp_path: Path) -> None:
    processes = several.start(tmp_path, "hang")
    _wait_for_steps(tmp_path)
    (tmp_path / "fail").touch()
    found = [_end_of(process) for process in processes]
    assert all(code not in (0, -signal.SIGKILL) for code, _ in found)
    assert "the second one cannot go on" in found[1][1]


def test_a_process_that_hangs_ends_the_others(tmp_path: Path) -> None:
    """Stopped, it closes no connection: what is left is that it gives no sign of life."""
    processes = several.start(tmp_path, "hang")
    _wait_for_steps(tmp_path)
    processes[1].send_signal(signal.SIGSTOP)
    code, err = _end_of(processes[0])
    assert code == 1 and "process 2 of 2 gives no sign of life" in err
    assert "What is saved is whole" in err
    processes[1].send_signal(signal.SIGCONT)
    code, err = _end_of(processes[1])
    assert code not in (0, -signal.SIGKILL), err
