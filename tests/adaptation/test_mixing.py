"""Properties of pseudo-labels, class choice, mix and augmentation."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dsrnss.adaptation.augmentation import AugmentationConfig, hsv_to_rgb, rgb_to_hsv, strong_augment
from dsrnss.adaptation.memory_bank import MemoryBank, MemoryBankConfig
from dsrnss.adaptation.mixing import MixingConfig, choose_classes, class_masks, class_mix, pseudo_labels
from dsrnss.labels import CITYSCAPES


@given(st.sets(st.sampled_from([*range(19), 255]), min_size=1), st.integers(0, 1000))
@settings(max_examples=60)
def test_half_of_the_classes_and_their_companions_are_chosen(classes: set[int], seed: int) -> None:
    chosen = choose_classes(sorted(classes), CITYSCAPES.co_occurrence, torch.Generator().manual_seed(seed))
    real = classes - {255}
    assert set(chosen) <= real
    assert len(chosen) >= (len(real) + 1) // 2
    for light_or_sign in (6, 7):
        if light_or_sign in chosen and 5 in real:
            assert 5 in chosen
    if 5 in chosen:
        assert {6, 7} & real <= set(chosen)
    if 12 in chosen:
        assert {17, 18} & real <= set(chosen)


def test_weight_is_the_share_of_confident_pixels() -> None:
    probabilities = torch.full((1, 2, 4, 5), 0.5)
    probabilities[:, 0, :2] = 0.99
    pseudo = pseudo_labels(probabilities, MixingConfig(threshold=0.968, ignore_top=1))
    assert pseudo.share == 0.5
    assert torch.equal(pseudo.weights[:, 0], torch.zeros(1, 5))
    assert (pseudo.weights[:, 1:] == 0.5).all()


def test_mix_takes_chosen_classes_from_the_source() -> None:
    labels = torch.tensor([[[0, 0, 13, 255]]])
    pseudo = pseudo_labels(torch.softmax(torch.randn(1, 19, 1, 4), 1), MixingConfig())
    source, target = torch.ones(1, 3, 1, 4), torch.zeros(1, 3, 1, 4)
    mixed = class_mix(class_masks(labels, [[13]]), source, labels, target, pseudo)
    assert mixed.images[0, 0, 0].tolist() == [0, 0, 1, 0]
    assert mixed.labels[0, 0, 2] == 13
    assert mixed.weights[0, 0, 2] == 1
    assert torch.equal(mixed.labels[0, 0, [0, 1, 3]], pseudo.labels[0, 0, [0, 1, 3]])


def test_hsv_round_trip() -> None:
    image = torch.rand(3, 17, 23)
    assert torch.allclose(hsv_to_rgb(rgb_to_hsv(image)), image, atol=1e-5)


def test_augmentation_is_repeatable_and_can_be_off() -> None:
    images = torch.randn(2, 3, 24, 40)
    on = AugmentationConfig(jitter_probability=1, blur_probability=1)
    first, second = (strong_augment(images, on, torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(first, second)
    assert not torch.allclose(first, images)
    off = AugmentationConfig(jitter_probability=0, blur_probability=0)
    assert torch.equal(strong_augment(images, off, torch.Generator()), images)


@pytest.mark.parametrize("official", [False, True])
def test_pasted_pixels_carry_true_labels(official: bool) -> None:
    bank = MemoryBank((12,), MemoryBankConfig(official=official))
    labels = torch.zeros(1, 2, 3, dtype=torch.long)
    bank.add(torch.ones(1, 3, 2, 3), labels)
    assert len(bank.entries) == int(official), "a batch without tail pixels is not stored, but officially is"
    labels[0, 0, 0] = 12
    bank.add(torch.ones(1, 3, 2, 3), labels)
    images, pasted, weights = bank.paste(torch.zeros(1, 3, 2, 3), torch.full((1, 2, 3), 4), torch.full((1, 2, 3), 0.25))
    assert images.sum() == 3 and pasted[0, 0, 0] == 12
    assert weights[0, 0, 0] == (0.25 if official else 1)
    assert (weights.flatten()[1:] == 0.25).all()


def test_the_bank_is_in_the_state_dict() -> None:
    bank = MemoryBank((12,))
    bank.add(torch.rand(2, 3, 4, 5), torch.full((2, 4, 5), 12))
    other = MemoryBank((12,))
    other.load_state_dict(bank.state_dict())
    assert torch.equal(other.entries[0].images, bank.entries[0].images)
