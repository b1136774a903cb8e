"""The training step: what it uses, what it must not use, and which network is in which mode."""

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import lightning as L
import pytest
import torch
from torch import Tensor
from torch.nn import BatchNorm2d

from dsrnss.adaptation.alignment import ClassicalAligner, GivenAligner, IdentityAligner
from dsrnss.adaptation.feature_distance import FeatureDistanceConfig
from dsrnss.adaptation.losses import SourceConfig
from dsrnss.adaptation.masking import MaskingConfig
from dsrnss.adaptation.memory_bank import MemoryBankConfig
from dsrnss.adaptation.mixing import MixingConfig
from dsrnss.adaptation.prototypes import PrototypeConfig
from dsrnss.adaptation.teacher import SelfTrainingConfig
from dsrnss.data import AdaptationDataModule, SynthNight
from dsrnss.errors import CheckpointError, ConfigError
from dsrnss.labels import LabelSpace
from dsrnss.models.config import NetworkConfig
from dsrnss.models.weights import load_pretrained, save_pretrained
from dsrnss.training.callbacks.history import DataWait
from dsrnss.training.schedule import OptimizerConfig, ScheduleConfig
from dsrnss.training.task import AdaptationTask

NETWORK = NetworkConfig("compact", "fpn", 8)
SIZE = (64, 128)
PLAIN: dict[str, Any] = {
    "feature_distance": FeatureDistanceConfig(weight=0),
    "prototypes": PrototypeConfig(enabled=False),
}
"""Self-training alone; the other parts have tests of their own below."""


def _task(**options: Any) -> AdaptationTask:
    torch.manual_seed(0)
    options.setdefault("aligner", GivenAligner())
    return AdaptationTask(NETWORK, mixing=MixingConfig(threshold=0.1), seed=0, **(PLAIN | options))


def _batch(*, target: bool = True, label: bool = True) -> dict[str, Any]:
    rng = torch.Generator().manual_seed(1)

    def images() -> Tensor:
        return torch.randn(2, 3, *SIZE, generator=rng)

    def labels() -> Tensor:
        return torch.randint(0, 19, (2, 8, 16), generator=rng).repeat_interleave(8, 1).repeat_interleave(8, 2)

    batch: dict[str, Any] = {"source": {"image": images(), "label": labels(), "name": ["a", "b"]}}
    if target:
        batch["target"] = {
            "image": images(),
            "reference": images(),
            "flow": torch.randn(2, 2, *SIZE, generator=rng),
            "confidence": torch.rand(2, 1, *SIZE, generator=rng),
            "name": ["c", "d"],
        }
        if label:
            batch["target"]["label"] = labels()
    return batch


def _step(
    task: AdaptationTask, batch: dict[str, Any], logged: dict[str, Any] | None = None, step: int | None = None
) -> Tensor:
    values = {} if logged is None else logged
    task.log = lambda name, value, **_: values.__setitem__(name, value)  # type: ignore[method-assign]
    task.log_dict = lambda entries, **_: values.update(entries)  # type: ignore[method-assign]
    step = task.method.teacher.moved_at + 1 if step is None else step
    task._trainer = type("Steps", (), {"global_step": step, "current_epoch": 0})()  # type: ignore[assignment]
    torch.manual_seed(2)
    output = task.training_step(batch, 0)
    assert output is not None
    return output["loss"]


def test_target_labels_are_measured_but_never_learnt_from() -> None:
    logged: dict[str, Any] = {}
    with_labels, without = _step(_task(), _batch(), logged), _step(_task(), _batch(label=False))
    assert torch.equal(with_labels, without)
    assert 0 <= logged["pseudo/accuracy_refined"] <= 1


def test_without_a_target_it_is_supervised_training() -> None:
    logged: dict[str, Any] = {}
    loss = _step(_task(), _batch(target=False), logged)
    assert set(logged) == {"train/loss", "train/loss_source"}
    assert loss == logged["train/loss_source"]


