"""Source images take on the night's looks, and nothing else: FDA, statistics and histograms."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from dsrnss.adaptation.night_aware import (
    NightAwareConfig,
    match_amplitudes,
    match_histograms,
    match_statistics,
    match_to_night,
)
from dsrnss.errors import ConfigError
from dsrnss.normalisation import denormalise, normalise

Match = Callable[[Tensor, Tensor], Tensor]
SIZES = st.tuples(st.integers(4, 33), st.integers(4, 33))
METHODS = ("fda", "statistics", "histogram")


def _pixels(seed: int, number: int, size: tuple[int, int], most: float = 1.0) -> Tensor:
    return most * torch.rand(number, 3, *size, generator=torch.Generator().manual_seed(seed))


def _pair(seed: int, size: tuple[int, int], number: int = 2) -> tuple[Tensor, Tensor]:
    return _pixels(seed, number, size), _pixels(seed + 1, number, size, 0.3)


def _fda(image: npt.NDArray[np.float64], night: npt.NDArray[np.float64], beta: float) -> npt.NDArray[np.float64]:
    """FDA of one channel as its paper draws it: spectra shifted to the middle, a square replaced in one of them."""
    spectra = [np.fft.fftshift(np.fft.fft2(plane)) for plane in (image, night)]
    amplitude, phase = np.abs(spectra[0]), np.angle(spectra[0])
    height, width = image.shape
    row, column, reach = height // 2, width // 2, int(np.floor(beta * min(height, width)))
    for i in range(max(row - reach, 0), min(row + reach + 1, height)):
        for j in range(max(column - reach, 0), min(column + reach + 1, width)):
            amplitude[i, j] = np.abs(spectra[1][i, j])
    return np.real(np.fft.ifft2(np.fft.ifftshift(amplitude * np.exp(1j * phase))))


@settings(deadline=None, max_examples=40)
@given(size=SIZES, beta=st.sampled_from([0.01, 0.02, 0.09, 0.25, 0.4]), seed=st.integers(0, 99))
def test_fda_is_that_of_the_paper(size: tuple[int, int], beta: float, seed: int) -> None:
    images, nights = _pair(seed, size)
    matched = match_amplitudes(images, nights, beta)
    for ours, image, night in zip(
        matched.flatten(0, 1), images.flatten(0, 1).double(), nights.flatten(0, 1).double(), strict=True
    ):
        np.testing.assert_allclose(ours.numpy(), _fda(image.numpy(), night.numpy(), beta), atol=2e-6)


def test_fda_keeps_phases_and_takes_low_amplitudes() -> None:
    images, nights = _pair(3, (40, 60))
    matched = match_amplitudes(images, nights, 0.1)
    before, after, night = (torch.fft.rfft2(x.double()) for x in (images, matched, nights))
    angle = (after / before).angle().abs()
    assert angle.max() < 1e-3
    low, high = (..., slice(0, 5), slice(0, 5)), (..., slice(5, -4), slice(None))
    torch.testing.assert_close(after[low].abs(), night[low].abs(), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(after[high], before[high], rtol=1e-4, atol=1e-4)
    # the mean is the amplitude of frequency 0
    torch.testing.assert_close(after[..., 0, 0].real, night[..., 0, 0].real, rtol=1e-5, atol=1e-5)


@settings(deadline=None, max_examples=40)
@given(size=SIZES, seed=st.integers(0, 99))
def test_statistics_become_the_nights(size: tuple[int, int], seed: int) -> None:
    images, nights = _pair(seed, size)
    matched = match_statistics(images, nights)
    for ours, theirs in zip(torch.std_mean(matched, (2, 3)), torch.std_mean(nights, (2, 3)), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


@settings(deadline=None, max_examples=40)
@given(size=st.tuples(st.integers(2, 16), st.integers(2, 16)), seed=st.integers(0, 99))
def test_values_become_the_nights_in_their_old_order(size: tuple[int, int], seed: int) -> None:
    images, nights = _pair(seed, size)
    images = images.flatten(2).argsort(2).view_as(images) / 255  # no two pixels of a channel alike
    nights = (255 * nights).round() / 255
    matched = match_histograms(images, nights).flatten(2)
    torch.testing.assert_close(matched.sort(2).values, nights.flatten(2).sort(2).values)
    assert torch.equal(matched.gather(2, images.flatten(2).argsort(2)), matched.sort(2).values)


def test_a_flat_surface_stays_flat() -> None:
    images, nights = _pair(0, (16, 24))
    images[:, :, :8] = 1.0
    assert match_histograms(images, nights)[:, :, :8].flatten(2).std(2).max() == 0
    flat = match_statistics(torch.full_like(images, 0.5), nights)
    torch.testing.assert_close(flat, nights.mean((2, 3), keepdim=True).expand_as(flat))


@pytest.mark.parametrize("match", [lambda a, b: match_amplitudes(a, b, 0.1), match_statistics, match_histograms])
def test_an_image_matched_to_itself_stays_what_it_was(match: Match) -> None:
    images = (255 * _pair(5, (24, 32))[0]).round() / 255
    torch.testing.assert_close(match(images, images), images, rtol=0, atol=1e-6)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("off", [{"probability": 0.0}, {"strength": 0.0}, {"beta": 0.0}])
def test_off_is_identity_without_a_draw(method: str, off: dict[str, float]) -> None:
    config = NightAwareConfig(**({"method": method, "probability": 1.0} | off))  # type: ignore[arg-type]
    if config.enabled:
        assert method != "fda" and "beta" in off, "beta is a setting of fda alone"
        return
    generator = torch.Generator().manual_seed(0)
    images, state = normalise(_pixels(0, 2, (8, 12))), generator.get_state()
    assert match_to_night(images, torch.zeros(2, 3, 4, 4), config, generator) is images
    assert torch.equal(generator.get_state(), state)


def test_it_is_off_by_default() -> None:
    assert not NightAwareConfig().enabled


@pytest.mark.parametrize("method", METHODS)
def test_each_image_is_matched_or_left_bit_for_bit(method: str) -> None:
    config = NightAwareConfig(method, probability=0.5)  # type: ignore[arg-type]
    images, nights = (normalise(batch) for batch in _pair(1, (24, 32), number=24))
    before = images.clone()
    first, second = (match_to_night(images, nights[:3], config, torch.Generator().manual_seed(4)) for _ in range(2))
    assert torch.equal(first, second) and torch.equal(images, before)
    left = (first == images).flatten(1).all(1)
    assert 4 < left.sum() < 20
    brightness = denormalise(first).mean((1, 2, 3))
    assert (brightness[left] > 0.4).all() and (brightness[~left] < 0.3).all()
    assert (denormalise(first) > -1e-6).all() and (denormalise(first) < 1 + 1e-6).all()


def test_strength_moves_part_of_the_way() -> None:
    images, nights = (normalise(batch) for batch in _pair(1, (24, 32)))
    half, whole = (
        match_to_night(images, nights, NightAwareConfig("histogram", 0.02, s, 1.0), torch.Generator().manual_seed(0))
        for s in (0.5, 1.0)
    )
    torch.testing.assert_close(half, (images + whole) / 2)


def test_autocast_changes_nothing() -> None:
    images, nights = (normalise(batch) for batch in _pair(1, (24, 40)))
    config = NightAwareConfig(probability=1.0)
    plain = match_to_night(images, nights, config, torch.Generator().manual_seed(0))
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(match_to_night(images, nights, config, torch.Generator().manual_seed(0)), plain)


def test_crops_of_two_sizes_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"night_aware: .* one size, not 8x12 and 8x16"):
        match_to_night(*map(torch.zeros, ((2, 3, 8, 12), (2, 3, 8, 16))), NightAwareConfig(probability=1.0), None)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"beta": 0.6}, r"night_aware\.beta: expected a number from 0 to 0\.5"),
        ({"strength": 2}, r"night_aware\.strength"),
        ({"probability": -1}, r"night_aware\.probability"),
        ({"method": "fdaa"}, r"night_aware\.method: unknown method 'fdaa'\. Did you mean 'fda'"),
    ],
)
def test_ranges_are_checked(wrong: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        NightAwareConfig(**wrong)  # type: ignore[arg-type]
