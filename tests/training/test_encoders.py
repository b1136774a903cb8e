"""The whole method with encoders of timm: every part on, resumed to the last digit, and the layers' learning rates."""

import itertools
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from torch import nn

from dsrnss.adaptation.alignment import GivenAligner
from dsrnss.adaptation.feature_distance import FeatureDistanceConfig
from dsrnss.adaptation.masking import MaskingConfig
from dsrnss.adaptation.mixing import MixingConfig
from dsrnss.adaptation.prototypes import PrototypeConfig
from dsrnss.data import AdaptationDataModule, SynthNight
from dsrnss.errors import CheckpointError, ConfigError
from dsrnss.models.config import NetworkConfig
from dsrnss.models.factory import build_segmentor
from dsrnss.training.schedule import OptimizerConfig, ScheduleConfig, parameter_groups
from dsrnss.training.task import AdaptationTask

PARTS: dict[str, Any] = {
    "feature_distance": FeatureDistanceConfig(weight=0.1, distance="cosine"),
    "prototypes": PrototypeConfig(start_step=0),
    "masking": MaskingConfig(weight=1.0),
    "optimizer": OptimizerConfig(lr=1e-3, layer_decay=0.9),
    "schedule": ScheduleConfig(warmup_steps=0, max_steps=100),
    "mixing": MixingConfig(threshold=0.1),
    "aligner": GivenAligner(),
    "seed": 0,
}


SIZE = (64, 128)


def _fit(backbone: str, hrda: bool, steps: int, checkpoint: Path | None = None) -> L.Trainer:
    torch.manual_seed(0)
    task = AdaptationTask(NetworkConfig(backbone, "segformer", 8, hrda=hrda), **PARTS)
    source, target = SynthNight("source", length=4, size=SIZE), SynthNight("target", length=4, size=SIZE, flow="true")
    data = AdaptationDataModule(source, target, crop_size=(64, 96), workers=0)
    quiet: dict[str, Any] = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    trainer = L.Trainer(max_steps=steps, enable_checkpointing=False, accelerator="cpu", **quiet)
    trainer.fit(task, datamodule=data, ckpt_path=checkpoint, weights_only=True)
    return trainer


@pytest.mark.parametrize(
    ("backbone", "hrda"),
    [
        ("timm/test_vit", False),
        pytest.param("timm/test_vit", True, marks=pytest.mark.slow),
        pytest.param("timm/test_efficientnet", True, marks=pytest.mark.slow),
        pytest.param("timm/test_convnext", False, marks=pytest.mark.slow),
    ],
)
def test_every_part_trains_and_goes_on_as_if_never_stopped(backbone: str, hrda: bool, tmp_path: Path) -> None:
    whole = _fit(backbone, hrda, 4)
    losses = {f"train/loss_{part}" for part in ("source", "mixed", "feature_distance", "masked", "prototypes_target")}
    assert losses <= set(whole.callback_metrics)
    _fit(backbone, hrda, 2).save_checkpoint(tmp_path / "half.ckpt")
    resumed = _fit(backbone, hrda, 4, tmp_path / "half.ckpt").lightning_module.state_dict()
    expected = whole.lightning_module.state_dict()
    tensors = {key for key, value in expected.items() if isinstance(value, torch.Tensor)}
    assert all(torch.equal(resumed[key], expected[key]) for key in tensors)


LAYERED = ["mit_b0", "resnet18", "resnet18_v1c", "compact", "timm/test_vit", "timm/test_efficientnet"]


@pytest.mark.parametrize("backbone", LAYERED)
def test_each_layer_learns_slower_than_the_next(backbone: str) -> None:
    network = build_segmentor(NetworkConfig(backbone, "linear"))
    groups = parameter_groups(network, OptimizerConfig(lr=1.0, backbone_lr_factor=0.5, layer_decay=0.9))
    rates = {id(p): group["lr"] for group in groups for p in group["params"]}
    assert len(rates) == len(list(network.parameters())) == sum(len(group["params"]) for group in groups)
    found = [rates[id(p)] for _, p in sorted(network.backbone.named_parameters(), key=lambda item: item[0])]
    backbone_rates = sorted({rate for rate in found if rate <= 0.5})
    assert backbone_rates[-1] == 0.5
    for slower, faster in itertools.pairwise(backbone_rates):
        assert slower == pytest.approx(0.9 * faster)
    assert all(rates[id(p)] == 1.0 for p in network.head.parameters())


@pytest.mark.parametrize(
    ("backbone", "first", "last", "layers"),
    [
        ("mit_b0", "patch_embed1.proj.weight", "norm4.weight", 12),
        ("resnet18", "conv1.weight", "layer4.1.conv2.weight", 9),
        ("compact", "stem.0.weight", "stages.3.1.second.0.weight", 9),
        ("timm/test_vit", "model.patch_embed.proj.weight", "model.norm.weight", 7),
    ],
)
def test_layers_run_from_input_to_output(backbone: str, first: str, last: str, layers: int) -> None:
    found = build_segmentor(NetworkConfig(backbone, "linear")).backbone.layer_ids()
    assert found[first] == 0
    assert found[last] == max(found.values()) == layers - 1


def test_the_pyramid_learns_with_the_head() -> None:
    network = build_segmentor(NetworkConfig("timm/test_vit", "linear"))
    heads = [g for g in parameter_groups(network, OptimizerConfig()) if g["name"].startswith("head")]
    inside = {id(parameter) for group in heads for parameter in group["params"]}
    assert {id(p) for p in network.backbone.pyramid.parameters()} <= inside
    assert not {id(p) for p in network.backbone.model.parameters()} & inside


def test_a_backbone_that_does_not_tell_its_layers_is_named() -> None:
    network = build_segmentor(NetworkConfig("compact", "linear"))
    network.backbone = nn.Conv2d(3, 4, 1)
    with pytest.raises(ConfigError, match=r"layers of the backbone Conv2d: expected a method `layer_ids`"):
        parameter_groups(network, OptimizerConfig(layer_decay=0.9))


def test_a_run_cannot_begin_to_decay_on_its_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _fit("compact", False, 1).save_checkpoint(tmp_path / "run.ckpt")
    monkeypatch.setitem(PARTS, "optimizer", OptimizerConfig(lr=1e-3))
    with pytest.raises(CheckpointError, match=r"layer_decay below 1 \(was True, is False\)"):
        _fit("compact", False, 2, tmp_path / "run.ckpt")