def test_the_teacher_gets_no_gradient_and_begins_as_the_student() -> None:
    task = _task()
    with torch.no_grad():
        for parameter in task.student.parameters():
            parameter.add_(0.1)
    _step(task, _batch()).backward()
    for own, student in zip(task.method.teacher.network.parameters(), task.student.parameters(), strict=True):
        assert own.grad is None and not own.requires_grad
        assert torch.equal(own, student)
    assert all(p.grad is not None for p in task.student.parameters())


@pytest.mark.parametrize("dropout", [False, True])
def test_teacher_normalises_by_the_batch_and_drops_only_officially(dropout: bool) -> None:
    task = _task(self_training=SelfTrainingConfig(teacher_dropout=dropout))
    task.eval()
    task.train()
    for module in task.method.teacher.network.modules():
        if isinstance(module, BatchNorm2d):
            assert module.training
        elif isinstance(module, torch.nn.Dropout2d):
            assert module.training == dropout


def test_a_teacher_of_frozen_batch_norms_sees_each_image_for_itself() -> None:
    task = _task(freeze_batch_norm=True)
    statistics = copy.deepcopy(dict(task.named_buffers()))
    _step(task, _batch()).backward()
    assert not any(module.training for module in task.method.teacher.network.modules())
    images = torch.randn(3, 3, 64, 64)
    torch.testing.assert_close(task.method.teacher(images)[:1], task.method.teacher(images[:1]))
    moved = [name for name, buffer in task.named_buffers() if "running" in name or "tracked" in name]
    assert moved and all(torch.equal(dict(task.named_buffers())[name], statistics[name]) for name in moved)


def test_the_teacher_moves_once_an_optimiser_step() -> None:
    task = _task()
    _step(task, _batch())
    moved = copy.deepcopy(task.method.teacher.network.state_dict())
    with torch.no_grad():
        task.student.head.conv_seg.weight.add_(1)
    _step(task, _batch(), step=0)  # a second batch of the same optimiser step
    assert torch.equal(task.method.teacher.network.head.conv_seg.weight, moved["head.conv_seg.weight"])
    _step(task, _batch())
    assert not torch.equal(task.method.teacher.network.head.conv_seg.weight, moved["head.conv_seg.weight"])


def test_source_training_has_a_teacher_too() -> None:
    task = _task()
    with torch.no_grad():
        task.student.head.conv_seg.weight.add_(1)
    _step(task, _batch(target=False))
    assert torch.equal(task.method.teacher.network.head.conv_seg.weight, task.student.head.conv_seg.weight)


@pytest.mark.parametrize(
    "make",
    [
        lambda: MemoryBankConfig(interval=0),
        lambda: MixingConfig(threshold=1.5),
        lambda: OptimizerConfig(lr=-1),
        lambda: SelfTrainingConfig(momentum=2),
        lambda: ScheduleConfig(warmup_steps=-1),
    ],
)
def test_numbers_outside_their_range_are_refused(make: Callable[[], object]) -> None:
    with pytest.raises(ConfigError, match=r"\w+\.\w+: expected a number"):
        make()


def test_joint_and_separate_forward_agree_without_batch_statistics() -> None:
    joint, separate = (_task(self_training=SelfTrainingConfig(joint_forward=flag)).eval() for flag in (True, False))
    images = torch.randn(2, 3, *SIZE)
    for one, other in zip(
        *(task.method.student_passes(task.student, images, images) for task in (joint, separate)), strict=True
    ):
        assert torch.allclose(one.logits, other.logits, atol=1e-5)
        assert torch.allclose(one.features[-1], other.features[-1], atol=1e-5)


def test_each_aligner_gives_its_own_pseudo_labels() -> None:
    losses = [_step(_task(aligner=a), _batch()) for a in (None, IdentityAligner(), GivenAligner(), ClassicalAligner())]
    assert len({loss.item() for loss in losses}) == 4


def test_a_given_flow_must_be_given() -> None:
    batch = _batch()
    del batch["target"]["flow"]
    with pytest.raises(ConfigError, match="AlignedPairs"):
        _step(_task(), batch)


