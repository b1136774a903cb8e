"""The grid of cells is the one that nearest-neighbour resizing draws."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from dsrnss.adaptation.cells import count_in_cells, nearest_labels

sides = st.integers(1, 70)


@given(sides, sides, sides, sides)
@settings(max_examples=60, deadline=None)
def test_counts_and_reduction_follow_interpolate(height: int, width: int, h: int, w: int) -> None:
    labels = torch.randint(0, 5, (2, height, width))
    expected = F.interpolate(labels[:, None].float(), size=(h, w), mode="nearest")[:, 0].long()
    assert torch.equal(nearest_labels(labels, (h, w)), expected)
    # the number that each cell has after nearest upsampling is summed up to the naive count
    cells = torch.arange(h * w, dtype=torch.float32).view(1, 1, h, w)
    owner = F.interpolate(cells, size=(height, width), mode="nearest").long().flatten()
    one_hot = F.one_hot(labels.flatten(1), 5)
    naive = torch.zeros(2, h * w, 5, dtype=torch.int64).index_add_(1, owner, one_hot)
    assert torch.equal(count_in_cells(labels, (h, w), 4), naive.permute(0, 2, 1).view(2, 5, h, w))


@pytest.mark.parametrize("size", [(1024, 32), (1080, 270), (270, 68), (540, 135), (1000, 31)])
def test_large_sides(size: tuple[int, int]) -> None:
    labels = torch.randint(0, 19, (1, size[0], 4))
    expected = F.interpolate(labels[:, None].float(), size=(size[1], 4), mode="nearest")[:, 0].long()
    assert torch.equal(nearest_labels(labels, (size[1], 4)), expected)
    assert count_in_cells(labels, (size[1], 2), 19).sum() == labels.numel()


def test_every_value_beyond_the_classes_counts_as_ignored() -> None:
    counts = count_in_cells(torch.tensor([[[0, 1, 255, 7]]]), (1, 1), 2)
    assert counts.flatten().tolist() == [1, 1, 2]
