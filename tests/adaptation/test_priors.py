"""Spatial priors: what the source knows about places moves pseudo-labels, and only where it is known."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from dsrnss.adaptation.priors import PriorsConfig, SpatialPriors
from dsrnss.data.base import grid_histogram
from dsrnss.errors import ConfigError

WHOLE = torch.tensor([[0.0, 0.0, 1.0, 1.0]])
SKY, ROAD, CAR, NEVER = range(4)


def _priors(labels: np.ndarray | None = None, **options: float) -> SpatialPriors:
    """Sky above road, a car on the left half of the road, and a class that the source does not have."""
    if labels is None:
        labels = np.full((64, 128), SKY, np.uint8)
        labels[32:] = ROAD
        labels[40:56, 8:56] = CAR
    priors = SpatialPriors(4, PriorsConfig(**({"strength": 1.0} | options)))
    priors.learn(torch.from_numpy(grid_histogram(labels, 4, SpatialPriors.GRID)))
    return priors


def _random(seed: int, size: tuple[int, int] = (16, 32)) -> Tensor:
    return torch.randn(2, 4, *size, generator=torch.Generator().manual_seed(seed)).softmax(1)


def test_each_class_is_likelier_where_the_source_has_it() -> None:
    factors = _priors().factors()
    assert factors[SKY, 0].min() > 1 > 0.2 > factors[SKY, -1].max()
    assert factors[ROAD, -1].min() > 1 > 0.2 > factors[ROAD, 0].max()
    assert factors[CAR, 24, 16] > 1.5 and factors[CAR, 4].max() < 0.2


def test_a_black_sky_taken_for_road_becomes_sky() -> None:
    probabilities = torch.zeros(1, 4, 8, 16)
    probabilities[:, ROAD], probabilities[:, SKY] = 0.7, 0.3
    labels = _priors()(probabilities, WHOLE).argmax(1)
    assert (labels[:, :3] == SKY).all() and (labels[:, 5:] == ROAD).all()


def test_pictures_are_mirrored_in_training_so_the_prior_is_symmetric() -> None:
    factors = _priors().factors()
    torch.testing.assert_close(factors, factors.flip(2))


def test_what_the_source_never_shows_is_not_judged() -> None:
    assert (_priors().factors()[NEVER] == 1).all()
    labels = np.full((64, 128), 255, np.uint8)
    labels[:16] = SKY
    factors = _priors(labels, smoothing=0).factors()
    assert (factors[:, 8:] == 1).all(), "nobody labelled the lower part of the source"


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 999), strength=st.floats(0.1, 3), limit=st.floats(1, 50))
def test_sums_and_limits_are_kept(seed: int, strength: float, limit: float) -> None:
    labels = np.random.default_rng(seed).choice([0, 1, 2, 255], (9, 70)).astype(np.uint8)
    priors = _priors(labels, strength=strength, limit=limit)
    factors = priors.factors()
    assert torch.isfinite(factors).all()
    assert factors.max() <= limit**strength * 1.001 and factors.min() >= limit**-strength * 0.999
    refined = _random(seed) * 1.2  # the refinement leaves sums that are not 1
    weighted = priors(refined, WHOLE.expand(2, 4))
    torch.testing.assert_close(weighted.sum(1), refined.sum(1))
    assert (weighted > 0).all()


def test_a_crop_gets_the_part_of_the_whole_that_it_shows() -> None:
    priors = _priors()
    whole = priors.at(WHOLE, (64, 128))[0]
    top, left, height, width = 16, 40, 32, 48
    box = torch.tensor([[top / 64, left / 128, height / 64, width / 128]])
    torch.testing.assert_close(priors.at(box, (height, width))[0], whole[:, top : top + height, left : left + width])
    # twice as many pixels: the same places
    fine = priors.at(box, (2 * height, 2 * width))
    torch.testing.assert_close(
        torch.nn.functional.avg_pool2d(fine, 2)[0], priors.at(box, (height, width))[0], atol=0.1, rtol=0.02
    )


def test_the_strength_goes_to_nothing_continuously() -> None:
    probabilities = _random(0)
    torch.testing.assert_close(_priors(strength=1e-6)(probabilities, WHOLE.expand(2, 4)), probabilities)


def test_places_must_be_known() -> None:
    priors = SpatialPriors(4, PriorsConfig(strength=1))
    assert not priors.known
    with pytest.raises(ConfigError, match=r"priors\.strength needs the places"):
        priors(_random(0), WHOLE)
    with pytest.raises(ConfigError, match=r"priors\.strength needs to know where crops lie"):
        _priors()(_random(0), None)


@pytest.mark.parametrize("wrong", [{"strength": -1}, {"smoothing": 0.3}, {"limit": 0.5}])
def test_ranges_are_checked(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=rf"priors\.{next(iter(wrong))}: expected a number"):
        PriorsConfig(**wrong)


@settings(deadline=None, max_examples=25)
@given(height=st.integers(1, 40), width=st.integers(1, 40), seed=st.integers(0, 99))
def test_every_labelled_pixel_is_counted_once_in_its_cell(height: int, width: int, seed: int) -> None:
    labels = np.random.default_rng(seed).choice([0, 1, 2, 255], (height, width)).astype(np.uint8)
    counts = grid_histogram(labels, 3, (4, 8))
    expected = np.zeros((3, 4, 8), int)
    for row, column in np.argwhere(labels != 255):
        expected[labels[row, column], row * 4 // height, column * 8 // width] += 1
    assert (counts == expected).all()
