"""Day images as the night would show them: the sky is dark, what is not chosen stays as it is."""

import dataclasses

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from dsrnss.adaptation.relighting import RelightingConfig, relight
from dsrnss.errors import ConfigError
from dsrnss.labels import CITYSCAPES
from dsrnss.normalisation import denormalise, normalise

SKY, ROAD = CITYSCAPES.index("sky"), CITYSCAPES.index("road")


def _scene(number: int, height: int = 24, width: int = 32) -> tuple[Tensor, Tensor]:
    """A bright sky over a grey road."""
    labels = torch.full((number, height, width), ROAD)
    labels[:, : height // 2] = SKY
    pixels = torch.where(labels[:, None] == SKY, 0.95, 0.45).expand(-1, 3, -1, -1)
    return normalise(pixels.contiguous()), labels


def _generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_off_it_draws_nothing() -> None:
    images, labels = _scene(2)
    generator = _generator()
    assert relight(images, labels, CITYSCAPES, RelightingConfig(), generator) is images
    assert torch.equal(generator.get_state(), _generator().get_state())


def test_the_sky_that_was_brightest_is_dark() -> None:
    images, labels = _scene(200)
    night = denormalise(relight(images, labels, CITYSCAPES, RelightingConfig(1.0), _generator()))
    sky, road = (night[:, :, rows].mean((1, 2, 3)) for rows in (slice(0, 10), slice(14, 24)))
    assert sky.max() < 0.75, "lamps may be in the sky, nothing else is bright"
    assert sky.mean() < 0.25
    assert (road > sky).float().mean() > 0.6, "by day the sky was brighter in every image"
    assert road.mean() < 0.45


def test_a_night_stays_as_it_is() -> None:
    images, labels = _scene(4)
    dark = normalise(0.2 * denormalise(images))
    night = relight(dark, labels, CITYSCAPES, RelightingConfig(1.0), _generator())
    torch.testing.assert_close(night, dark, atol=1e-5, rtol=0)


def test_images_are_chosen_one_by_one() -> None:
    images, labels = _scene(400)
    night = relight(images, labels, CITYSCAPES, RelightingConfig(0.3), _generator(1))
    changed = (night != images).flatten(1).any(1).float().mean().item()
    assert changed == pytest.approx(0.3, abs=0.07)


def test_a_label_space_without_a_sky_is_lit_as_a_whole() -> None:
    names = tuple("heaven" if name == "sky" else name for name in CITYSCAPES.names)
    images, labels = _scene(50)
    night = denormalise(relight(images, labels, dataclasses.replace(CITYSCAPES, names=names), DARK, _generator()))
    ratio = night[:, :, 4:9].mean() / night[:, :, 15:20].mean()
    assert ratio > 0.95 / 0.45 * 0.4, "what is brighter by day is brighter in the same light"


DARK = RelightingConfig(1.0, ambient=(0.1, 0.1))


@settings(deadline=None, max_examples=20)
@given(size=st.tuples(st.integers(8, 40), st.integers(8, 40)), seed=st.integers(0, 99))
def test_pixels_stay_pixels(size: tuple[int, int], seed: int) -> None:
    images, labels = _scene(3, *size)
    night = relight(images, labels, CITYSCAPES, RelightingConfig(1.0), _generator(seed))
    assert night.shape == images.shape and night.dtype == images.dtype
    plain = denormalise(night)
    assert plain.min() >= -1e-5 and plain.max() <= 1 + 1e-5


def test_the_same_seed_gives_the_same_night() -> None:
    images, labels = _scene(3)
    first, second = (relight(images, labels, CITYSCAPES, RelightingConfig(0.5), _generator(4)) for _ in range(2))
    assert torch.equal(first, second)


@pytest.mark.parametrize(
    ("values", "named"),
    [({"probability": 2.0}, "probability"), ({"ambient": (0.4, 0.1)}, "ambient"), ({"sky": -0.1}, "sky")],
)
def test_ranges(values: dict[str, object], named: str) -> None:
    with pytest.raises(ConfigError, match=rf"source\.relighting\.{named}"):
        RelightingConfig(**values)  # type: ignore[arg-type]
