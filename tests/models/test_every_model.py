"""Every network trains, takes any size, survives saving, and can be compiled and exported.

A new network is one line in `NETWORKS`.
"""

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from dsrnss.inference.export import export, load_program
from dsrnss.inference.segmenter import Segmenter
from dsrnss.labels import CITYSCAPES
from dsrnss.models.config import NetworkConfig
from dsrnss.models.factory import build_segmentor
from dsrnss.models.segmentor import Segmentor
from dsrnss.models.weights import load_pretrained, save_pretrained
from dsrnss.normalisation import normalise

NETWORKS = {
    "compact-fpn": NetworkConfig("compact", "fpn"),
    "mit_b0-daformer": NetworkConfig("mit_b0", "daformer"),
    "mit_b0-segformer": NetworkConfig("mit_b0", "segformer"),
    "resnet18_v1c-deeplabv2": NetworkConfig("resnet18_v1c", "deeplabv2"),
    "resnet18-refinenet": NetworkConfig("resnet18", "refinenet"),
    "hrda-compact-fpn": NetworkConfig("compact", "fpn", hrda=True),
    "hrda-mit_b0-daformer": NetworkConfig("mit_b0", "daformer", hrda=True),
    "compact-linear": NetworkConfig("compact", "linear"),
    "timm-cnn-daformer": NetworkConfig("timm/test_efficientnet", "daformer"),
    "timm-hierarchical-segformer": NetworkConfig("timm/test_convnext", "segformer"),
    "timm-swin-linear": NetworkConfig("timm/swin_tiny_patch4_window7_224", "linear"),
    "timm-plain-fpn": NetworkConfig("timm/test_vit", "fpn"),
    "timm-patch14-linear": NetworkConfig("timm/eva02_tiny_patch14_224", "linear"),
    "hrda-timm-cnn-fpn": NetworkConfig("timm/test_efficientnet", "fpn", hrda=True),
    "hrda-timm-plain-segformer": NetworkConfig("timm/test_vit", "segformer", hrda=True),
    "resnet18_v1c-daformer": NetworkConfig("resnet18_v1c", "daformer"),
    "resnet50_v1c-deeplabv2": NetworkConfig("resnet50_v1c", "deeplabv2"),
}
SLOW = {
    "timm-swin-linear",
    "timm-patch14-linear",
    "hrda-timm-cnn-fpn",
    "hrda-mit_b0-daformer",
    "mit_b0-segformer",
    "resnet18_v1c-daformer",
    "resnet50_v1c-deeplabv2",
}


class Whole(nn.Module):
    """The plain forward of a network as a module of tensors only."""

    def __init__(self, network: Segmentor) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> tuple[Tensor, Sequence[Tensor]]:
        output = self.network(images)
        return output.logits, output.features


def build(name: str) -> Segmentor:
    torch.manual_seed(0)
    config = NetworkConfig.from_dict({**NETWORKS[name].to_dict(), "head_channels": 8})
    return build_segmentor(config)


@pytest.fixture(params=[pytest.param(n, marks=[pytest.mark.slow] if n in SLOW else []) for n in NETWORKS])
def network(request: pytest.FixtureRequest) -> Segmentor:
    return build(request.param)


def test_every_parameter_gets_a_gradient(network: Segmentor) -> None:
    output = network(torch.randn(2, 3, 64, 96))
    assert output.logits.shape[:2] == (2, 19)
    assert [f.shape[1] for f in output.features] == [*network.backbone.channels]
    output.logits.square().mean().backward()
    silent = [name for name, p in network.named_parameters() if p.grad is None or not p.grad.isfinite().all()]
    assert silent == []


def test_one_image_trains(network: Segmentor) -> None:
    logits = network(torch.randn(1, 3, 64, 96)).logits
    logits.mean().backward()
    assert len(logits) == 1


@pytest.mark.parametrize("size", [(1, 1), (33, 65)])
def test_prediction_has_the_size_of_the_image(network: Segmentor, size: tuple[int, int]) -> None:
    with torch.no_grad():
        logits = network.eval().predict(torch.randn(1, 3, *size))
    assert logits.shape == (1, 19, *size)
    assert logits.isfinite().all()


def test_images_of_a_batch_do_not_mix(network: Segmentor) -> None:
    images = torch.randn(2, 3, 64, 96)
    with torch.no_grad():
        both, first = network.eval().predict(images), network.predict(images[:1])
    assert (both[:1] - first).abs().max() <= 1e-4 * first.abs().max()


def test_save_and_load(network: Segmentor, tmp_path: Path) -> None:
    read = load_pretrained(save_pretrained(network.eval(), tmp_path / "model.safetensors")).segmentor
    assert read.config == network.config
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(read.predict(images), network.predict(images))


def test_compiles_without_a_graph_break(network: Segmentor) -> None:
    torch.compiler.reset()
    compiled = torch.compile(network.eval(), fullgraph=True, backend="eager")
    images = torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        torch.testing.assert_close(compiled(images).logits, network(images).logits)


def test_exports(network: Segmentor) -> None:
    images = torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        logits, features = torch.export.export(Whole(network).eval(), (images,)).module()(images)
        expected = network(images)
    torch.testing.assert_close(logits, expected.logits)
    assert [f.shape for f in features] == [f.shape for f in expected.features]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["compact-linear", "mit_b0-segformer", "hrda-compact-fpn", "timm-plain-fpn"])
def test_one_export_takes_every_size(name: str, tmp_path: Path) -> None:
    network = build(name)  # a few of them: some take minutes to be exported
    export(Segmenter(network.eval(), CITYSCAPES, device="cpu"), tmp_path / "model.pt2", "torch-export")
    program = load_program(tmp_path / "model.pt2")
    for size in ((1, 3, 64, 96), (3, 3, 65, 97), (1, 3, 17, 200)):
        images = torch.randint(0, 255, size, dtype=torch.uint8)
        with torch.no_grad():
            torch.testing.assert_close(program(images), network.predict(normalise(images)), atol=1e-4, rtol=1e-4)
