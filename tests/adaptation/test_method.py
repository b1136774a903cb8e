"""The method in plain PyTorch: a loop without Lightning, its state, and parts of one's own."""

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from dsrnss.adaptation.alignment import GivenAligner
from dsrnss.adaptation.criterion import PixelWeightedCrossEntropy
from dsrnss.adaptation.masking import MaskingConfig
from dsrnss.adaptation.memory_bank import MemoryBankConfig
from dsrnss.adaptation.method import DSRNSS, MethodConfig
from dsrnss.adaptation.mixing import MixingConfig
from dsrnss.adaptation.night_aware import NightAwareConfig
from dsrnss.adaptation.priors import PriorsConfig
from dsrnss.adaptation.prototypes import PrototypeConfig
from dsrnss.adaptation.teacher import SelfTrainingConfig
from dsrnss.errors import ConfigError
from dsrnss.models.config import NetworkConfig
from dsrnss.models.factory import build_segmentor
from dsrnss.models.segmentor import Segmentor

SIZE = (64, 96)
CONFIG = MethodConfig(
    self_training=SelfTrainingConfig(adapt_to_reference=True),
    mixing=MixingConfig(threshold=0.1),
    memory_bank=MemoryBankConfig(interval=2),
    prototypes=PrototypeConfig(start_epoch=None, class_weights="tail"),
    masking=MaskingConfig(weight=1.0),
    night_aware=NightAwareConfig(probability=0.5),
    priors=PriorsConfig(strength=1.0),
)


def _batch(number: int) -> dict[str, dict[str, Tensor]]:
    rng = torch.Generator().manual_seed(number)

    def images() -> Tensor:
        return torch.randn(2, 3, *SIZE, generator=rng)

    labels = torch.randint(0, 19, (2, 8, 12), generator=rng).repeat_interleave(8, 1).repeat_interleave(8, 2)
    target = {"image": images(), "reference": images(), "flow": torch.randn(2, 2, *SIZE, generator=rng)}
    target["box"] = torch.rand(2, 4, generator=rng) / 2
    return {"source": {"image": images(), "label": labels}, "target": target}


def _parts(**options: Any) -> tuple[Segmentor, DSRNSS, torch.optim.Optimizer]:
    torch.manual_seed(0)
    student = build_segmentor(NetworkConfig("compact", "fpn", 8, dropout=0, hrda=True))
    method = DSRNSS(student, aligner=GivenAligner(), **({"config": CONFIG, "seed": 0} | options))
    if method.priors is not None:
        rng = torch.Generator().manual_seed(method.generator.initial_seed())
        method.priors.learn(torch.randint(1, 9, method.priors.counts.shape, generator=rng))
    return student, method, torch.optim.SGD(student.parameters(), 1e-2)


def _train(
    student: Segmentor, method: DSRNSS, optimizer: torch.optim.Optimizer, steps: range
) -> list[dict[str, float]]:
    logged = []
    for step in steps:
        optimizer.zero_grad()
        losses, _ = method.losses(student, _batch(step), step)
        torch.stack(list(losses.values())).sum().backward()
        optimizer.step()
        logged.append({name: loss.item() for name, loss in losses.items()})
    return logged


def test_state_dict_alone_continues_to_the_last_digit(tmp_path: Path) -> None:
    whole = _train(*_parts(), range(6))
    student, method, optimizer = _parts()
    first = _train(student, method, optimizer, range(3))
    parts = {"student": student, "method": method, "optimizer": optimizer}
    torch.save({name: part.state_dict() for name, part in parts.items()}, tmp_path / "state.pt")
    other = dict(zip(parts, _parts(seed=5), strict=True))
    saved = torch.load(tmp_path / "state.pt", weights_only=True)
    for name, part in other.items():
        part.load_state_dict(saved[name])
    second = _train(other["student"], other["method"], other["optimizer"], range(3, 6))  # type: ignore[arg-type]
    assert first + second == whole
    assert len({tuple(row.items()) for row in whole}) == 6, "the steps differ, or the comparison says nothing"
    assert set().union(*whole) >= {"source", "mixed", "feature_distance", "prototypes_target", "masked"}


