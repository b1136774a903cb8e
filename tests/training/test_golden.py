"""Loss, learning rate, teacher and parameter groups equal the authors'."""

import numpy as np
import pytest
import torch
from golden import Golden

from dsrnss.adaptation.criterion import PixelWeightedCrossEntropy
from dsrnss.adaptation.teacher import EMATeacher, ema_momentum
from dsrnss.models.config import NetworkConfig
from dsrnss.models.factory import build_segmentor
from dsrnss.training.schedule import OptimizerConfig, ScheduleConfig, lr_factor, parameter_groups


@pytest.mark.parametrize("case", ["plain", "weighted"])
def test_pixel_weighted_cross_entropy(case: str) -> None:
    golden = Golden("07_ce")
    logits = torch.from_numpy(2 * np.random.default_rng(741).standard_normal((2, 19, 16, 24)).astype(np.float32))
    logits.requires_grad_()
    weights = torch.from_numpy(np.random.default_rng(742).random((2, 16, 24)).astype(np.float32))
    labels = golden.tensor("target").long()
    loss = PixelWeightedCrossEntropy()(logits, labels, weights if case == "weighted" else None)
    loss.backward()
    assert loss.item() == pytest.approx(golden.meta[case]["loss"], rel=1e-6)
    assert logits.grad is not None
    assert golden.relative_error(f"{case}_grad", logits.grad) < 1e-6
    ignored = torch.full_like(labels, 255)
    assert PixelWeightedCrossEntropy()(logits, ignored).item() == golden.meta["all_ignored"] == 0


def test_learning_rate() -> None:
    meta = Golden("07_schedule_ema_optim_rcs").meta
    config = ScheduleConfig()
    for step, (head, backbone) in meta["lr"].items():
        expected = max(head, 0.0)  # officially negative after the last step
        assert 6e-4 * lr_factor(int(step), config) == pytest.approx(expected, rel=1e-9, abs=1e-18)
        assert backbone == pytest.approx(head / 10)


def test_teacher_follows_the_student() -> None:
    meta = Golden("07_schedule_ema_optim_rcs").meta
    for step, expected in meta["ema"].items():
        assert ema_momentum(int(step), 0.999) == pytest.approx(expected["m"], abs=1e-12)
    student = build_segmentor(NetworkConfig(backbone="compact", head_channels=8))
    teacher = EMATeacher(student)
    with torch.no_grad():
        for own, theirs in zip(teacher.network.parameters(), student.parameters(), strict=True):
            own.fill_(0)
            theirs.fill_(1)
    teacher.update(student, 10)
    for parameter in teacher.network.parameters():
        assert torch.allclose(parameter, torch.tensor(meta["ema"]["10"]["teacher_after"]))


NETWORKS = {
    "hrda_mit_b0": NetworkConfig("mit_b0", hrda=True),
    "hrda_mit_b5": NetworkConfig("mit_b5", hrda=True),
    "daformer_mit_b5": NetworkConfig("mit_b5"),
    "deeplabv2_resnet101": NetworkConfig("resnet101_v1c", "deeplabv2"),
}


@pytest.mark.parametrize("name", list(NETWORKS))
def test_parameter_groups_of_the_published_networks(name: str) -> None:
    with torch.device("meta"):
        segmentor = build_segmentor(NETWORKS[name])
    groups = parameter_groups(segmentor, OptimizerConfig())
    expected = Golden("07_schedule_ema_optim_rcs").meta["optimizer_groups"][name]
    names = {id(parameter): key for key, parameter in segmentor.named_parameters()}
    for group, theirs in zip(groups, expected, strict=True):
        assert group["name"] == theirs["name"]
        assert group["lr"] == pytest.approx(theirs["lr"])
        assert group["weight_decay"] == theirs["weight_decay"]
        assert len(group["params"]) == theirs["tensors"]
        assert sum(p.numel() for p in group["params"]) == theirs["params"]
        assert names[id(group["params"][0])] == theirs["first"]


def test_learning_rate_with_a_least_one() -> None:
    config = ScheduleConfig(power=0.9, min_lr=1e-6)
    for step, expected in Golden("07_schedule_ema_optim_rcs").meta["lr_power0.9_minlr1e-6"].items():
        assert 6e-4 * lr_factor(int(step), config, base=6e-4) == pytest.approx(expected, rel=1e-9)
