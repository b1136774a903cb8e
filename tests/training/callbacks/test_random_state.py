"""Random states of GPUs that are not there, kept and restored by their numbers."""

import pytest
import torch

from dsrnss.training.callbacks.random_state import RandomState


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch) -> dict[int, torch.Tensor]:
    """The state of each GPU that is seen."""
    states: dict[int, torch.Tensor] = {}

    def put(state: torch.Tensor, number: int) -> None:
        assert state.is_cpu and number in states
        states[number] = state

    monkeypatch.setattr(torch.cuda, "is_available", lambda: bool(states))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: len(states))
    monkeypatch.setattr(torch.cuda, "get_rng_state_all", lambda: list(states.values()))
    monkeypatch.setattr(torch.cuda, "set_rng_state", put)
    return states


@pytest.mark.parametrize(("before", "now"), [(2, 2), (4, 1), (1, 4), (2, 0), (0, 2)])
def test_a_gpu_goes_on_with_its_draws_however_many_are_seen(
    before: int, now: int, gpus: dict[int, torch.Tensor]
) -> None:
    gpus.update({number: torch.tensor([number]) for number in range(before)})
    saved = RandomState().state_dict()
    gpus.clear()
    gpus.update({number: torch.tensor([-1]) for number in range(now)})
    restored = RandomState()
    restored.load_state_dict(saved)
    restored.on_train_batch_start(None, None, None, 0)  # type: ignore[arg-type]
    assert [int(gpus[number]) for number in range(now)] == [n if n < before else -1 for n in range(now)]
