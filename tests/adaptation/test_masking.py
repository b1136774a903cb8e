"""Masked image consistency hides whole blocks, repeatably."""

import pytest
import torch

from dsrnss.adaptation.masking import MaskingConfig, draw_masks, mask_images
from dsrnss.errors import ConfigError


def test_whole_blocks_are_hidden_by_the_mean_colour() -> None:
    images = torch.randn(2, 3, 64, 96) + 10
    masked = mask_images(images, MaskingConfig(block=8, crop=64), torch.Generator().manual_seed(0))
    hidden = (masked == 0).all(1)
    assert torch.equal(masked, images.masked_fill(hidden[:, None], 0))
    blocks = hidden.unfold(1, 8, 8).unfold(2, 8, 8).flatten(3)
    assert torch.equal(blocks.any(3), blocks.all(3))
    assert not torch.equal(hidden[0], hidden[1])
    assert 0.55 < blocks.float().mean() < 0.85


@pytest.mark.parametrize(("size", "block"), [((1024, 1024), 64), ((512, 1024), 32), ((128, 256), 8), ((4, 4), 1)])
def test_blocks_scale_with_the_image(size: tuple[int, int], block: int) -> None:
    assert MaskingConfig().block_size(*size) == block


def test_any_size_and_repeatable() -> None:
    config = MaskingConfig(block=10, crop=37)
    first, second = (draw_masks(3, 37, 53, config, torch.Generator().manual_seed(4)) for _ in range(2))
    assert first.shape == (3, 37, 53)
    assert torch.equal(first, second)


@pytest.mark.parametrize(("ratio", "hidden"), [(0.0, False), (1.0, True)])
def test_extreme_ratios(ratio: float, hidden: bool) -> None:
    masks = draw_masks(1, 32, 32, MaskingConfig(ratio=ratio, block=4, crop=32), torch.Generator())
    assert (masks == hidden).all()


def test_ranges_are_checked() -> None:
    with pytest.raises(ConfigError, match=r"masking\.ratio"):
        MaskingConfig(ratio=70)
