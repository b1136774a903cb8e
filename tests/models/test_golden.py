"""The backbones and heads equal the authors' on weights filled by a rule."""

from collections.abc import Callable

import pytest
import torch
from golden import Golden, fill_, randn
from torch import nn

from dsrnss.models.backbones.mit import MixTransformer
from dsrnss.models.backbones.resnet import ResNet
from dsrnss.models.backbones.vgg import VGG16
from dsrnss.models.heads.daformer import DAFormerHead
from dsrnss.models.heads.deeplabv2 import DeepLabV2Head
from dsrnss.models.heads.refinenet import RefineNetHead
from dsrnss.models.heads.segformer import SegFormerHead

BACKBONES: dict[str, Callable[[], nn.Module]] = {
    "01_mit_b0": lambda: MixTransformer("mit_b0"),
    "02_resnet101_v1c": lambda: ResNet("resnet101_v1c", strides=(1, 2, 1, 1), dilations=(1, 1, 2, 4)),
}
HEADS: dict[str, Callable[[], nn.Module]] = {
    "04_daformer_head": lambda: DAFormerHead([64, 128, 320, 512], 19),
    "04_segformer_head": lambda: SegFormerHead([64, 128, 320, 512], 19),
    "04_deeplabv2_head": lambda: DeepLabV2Head([2048], 19),
}


def build(build_module: Callable[[], nn.Module]) -> nn.Module:
    """A module in evaluation mode with the rule's weights, without the time of drawing fresh ones."""
    with torch.device("meta"):
        module = build_module()
    return fill_(module.to_empty(device="cpu")).eval()


def shapes(*modules: nn.Module) -> dict[str, list[int]]:
    """Shapes by key."""
    return {key: list(value.shape) for module in modules for key, value in module.state_dict().items()}


def inputs(golden: Golden) -> list[torch.Tensor]:
    """The fixture's inputs in order."""
    return [randn(rule["seed"], *rule["shape"]) for _, rule in sorted(golden.meta["inputs"].items())]


@pytest.mark.parametrize("name", BACKBONES)
def test_backbone(name: str) -> None:
    golden = Golden(name)
    network = build(BACKBONES[name])
    assert shapes(network) == golden.keys()
    with torch.no_grad():
        features = network(*inputs(golden))
    for i, feature in enumerate(features, start=1):
        assert golden.relative_error(f"c{i}", feature) < 1e-5


def test_vgg16() -> None:
    golden = Golden("03_vgg16")
    network, (images,) = build(VGG16), inputs(golden)
    assert shapes(network) == golden.keys()
    with torch.no_grad():
        outputs = {"a": network(images, pools=(2, 3)), "b": network(images, pools=(3, 4)), "all": network(images)}
    for key in ("a0", "a1", "b0", "b1"):
        assert golden.relative_error(key, outputs[key[0]][int(key[1])]) < 1e-5
    assert [f.shape[-1] for f in outputs["all"]] == [64, 32, 16, 8, 4]


@pytest.mark.parametrize("name", HEADS)
def test_head(name: str) -> None:
    golden = Golden(name)
    head = build(HEADS[name])
    assert shapes(head) == golden.keys()
    with torch.no_grad():
        logits = head(inputs(golden))
    assert golden.relative_error("logits", logits) < 1e-5


@pytest.mark.slow
def test_refinenet_is_a_plain_resnet101_and_its_head() -> None:
    golden = Golden("04_refinenet")
    backbone = build(lambda: ResNet("resnet101"))
    head = build(lambda: RefineNetHead([256, 512, 1024, 2048], 19))
    assert shapes(backbone, head) == golden.keys()
    with torch.no_grad():
        logits = head(backbone(*inputs(golden)))
    assert golden.relative_error("logits", logits) < 1e-4


@pytest.mark.parametrize(("variant", "millions"), [("mit_b1", 13.2), ("mit_b2", 24.2), ("mit_b5", 81.4)])
def test_sizes_are_those_of_the_paper(variant: str, millions: float) -> None:
    with torch.device("meta"):
        network = MixTransformer(variant)
    assert sum(p.numel() for p in network.parameters()) / 1e6 == pytest.approx(millions, abs=0.6)
