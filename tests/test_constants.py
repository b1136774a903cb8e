"""Constants: one tensor however often it is asked for, and never one that belongs to somebody's graph."""

import torch
from torch import Tensor, nn

from dsrnss.constants import _kept, constant

CPU = torch.device("cpu")


def test_it_is_made_once() -> None:
    assert constant((1.0, 2.0), CPU) is constant((1.0, 2.0), CPU)


class Shifted(nn.Module):
    def forward(self, image: Tensor) -> Tensor:
        return image + constant((0.25, 0.5), image.device)


def test_what_is_made_while_a_graph_is_exported_stays_there() -> None:
    _kept.cache_clear()
    for _ in range(2):
        program = torch.export.export(Shifted(), (torch.zeros(3, 2),))
        torch.testing.assert_close(program.module()(torch.zeros(3, 2))[0], torch.tensor([0.25, 0.5]))
        assert constant((0.25, 0.5), CPU).numpy().tolist() == [0.25, 0.5]
        _kept.cache_clear()