def test_steps_are_repeatable_and_depend_on_the_seed() -> None:
    first, second = _task(), _task()
    assert torch.equal(_step(first, _batch()), _step(second, _batch()))
    other = AdaptationTask(NETWORK, mixing=MixingConfig(threshold=0.1), seed=1, aligner=GivenAligner(), **PLAIN)
    other.student.load_state_dict(_task().student.state_dict())
    other.method.begin_from(other.student)
    assert not torch.equal(_step(other, _batch()), _step(_task(), _batch()))


def test_weights_of_another_network_are_refused(tmp_path: Any) -> None:
    path = save_pretrained(_task().student, tmp_path / "small.safetensors")
    with pytest.raises(CheckpointError, match=r"small\.safetensors.*does not fit"):
        AdaptationTask(NetworkConfig("compact", "fpn", 16)).load_weights(path)
    same = AdaptationTask(NETWORK)
    same.load_weights(path)
    assert torch.equal(same.student.head.conv_seg.weight, _task().student.head.conv_seg.weight)


ALL_PARTS: dict[str, Any] = {
    "feature_distance": FeatureDistanceConfig(weight=0.1),
    "prototypes": PrototypeConfig(start_epoch=None, class_weights="tail"),
    "masking": MaskingConfig(weight=1.0),
}
TERMS = {"source", "mixed", "feature_distance", "prototypes_target", "prototypes_mixed", "masked"}


@pytest.mark.parametrize("joint", [False, True])
@pytest.mark.parametrize("hrda", [False, True])
def test_every_part_is_a_term_of_the_one_loss(hrda: bool, joint: bool) -> None:
    logged: dict[str, Any] = {}
    torch.manual_seed(0)
    task = AdaptationTask(
        replace(NETWORK, hrda=hrda),
        self_training=SelfTrainingConfig(joint_forward=joint),
        mixing=MixingConfig(threshold=0.1),
        aligner=GivenAligner(),
        seed=0,
        **ALL_PARTS,
    )
    total = _step(task, _batch(), logged)
    terms = {name: logged[f"train/loss_{name}"] for name in TERMS}
    assert {name for name in logged if name.startswith("train/loss_")} == {f"train/loss_{name}" for name in TERMS}
    assert torch.isfinite(total) and float(total) == pytest.approx(float(sum(terms.values())), rel=1e-6)
    total.backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in task.student.parameters())
    assert all(p.grad is None for p in task.method.teacher.parameters())


@pytest.mark.parametrize("part", list(ALL_PARTS))
def test_a_part_that_is_off_leaves_no_trace(part: str) -> None:
    logged: dict[str, Any] = {}
    task = _task(**{part: ALL_PARTS[part]})
    _step(task, _batch(), logged)
    terms = {name.removeprefix("train/loss_") for name in logged if name.startswith("train/loss_")}
    names = {"feature_distance": {"feature_distance"}, "masking": {"masked"}}
    assert terms - {"source", "mixed"} == names.get(part, {"prototypes_target", "prototypes_mixed"})


def test_prototypes_wait_for_their_step() -> None:
    task = _task(prototypes=PrototypeConfig(start_step=1))
    first: dict[str, Any] = {}
    second: dict[str, Any] = {}
    _step(task, _batch(), first)
    _step(task, _batch(), second)
    assert "train/loss_prototypes_target" not in first
    assert "train/loss_prototypes_target" in second


def test_the_reference_encoder_stays_what_the_student_was(tmp_path: Any) -> None:
    path = save_pretrained(_task().student, tmp_path / "initial.safetensors")
    task = AdaptationTask(NETWORK, seed=0)
    task.load_weights(path)
    task.train()
    _step(task, _batch())
    assert task.method.reference is not None and not any(m.training for m in task.method.reference.modules())
    initial = load_pretrained(path).segmentor.backbone.state_dict()
    for name, value in task.method.reference.backbone.state_dict().items():
        assert torch.equal(value, initial[name]), name


def test_the_network_has_the_classes_of_the_label_space() -> None:
    space = LabelSpace(("sky", "road", "thing"), ((0, 0, 0), (1, 1, 1), (2, 2, 2)))
    task = AdaptationTask(NETWORK, label_space=space)
    assert task.student(torch.randn(1, 3, *SIZE)).logits.shape[1] == 3


