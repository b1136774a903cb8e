"""The end of processes that trained together."""

import subprocess
import sys

import pytest
import torch
from torch import distributed

from dsrnss.adaptation.memory_bank import BankEntry, MemoryBank
from dsrnss.collectives import average_, everyones, summed, together
from dsrnss.measuring.rehearsal import Rehearsal
from dsrnss.training import processes
from dsrnss.training.processes import gathered, highest, host_group, seed_of

SCRIPT = """
import atexit, sys
from torch import distributed
from dsrnss.training.processes import end_group_at_exit

def say():
    print("running" if distributed.is_initialized() else "ended")

atexit.register(say)  # called last: the other way round than registered
end_group_at_exit()  # nothing to end yet
distributed.init_process_group("gloo", store=distributed.FileStore(sys.argv[1], 1), rank=0, world_size=1)
end_group_at_exit()
end_group_at_exit()
say()
"""


def test_the_group_ends_before_the_process_does(tmp_path):
    words = [sys.executable, "-c", SCRIPT, str(tmp_path / "store")]
    run = subprocess.run(words, capture_output=True, text=True, timeout=120, check=True)
    assert run.stdout.split() == ["running", "ended"]


def test_alone_there_is_nobody_to_ask():
    numbers = torch.tensor([1.0, 2.0])
    average_([numbers])
    assert summed(numbers) is numbers and numbers.tolist() == [1.0, 2.0]
    assert everyones("a") == gathered("a") == ["a"]
    assert highest(3) == 3 and host_group() is None and not together()


def test_draws_of_processes_differ_and_the_first_ones_are_those_of_one():
    assert seed_of(7, 0) == seed_of(7, 0, 5) == 7
    seeds = {seed_of(seed, process, step) for seed in range(5) for process in range(1, 5) for step in (0, 10)}
    assert len(seeds) == 40 and not seeds & set(range(5))


def test_what_a_gpu_holds_is_sent_from_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[dict[str, list[tuple[torch.Tensor, ...]]]] = []
    monkeypatch.setattr(processes, "together", lambda: True)
    monkeypatch.setattr(processes, "host_group", lambda: None)
    monkeypatch.setattr(distributed, "get_rank", lambda: 1)
    monkeypatch.setattr(distributed, "gather_object", lambda state, *_, **__: sent.append(state))
    bank, rehearsal = MemoryBank((5,)), Rehearsal()
    bank.entries = (BankEntry(rehearsal.fake((2, 3, 8, 8)), rehearsal.fake((2, 8, 8)), rehearsal.fake((2, 8, 8))),)
    assert {tensor.device.type for tensor in bank.entries[0]} == {"cuda"}
    with rehearsal:
        gathered(bank.get_extra_state())
    assert {tensor.device.type for entry in sent[0]["entries"] for tensor in entry} == {"cpu"}
