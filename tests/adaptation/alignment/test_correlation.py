"""Correlations equal their definitions."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dsrnss.adaptation.alignment.correlation import TILE, global_correlation, local_correlation, mutual_matching

SIDES = st.integers(1, 2 * TILE + 3)


def by_definition(target, reference, radius):
    batch, channels, height, width = target.shape
    size = 2 * radius + 1
    result = torch.zeros(batch, size, size, height, width)
    outside = torch.zeros(batch, channels)
    for y in range(height):
        for x in range(width):
            for i in range(size):
                for j in range(size):
                    there = (y + i - radius, x + j - radius)
                    inside = 0 <= there[0] < height and 0 <= there[1] < width
                    other = reference[:, :, there[0], there[1]] if inside else outside
                    result[:, i, j, y, x] = (target[:, :, y, x] * other).sum(1)
    return result.flatten(1, 2)


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 2), st.integers(1, 3), st.integers(1, 4), SIDES, st.integers(0, 2), st.integers(0, 2**31))
def test_local_correlation_is_its_definition(batch, channels, height, width, radius, seed):
    generator = torch.Generator().manual_seed(seed)
    target, reference = torch.randn(2, batch, channels, height, width, generator=generator)
    expected = by_definition(target, reference, radius)
    torch.testing.assert_close(local_correlation(target, reference, radius), expected, rtol=1e-5, atol=1e-5)


def test_local_correlation_of_odd_maps_over_the_window_of_the_networks():
    target, reference = torch.randn(2, 2, 5, 7, 19, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(
        local_correlation(target, reference), by_definition(target, reference, 4), rtol=1e-5, atol=1e-5
    )


def test_local_correlation_takes_any_memory_layout():
    target, reference = torch.randn(2, 2, 5, 7, 19, generator=torch.Generator().manual_seed(0))
    expected = local_correlation(target, reference)
    last, turned = torch.channels_last, reference.mT.contiguous().mT
    torch.testing.assert_close(local_correlation(target.to(memory_format=last), turned), expected)


def test_a_moved_map_correlates_most_with_where_it_went():
    features = torch.nn.functional.normalize(torch.randn(1, 32, 20, 30), dim=1)
    moved = features.roll((2, -3), (2, 3))
    best = local_correlation(features, moved).argmax(1)[0, 4:-4, 4:-4]
    assert (best == (2 + 4) * 9 + (-3 + 4)).all()


def test_global_correlation_counts_reference_pixels_row_first():
    target, reference = torch.randn(2, 3, 4, 2), torch.randn(2, 3, 3, 5)
    expected = torch.einsum("bcyx,bcij->bijyx", target, reference).flatten(1, 2)
    torch.testing.assert_close(global_correlation(target, reference), expected)


def test_mutual_matching_keeps_the_best_of_both_and_weakens_others():
    # two reference pixels (channels), two target pixels
    correlation = torch.tensor([[1.0, 0.5], [0.5, 0.25]]).view(1, 2, 1, 2)
    matched = mutual_matching(correlation).flatten()
    torch.testing.assert_close(matched, torch.tensor([1, 0.25, 0.25, 0.0625]), rtol=1e-4, atol=0)
