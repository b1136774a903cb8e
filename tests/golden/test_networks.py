"""Networks equal the authors' to the last digits: checkpoints in their names, read by the public loaders."""

from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from golden import Golden, filled, randn
from torch import Tensor, nn

from dsrnss import Segmenter
from dsrnss.models.backbones.mit import MixTransformer
from dsrnss.models.backbones.resnet import ResNet
from dsrnss.models.backbones.vgg import VGG16
from dsrnss.models.weights import load_backbone, load_pretrained

State = dict[str, Tensor]


def checkpoint(path: Path, **parts: Mapping[str, Tensor]) -> Path:
    """Save parts under their prefixes, among what Lightning saves beside them."""
    state = {
        f"{part}.{key}" if part else key: value for part, tensors in parts.items() for key, value in tensors.items()
    }
    return lightning(path, state)


def lightning(path: Path, state: Mapping[str, Tensor]) -> Path:
    extras = {"epoch": 3, "global_step": 40000, "hyper_parameters": {"lr": 6e-4}, "pytorch-lightning_version": "1.6.5"}
    torch.save({"state_dict": dict(state), **extras}, path)
    return path


def inputs(golden: Golden) -> list[Tensor]:
    """The fixture's inputs in order."""
    return [randn(rule["seed"], *rule["shape"]) for _, rule in sorted(golden.meta["inputs"].items())]


def weights_of(module: type[nn.Module], *arguments: object) -> State:
    """The rule's weights of a network that no fixture lists."""
    with torch.device("meta"):
        return filled({key: tuple(value.shape) for key, value in module(*arguments).state_dict().items()})


@pytest.mark.parametrize("prefix", ["backbone", "imnet_backbone"])
def test_mit(prefix: str, tmp_path: Path) -> None:
    golden, network = Golden("01_mit_b0"), MixTransformer("mit_b0").eval()
    account = load_backbone(network, checkpoint(tmp_path / "mit.ckpt", **{prefix: filled(golden.keys())}))
    assert account.loaded == account.total == len(golden.keys())
    with torch.no_grad():
        features = network(*inputs(golden))
    for i, feature in enumerate(features, start=1):
        assert golden.relative_error(f"c{i}", feature) < 1e-5


@pytest.mark.slow
def test_deeplabv2_on_the_dilated_resnet(tmp_path: Path) -> None:
    backbone, head = Golden("02_resnet101_v1c"), Golden("04_deeplabv2_head")
    path = checkpoint(tmp_path / "deeplab.ckpt", backbone=filled(backbone.keys()), head=filled(head.keys()))
    network = Segmenter.from_pretrained(path, device="cpu").segmentor
    alone = ResNet("resnet101_v1c", strides=(1, 2, 1, 1), dilations=(1, 1, 2, 4)).eval()
    assert load_backbone(alone, path).complete
    with torch.no_grad():
        for features in (network.backbone(*inputs(backbone)), alone(*inputs(backbone))):
            for i, feature in enumerate(features, start=1):
                assert backbone.relative_error(f"c{i}", feature) < 1e-5
        assert head.relative_error("logits", network.head(inputs(head))) < 1e-5


def test_vgg16_of_the_aligner(tmp_path: Path) -> None:
    golden, network = Golden("03_vgg16"), VGG16()
    path = checkpoint(tmp_path / "vgg.ckpt", alignment_backbone=filled(golden.keys()))
    assert load_backbone(network, path).loaded == len(golden.keys())
    (images,) = inputs(golden)
    with torch.no_grad():
        outputs = {"a": network(images, pools=(2, 3)), "b": network(images, pools=(3, 4)), "all": network(images)}
    for key in ("a0", "a1", "b0", "b1"):
        assert golden.relative_error(key, outputs[key[0]][int(key[1])]) < 1e-5
    assert [f.shape[-1] for f in outputs["all"]] == [64, 32, 16, 8, 4]


@pytest.mark.parametrize("name", ["daformer", "segformer"])
def test_head_of_a_whole_network(name: str, tmp_path: Path) -> None:
    golden = Golden(f"04_{name}_head")
    path = checkpoint(
        tmp_path / "whole.ckpt", backbone=weights_of(MixTransformer, "mit_b1"), head=filled(golden.keys())
    )
    segmentor = Segmenter.from_pretrained(path, device="cpu").segmentor
    assert (segmentor.config.backbone, segmentor.config.head) == ("mit_b1", name)
    with torch.no_grad():
        assert golden.relative_error("logits", segmentor.head(inputs(golden))) < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("prefix", ["", "backbone"])
def test_refinenet_as_one_module(prefix: str, tmp_path: Path) -> None:
    golden = Golden("04_refinenet")
    path = checkpoint(tmp_path / "refinenet.ckpt", **{prefix: filled(golden.keys())})
    segmentor = Segmenter.from_pretrained(path, device="cpu").segmentor
    with torch.no_grad():
        assert golden.relative_error("logits", segmentor(*inputs(golden)).logits) < 1e-4


def test_hrda_whole_and_slide(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "dsrnss")
    golden = Golden("05_hrda_mit_b0_inference")
    expected = filled(golden.keys())
    path = lightning(tmp_path / "hrda.ckpt", expected)
    segmenter, (images,) = Segmenter.from_pretrained(path, device="cpu"), inputs(golden)
    assert "250/250 tensors loaded" in caplog.text
    assert golden.relative_error("whole", segmenter.logits(images)) < 1e-4
    slide = segmenter.logits(images, mode="slide", window=(192, 192), stride=(96, 96))
    assert golden.relative_error("slide", slide) < 1e-4
    student = segmenter.segmentor.state_dict()
    teacher = load_pretrained(path, "teacher").segmentor.state_dict()
    assert all(torch.equal(value, expected[key]) for key, value in student.items())
    assert all(torch.equal(value, expected[f"m_{key}"]) for key, value in teacher.items())