def test_an_undone_batch_leaves_only_the_teacher_moved() -> None:
    student, method, optimizer = _parts()
    _train(student, method, optimizer, range(2))
    before, bank = copy.deepcopy((student.state_dict(), method.state_dict())), method.bank.entries
    undo = method.snapshot(student)
    method.losses(student, _batch(7), 2)
    assert method.bank.entries != bank
    undo()
    for old, new in zip(before, (student.state_dict(), method.state_dict()), strict=True):
        for name, value in old.items():
            if isinstance(value, Tensor) and not name.startswith("teacher.") and name != "_extra_state":
                assert torch.equal(value, new[name]), name
    assert method.bank.entries == bank


def test_student_mix_bank_and_reference_encoder_see_the_same_matched_images() -> None:
    student, method, _ = _parts(config=replace(CONFIG, night_aware=NightAwareConfig("statistics", probability=1.0)))
    assert method.reference is not None
    seen: dict[str, list[Tensor]] = {"student": [], "reference": []}
    for name, module in (("student", student), ("reference", method.reference)):
        module.register_forward_pre_hook(lambda _, given, to=seen[name]: to.append(given[0]))
    batch = _batch(0)
    batch["target"]["image"] = torch.full((2, 3, *SIZE), -1.0)  # a night of one colour
    method.losses(student, batch, 0)
    (entry,) = method.bank.entries
    pasted = entry.images.permute(0, 2, 3, 1)[entry.mask]
    for images in (seen["student"][0], *seen["reference"], pasted):
        torch.testing.assert_close(images, torch.full_like(images, -1.0))
    assert batch["source"]["image"].std() > 0.5, "the batch itself is left alone"


def test_without_a_target_nothing_is_matched() -> None:
    (plain, _), (matched, _) = (
        method.losses(student, {"source": _batch(0)["source"]}, 0)
        for student, method, _ in (_parts(config=MethodConfig()), _parts())
    )
    assert torch.equal(plain["source"], matched["source"])


@pytest.mark.parametrize("refined", [True, False])
def test_priors_speak_last_before_pseudo_labels_are_chosen(refined: bool) -> None:
    student, method, _ = _parts(config=MethodConfig(priors=PriorsConfig(strength=3.0, limit=1000.0)))
    method.aligner = method.aligner if refined else None
    assert method.priors is not None
    counts = torch.ones(19, 32, 64)
    counts[10, 16:], counts[0, :16] = 0, 0
    counts[1:10], counts[11:] = 0, 0
    method.priors.learn(counts)
    batch = _batch(0)
    del batch["target"]["box"]
    with pytest.raises(ConfigError, match="box"):
        method.losses(student, batch, 0)
    batch["target"]["box"] = torch.tensor([[0.0, 0.0, 0.4, 1.0], [0.6, 0.0, 0.4, 1.0]])
    _, record = method.losses(student, batch, 0)
    assert record.target is not None and (record.target.unrefined is not None) == refined
    assert not (record.target.pseudo.labels[0] == 0).any() and not (record.target.pseudo.labels[1] == 10).any()


class Halved(nn.Module):
    """A loss of one's own, with a parameter."""

    def __init__(self, share: float = 0.5) -> None:
        super().__init__()
        self.share = nn.Parameter(torch.tensor(share))
        self.inner = PixelWeightedCrossEntropy()

    def forward(self, *given: Any) -> Tensor:
        return self.share * self.inner(*given)


def test_a_criterion_of_ones_own_serves_every_segmentation_loss() -> None:
    plain = _train(*_parts(), range(1))[0]
    halved = _train(*_parts(criterion=Halved()), range(1))[0]
    for name in ("source", "mixed", "masked"):
        assert halved[name] == pytest.approx(plain[name] / 2, rel=1e-6)
    assert halved["feature_distance"] == plain["feature_distance"]


def test_an_unknown_criterion_is_named() -> None:
    named = _parts(criterion="dsrnss.adaptation.criterion.PixelWeightedCrossEntropy")[1].criterion
    assert isinstance(named, PixelWeightedCrossEntropy)
    with pytest.raises(ConfigError, match=r"criterion 'nowhere\.Loss': There is no module 'nowhere'"):
        _parts(criterion="nowhere.Loss")
    with pytest.raises(ConfigError, match=r"Unknown criterion 'cross_entrpy'. Did you mean 'cross_entropy'"):
        _parts(criterion="cross_entrpy")
