"""What can be said of a network without labels."""

import pytest
import torch
from torch import Tensor

from dsrnss.training.label_free import label_free


class Says:
    """A network that calls pixels by a rule of their colour."""

    def __init__(self, rule) -> None:
        self.rule = rule

    def predict(self, images: Tensor) -> Tensor:
        labels = self.rule(images)
        return 8.0 * torch.nn.functional.one_hot(labels, 3).movedim(-1, 1).float()


IMAGES = [torch.rand(2, 3, 32, 48, generator=torch.Generator().manual_seed(n)) * 4 - 2 for n in range(2)]


def left_half(images: Tensor) -> Tensor:
    labels = torch.zeros(images.shape[0], *images.shape[-2:], dtype=torch.int64)
    labels[..., : images.shape[-1] // 2] = 1
    return labels


def test_a_network_that_says_one_thing_everywhere_gets_the_share_of_one_class():
    found = label_free(Says(lambda images: left_half(images) * 0), IMAGES, 3)
    assert found.consistency == pytest.approx(1 / 3)
    assert found.shares.tolist() == [1, 0, 0]
    assert found.information == pytest.approx(0, abs=1e-6) and found.score == pytest.approx(0, abs=1e-6)


def test_what_changes_under_a_mirror_is_not_consistent():
    found = label_free(Says(left_half), IMAGES, 3)
    # the mirror turns all pixels about, the other two views none: of 6 pixels 4 agree
    assert found.consistency == pytest.approx((2 / 4 + 2 / 4 + 0) / 3)


def test_what_no_view_changes_is_consistent():
    def rows(images: Tensor) -> Tensor:
        height = images.shape[-2]
        rows = torch.arange(height) * 3 // height
        return rows[:, None].expand(images.shape[0], height, images.shape[-1])

    found = label_free(Says(rows), [torch.zeros(1, 3, 48, 48)], 3)
    assert found.consistency == pytest.approx(1, abs=0.05)
    assert 0.99 < found.confidence <= 1
    assert 0.95 < found.information <= 1, "three classes, each as often as the others, and hardly a doubt"


def test_who_is_never_sure_says_nothing():
    class Unsure:
        def predict(self, images: Tensor) -> Tensor:
            return torch.zeros(images.shape[0], 4, *images.shape[-2:])

    assert label_free(Unsure(), IMAGES, 4).information == pytest.approx(0, abs=1e-6)
