"""Tail weights: mean 1, high for rare, dynamic and small classes, remembered by checkpoints."""

import torch

from dsrnss.adaptation.class_frequency import ClassFrequency
from dsrnss.labels import CITYSCAPES


def test_rare_classes_weigh_more() -> None:
    frequency = ClassFrequency(4)
    frequency.update(torch.tensor([[[0] * 64 + [1] * 16 + [2] * 4 + [255] * 9]]))
    weights = frequency.weights()
    assert torch.isclose(weights.mean(), torch.tensor(1.0))
    assert weights[0] < weights[1] < weights[2] < weights[3]
    assert torch.isclose(weights[1] / weights[0], torch.tensor(2.0))  # a quarter as frequent: (1/4) ** -0.5
    assert torch.isclose(weights[3] / weights[1], torch.tensor(4.0))  # never seen: the limit


def test_dynamic_and_small_classes_are_raised() -> None:
    frequency = ClassFrequency.of(CITYSCAPES)
    before = frequency.weights()
    assert torch.isclose(before[13] / before[0], torch.tensor(1.5))
    frequency.update(torch.arange(19).view(1, 1, 19))
    assert torch.allclose(frequency.weights(), before)


def test_ignored_batches_change_nothing_and_old_ones_fade() -> None:
    frequency = ClassFrequency(2, momentum=0.5)
    frequency.update(torch.full((1, 4, 4), 255))
    assert torch.equal(frequency.weights(), torch.ones(2))
    frequency.update(torch.zeros(1, 4, 4).long())
    early = frequency.weights()
    frequency.update(torch.full((1, 4, 4), 255))
    assert torch.equal(frequency.weights(), early)
    for _ in range(8):
        frequency.update(torch.ones(1, 4, 4).long())
    assert frequency.weights()[0] > frequency.weights()[1]


def test_the_frequency_is_in_the_state_dict() -> None:
    frequency, other = ClassFrequency(3), ClassFrequency(3)
    frequency.update(torch.tensor([[[0, 0, 1, 2]]]))
    other.load_state_dict(frequency.state_dict())
    assert torch.equal(other.weights(), frequency.weights())
