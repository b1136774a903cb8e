"""One arithmetic for the statistics of ImageNet."""

import pytest
import torch
from torchvision.transforms.v2 import functional as F

from dsrnss.normalisation import IMAGENET_MEAN, IMAGENET_STD, denormalise, normalise


def test_bytes_become_the_numbers_of_torchvision() -> None:
    images = torch.arange(256, dtype=torch.uint8).expand(2, 3, 1, 256)
    expected = F.normalize(F.to_dtype(images, torch.float32, scale=True), list(IMAGENET_MEAN), list(IMAGENET_STD))
    assert torch.equal(normalise(images), expected)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_back_and_forth_keeps_type_and_pixels(dtype: torch.dtype) -> None:
    images = torch.rand(2, 3, 4, 5, generator=torch.Generator().manual_seed(0)).to(dtype)
    back = denormalise(normalise(images))
    assert back.dtype == dtype
    torch.testing.assert_close(back, images, atol=0.02, rtol=0)
