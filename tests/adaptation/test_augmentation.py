"""The wider photometric range: what is off leaves images and draws alone, what is on does what it says."""

import math

import pytest
import torch
from torch import Tensor

from dsrnss.adaptation.augmentation import AugmentationConfig, add_noise, change_camera, strong_augment
from dsrnss.errors import ConfigError
from dsrnss.normalisation import denormalise, normalise

QUIET = {"jitter_probability": 0.0, "blur_probability": 0.0}


def _images(number: int = 2) -> Tensor:
    return normalise(0.2 + 0.5 * torch.rand(number, 3, 24, 32, generator=torch.Generator().manual_seed(0)))


def _augment(images: Tensor, seed: int = 0, **options: object) -> Tensor:
    return strong_augment(images, AugmentationConfig(**(QUIET | options)), torch.Generator().manual_seed(seed))  # type: ignore[arg-type]


def test_what_is_off_draws_nothing_and_changes_no_bit() -> None:
    generator = torch.Generator().manual_seed(0)
    image, state = _images()[0], generator.get_state()
    assert change_camera(image, AugmentationConfig(), generator) is image
    assert torch.equal(generator.get_state(), state)


def test_draws_of_jitter_and_blur_come_first() -> None:
    # fixed values draw nothing, so jitter and blur are those of a run without them
    fixed = {"jitter_probability": 1.0, "blur_probability": 1.0}
    plain = _augment(_images(1), **fixed)
    darker = _augment(_images(1), **fixed, exposure=(0.5, 0.5))
    torch.testing.assert_close(denormalise(darker), 0.5 * denormalise(plain))


def test_gamma_and_exposure_are_those_of_a_camera() -> None:
    plain = denormalise(_images())
    torch.testing.assert_close(denormalise(_augment(_images(), gamma=(2, 2))), plain**2)
    torch.testing.assert_close(denormalise(_augment(_images(), exposure=(3, 3))), (3 * plain).clamp(max=1))


def test_factors_stay_inside_their_range_and_halve_as_often_as_they_double() -> None:
    flat = normalise(torch.full((400, 3, 2, 2), 0.2))
    factors = denormalise(_augment(flat, exposure=(0.25, 4)))[:, 0, 0, 0] / 0.2
    assert 0.25 <= factors.min() < 0.3 and 3.3 < factors.max() <= 4
    assert abs(math.log(factors.median())) < 0.2


def test_some_images_are_grey() -> None:
    images = _images(40)
    augmented = _augment(images, grayscale_probability=0.5)
    grey = (denormalise(augmented).std(1) < 1e-6).flatten(1).all(1)
    assert 10 < grey.sum() < 30
    assert torch.equal(augmented[~grey], images[~grey])


def test_noise_is_as_strong_as_drawn_and_repeatable() -> None:
    flat = normalise(torch.full((30, 3, 32, 32), 0.5))
    first, second = _augment(flat, noise=0.1), _augment(flat, noise=0.1)
    assert torch.equal(first, second)
    strength = denormalise(first).flatten(1).std(1)
    assert strength.max() <= 0.105 and strength.min() < 0.03
    dark = denormalise(add_noise(normalise(torch.zeros(3, 8, 8)), 0.5, torch.Generator().manual_seed(0)))
    assert dark.min() > -1e-6


@pytest.mark.parametrize(
    "wrong", [{"gamma": (0, 1)}, {"exposure": (2, 1)}, {"grayscale_probability": 2}, {"noise": -1}]
)
def test_ranges_are_checked(wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=rf"augmentation\.{next(iter(wrong))}.*: expected a number"):
        AugmentationConfig(**wrong)  # type: ignore[arg-type]
