"""VGG-16."""

import torch
import torch.nn.functional as F

from dsrnss.models.backbones.vgg import VGG16


def test_its_pools_are_max_pools_at_odd_sizes_too() -> None:
    torch.manual_seed(0)
    network, images = VGG16().eval(), torch.randn(1, 3, 21, 18)
    with torch.no_grad():
        (found,) = network(images, pools=(1,))
        expected = F.max_pool2d(network.features[:4](images), 2)
    assert torch.equal(found, expected)
