"""ResNet is torchvision's unless strides, dilations or the stem say otherwise."""

import pytest
import torch
import torchvision
from torch import nn

from dsrnss.errors import ConfigError
from dsrnss.models.backbones.resnet import DilatedBasicBlock, ResNet


@pytest.mark.parametrize("variant", ["resnet18", "resnet50"])
def test_equal_to_torchvision(variant: str) -> None:
    torch.manual_seed(0)
    theirs = getattr(torchvision.models, variant)()
    for module in theirs.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.1, 0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    weights = {key: value for key, value in theirs.state_dict().items() if not key.startswith("fc.")}
    ours = ResNet(variant)
    ours.load_state_dict(weights)
    images = torch.randn(2, 3, 65, 97)
    with torch.no_grad():
        features = ours.eval()(images)
        scores = theirs.eval()(images)
    assert tuple(f.shape[1] for f in features) == ours.channels
    assert torch.allclose(theirs.fc(features[-1].mean((2, 3))), scores, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("variant", ["resnet18_v1c", "resnet50_v1c"])
def test_dilated_stages_keep_their_size(variant: str) -> None:
    network = ResNet(variant, strides=(1, 2, 1, 1), dilations=(1, 1, 2, 4)).eval()
    with torch.no_grad():
        features = network(torch.randn(1, 3, 65, 97))
    assert [tuple(f.shape[-2:]) for f in features] == [(17, 25), (9, 13), (9, 13), (9, 13)]


def test_the_first_convolution_of_a_basic_block_is_dilated() -> None:
    block = DilatedBasicBlock(1, 1, dilation=3).eval()
    nn.init.ones_(block.conv1.weight)
    nn.init.ones_(block.conv2.weight)
    impulse = torch.zeros(1, 1, 21, 21)
    impulse[..., 10, 10] = 1
    with torch.no_grad():
        columns = (block(impulse)[0, 0] > 0).any(0).nonzero()
    assert (columns[0].item(), columns[-1].item()) == (10 - 3 - 1, 10 + 3 + 1)


def test_wrong_arguments_are_named() -> None:
    with pytest.raises(ConfigError, match="Did you mean 'resnet101_v1c'"):
        ResNet("resnet101v1c")
    with pytest.raises(ConfigError, match=r"strides .* four positive numbers, not \[1, 2\]"):
        ResNet("resnet18", strides=(1, 2))
    with pytest.raises(ConfigError, match="dilations"):
        ResNet("resnet18", dilations=(1, 1, 0, 1))