def test_fit_trains_validates_and_leaves_a_loadable_checkpoint(tmp_path: Any) -> None:
    night = SynthNight("val", length=3, size=SIZE)
    data = AdaptationDataModule(
        SynthNight("source", length=8, size=SIZE, cache=True),
        SynthNight("target", length=8, size=SIZE, flow="true", cache=True),
        val={"night": night},
        crop_size=SIZE,
        workers=0,
    )
    task = _task(
        optimizer=OptimizerConfig(lr=3e-3, backbone_lr_factor=1.0),
        schedule=ScheduleConfig(warmup_steps=2, max_steps=12),
        source=SourceConfig(class_balance=0.5),
        memory_bank=MemoryBankConfig(interval=3),
    )
    trainer = L.Trainer(
        max_steps=12,
        val_check_interval=6,
        check_val_every_n_epoch=None,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        accelerator="cpu",
    )
    before = copy.deepcopy(task.student.state_dict())
    trainer.fit(task, datamodule=data)
    assert 0 < task.results["night"].mean_iou < 1
    assert any(not torch.equal(before[k], v) for k, v in task.student.state_dict().items())
    assert all(m.training for m in task.method.teacher.network.modules() if isinstance(m, BatchNorm2d))
    trainer.save_checkpoint(tmp_path / "run.ckpt")
    for which, network in (("student", task.student), ("teacher", task.method.teacher.network)):
        read = load_pretrained(tmp_path / "run.ckpt", which=which)  # type: ignore[arg-type]
        assert (read.card["image_height"], read.card["image_width"]) == SIZE
        for name, value in read.segmentor.named_parameters():
            assert torch.equal(value, network.get_parameter(name)), name
        for name, value in read.segmentor.named_buffers():
            assert torch.equal(value, task.student.get_buffer(name)), "both are evaluated with the student's statistics"


def test_initial_weights_are_wanted_only_where_no_checkpoint_brings_any(tmp_path: Any) -> None:
    night = SynthNight("val", length=1, size=SIZE)
    source = SynthNight("source", length=2, size=SIZE)
    data = AdaptationDataModule(source, test={"night": night}, crop_size=SIZE, workers=0)
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "accelerator": "cpu"}
    trained = L.Trainer(max_steps=1, enable_model_summary=False, limit_val_batches=0, **quiet)
    trained.fit(_task(), datamodule=data)
    trained.save_checkpoint(tmp_path / "run.ckpt")
    absent = _task(backbone_weights=str(tmp_path / "nothing.pth"))
    with pytest.raises(CheckpointError, match=r"To begin without: model\.backbone_weights: random"):
        L.Trainer(**quiet).test(absent, datamodule=data, verbose=False)
    L.Trainer(**quiet).test(absent, datamodule=data, ckpt_path=tmp_path / "run.ckpt", weights_only=True, verbose=False)
    assert "night" in absent.results


def test_hrda_may_begin_with_a_network_that_is_none(tmp_path: Any) -> None:
    plain = _task().student
    path = save_pretrained(plain, tmp_path / "plain.safetensors")
    task = AdaptationTask(replace(NETWORK, hrda=True))
    task.load_weights(path)
    assert torch.equal(task.student.head.conv_seg.weight, plain.head.conv_seg.weight)
    assert torch.equal(task.method.teacher.network.head.conv_seg.weight, plain.head.conv_seg.weight)


def test_waiting_for_data_is_told_from_stepping(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 1.0, 4.0, 5.0, 9.0, 10.0])  # start, end of three steps
    monkeypatch.setattr("dsrnss.training.callbacks.history.time.perf_counter", lambda: next(clock))
    wait: Any = DataWait()
    for _ in range(3):
        wait.on_train_batch_start(None, None, None, 0)
        wait.on_train_batch_end(None, None, None, None, 0)
    assert wait.share == pytest.approx((3 + 4) / (3 + 4 + 1 + 1))
