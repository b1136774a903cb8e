"""What a checkpoint of a run with every part on is good for: measuring, predicting and going on."""

from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import pytest
import torch

from dsrnss.adaptation.alignment import GivenAligner
from dsrnss.adaptation.feature_distance import FeatureDistanceConfig
from dsrnss.adaptation.mixing import MixingConfig
from dsrnss.adaptation.priors import PriorsConfig, SpatialPriors
from dsrnss.adaptation.prototypes import PrototypeConfig
from dsrnss.adaptation.teacher import SelfTrainingConfig
from dsrnss.data import AdaptationDataModule, SynthNight
from dsrnss.errors import CheckpointError, ConfigError
from dsrnss.labels import CITYSCAPES, LabelSpace
from dsrnss.models.config import NetworkConfig
from dsrnss.training.schedule import OptimizerConfig, ScheduleConfig
from dsrnss.training.task import AdaptationTask

SIZE = (64, 128)
QUIET: dict[str, Any] = {
    "logger": False,
    "enable_checkpointing": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
    "accelerator": "cpu",
}


def _task(**options: Any) -> AdaptationTask:
    torch.manual_seed(0)
    defaults: dict[str, Any] = {
        "mixing": MixingConfig(threshold=0.1),
        "optimizer": OptimizerConfig(lr=3e-2, backbone_lr_factor=1.0),
        "schedule": ScheduleConfig(warmup_steps=0, max_steps=100),
        "self_training": SelfTrainingConfig(momentum=0.5),
        "prototypes": PrototypeConfig(class_weights="tail"),
        "priors": PriorsConfig(strength=1.0),
        "aligner": GivenAligner(),
        "evaluate": "teacher",
        "seed": 0,
    }
    return AdaptationTask(NetworkConfig("compact", "fpn", 8), **(defaults | options))


def _data() -> AdaptationDataModule:
    night = {"night": SynthNight("val", length=2, size=SIZE, cache=True)}
    source, target = SynthNight("source", length=4, size=SIZE), SynthNight("target", length=4, size=SIZE, flow="true")
    return AdaptationDataModule(source, target, test=night, predict=night, crop_size=SIZE, workers=0)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    trainer = L.Trainer(max_steps=4, limit_val_batches=0, **QUIET)
    task = _task()
    trainer.fit(task, datamodule=_data())
    path = tmp_path_factory.mktemp("run") / "run.ckpt"
    trainer.save_checkpoint(path)
    saved = {key.split(".")[1] for key in task.state_dict() if key.startswith("method.")}
    assert {"frequency", "priors", "reference", "bank", "teacher"} <= saved, "the tests below would say nothing"
    return path


def _run(command: str, task: AdaptationTask, checkpoint: Path) -> Any:
    more = {} if command == "predict" else {"verbose": False}
    run = getattr(L.Trainer(**QUIET), command)
    return run(task, datamodule=_data(), ckpt_path=checkpoint, weights_only=True, **more)


def test_the_teacher_predicts_what_test_measures(checkpoint: Path) -> None:
    tested, predicting = _task(), _task()
    _run("test", tested, checkpoint)
    predictions = [one for batch in _run("predict", predicting, checkpoint) for one in batch]
    counts = np.zeros((19, 19), np.int64)
    for sample, one in zip(_data().test["night"], predictions, strict=False):
        labels = sample["label"].numpy()
        known = labels != 255
        np.add.at(counts, (labels[known], one.labels[known]), 1)
    assert np.array_equal(tested.results["night"].confusion[:19, :19], counts)
    for own, other in zip(predicting.method.teacher.network.buffers(), predicting.student.buffers(), strict=True):
        assert torch.equal(own, other)


OFF: dict[str, dict[str, Any]] = {
    "frequency": {"prototypes": PrototypeConfig()},
    "priors": {"priors": PriorsConfig()},
    "reference": {"feature_distance": FeatureDistanceConfig(weight=0)},
}


def test_measuring_asks_for_no_switch_of_training(checkpoint: Path) -> None:
    plain = _task(**OFF["frequency"], **OFF["reference"], **OFF["priors"])
    _run("test", plain, checkpoint)
    saved = torch.load(checkpoint, weights_only=True)["state_dict"]
    assert all(torch.equal(value, saved[f"student.{name}"]) for name, value in plain.student.state_dict().items())
    assert not plain.method.bank.entries
    full = _task()
    _run("test", full, checkpoint)
    assert full.results["night"].mean_iou == plain.results["night"].mean_iou


def test_places_of_the_source_are_counted_once(checkpoint: Path) -> None:
    data, task = _data(), _task()
    expected = torch.from_numpy(data.source_places(SpatialPriors.GRID))
    data.source_places = lambda grid: pytest.fail("counted again")  # type: ignore[method-assign]
    L.Trainer(max_steps=5, limit_val_batches=0, **QUIET).fit(
        task, datamodule=data, ckpt_path=checkpoint, weights_only=True
    )
    assert task.method.priors is not None and torch.equal(task.method.priors.counts, expected)
    assert expected.sum() == data.source_counts().sum() > 0


def test_places_need_a_source_that_can_be_counted() -> None:
    data = _data()
    with pytest.raises(ConfigError, match=r"priors\.strength needs counts .* AdaptationDataModule"):
        L.Trainer(max_steps=1, limit_val_batches=0, **QUIET).fit(_task(), data.train_dataloader())


@pytest.mark.parametrize(
    ("part", "switch"),
    [("frequency", "class_weights: tail"), ("priors", "priors.strength"), ("reference", "feature_distance")],
)
def test_going_on_with_other_parts_names_the_switch(checkpoint: Path, part: str, switch: str) -> None:
    with pytest.raises(CheckpointError, match=f"switched off: to go on, set model.*{switch}"):
        L.Trainer(max_steps=5, **QUIET).fit(_task(**OFF[part]), datamodule=_data(), ckpt_path=checkpoint)


def _classes(order: list[int], rename: dict[str, str] | None = None) -> LabelSpace:
    """Cityscapes' classes in another order, some of them called otherwise."""
    names = tuple((rename or {}).get(CITYSCAPES.names[index], CITYSCAPES.names[index]) for index in order)
    return LabelSpace(names, tuple(CITYSCAPES.palette[index] for index in order), feature_distance=(6,))


class TestClasses:
    def test_another_order_is_refused(self, checkpoint: Path) -> None:
        swapped = _classes([1, 0, *range(2, 19)])
        with pytest.raises(
            CheckpointError, match=r"same classes in another order \(class 0 is 'road', here 'sidewalk'"
        ):
            _run("test", _task(label_space=swapped), checkpoint)
        with pytest.raises(CheckpointError, match="check_classes: false"):
            L.Trainer(max_steps=5, **QUIET).fit(_task(label_space=swapped), datamodule=_data(), ckpt_path=checkpoint)
        with pytest.raises(CheckpointError, match="another order"):
            _task(label_space=swapped).load_weights(checkpoint)

    def test_other_names_are_refused_and_named(self, checkpoint: Path) -> None:
        other = _classes([*range(19)], {"bus": "tram"})
        with pytest.raises(CheckpointError, match="other classes: without 'tram' and with 'bus'"):
            _task(label_space=other).load_weights(checkpoint)

    def test_it_may_be_meant(self, checkpoint: Path) -> None:
        task = _task(label_space=_classes([*range(19)], {"bus": "tram"}), check_classes=False)
        task.load_weights(checkpoint)
        _run("test", task, checkpoint)
        assert "night" in task.results


class Rates(L.Callback):
    """The settings of each group of the optimiser at each step."""

    def __init__(self) -> None:
        self.seen: list[list[tuple[float, float]]] = []

    def on_train_batch_start(self, trainer: L.Trainer, *_: Any) -> None:
        self.seen.append([(group["lr"], group["weight_decay"]) for group in trainer.optimizers[0].param_groups])


class TestSettings:
    def _rates(self, checkpoint: Path, steps: int, **options: Any) -> list[list[tuple[float, float]]]:
        rates = Rates()
        trainer = L.Trainer(max_steps=steps, callbacks=[rates], limit_val_batches=0, **QUIET)
        trainer.fit(_task(**options), datamodule=_data(), ckpt_path=checkpoint, weights_only=True)
        return rates.seen

    def test_the_optimisers_settings_are_those_of_today(self, checkpoint: Path) -> None:
        optimizer = OptimizerConfig(lr=1e-3, backbone_lr_factor=0.5, weight_decay=0.2)
        ((head, bias, backbone, _),) = self._rates(checkpoint, 5, optimizer=optimizer)
        factor = 1 - 4 / 100
        assert head == pytest.approx((1e-3 * factor, 0.2)) and bias == pytest.approx((1e-3 * factor, 0.0))
        assert backbone == pytest.approx((5e-4 * factor, 0.2))

    def test_an_extended_run_does_not_begin_at_zero(self, checkpoint: Path, tmp_path: Path) -> None:
        short = ScheduleConfig(warmup_steps=0, max_steps=6)
        trainer = L.Trainer(max_steps=6, limit_val_batches=0, **QUIET)
        trainer.fit(_task(schedule=short), datamodule=_data(), ckpt_path=checkpoint, weights_only=True)
        trainer.save_checkpoint(tmp_path / "done.ckpt")
        longer = ScheduleConfig(warmup_steps=0, max_steps=12)
        seen = self._rates(tmp_path / "done.ckpt", 12, schedule=longer)
        assert [step[0][0] for step in seen] == pytest.approx([3e-2 * (1 - step / 12) for step in range(6, 12)])

    @pytest.mark.parametrize("changed", [{"seed": 1}, {"weights": "demo"}])
    def test_what_cannot_change_is_named(self, checkpoint: Path, changed: dict[str, Any]) -> None:
        ((name, value),) = changed.items()
        before = {"seed": 0, "weights": "random"}[name]
        with pytest.raises(CheckpointError, match=rf"model\.{name} \(was {before}, is {value}\)"):
            self._rates(checkpoint, 5, **changed)

    def test_the_seed_of_the_data_cannot_change(self, checkpoint: Path) -> None:
        data = _data()
        data.seed = 3
        with pytest.raises(CheckpointError, match=r"data\.seed was 0 and is 3"):
            L.Trainer(max_steps=5, **QUIET).fit(_task(), datamodule=data, ckpt_path=checkpoint, weights_only=True)

    def test_batches_of_another_size_go_on_with_the_next_samples(self, checkpoint: Path) -> None:
        data = _data()
        data.source_batch_size = 1
        trainer = L.Trainer(max_steps=6, limit_val_batches=0, **QUIET)
        trainer.fit(_task(), datamodule=data, ckpt_path=checkpoint, weights_only=True)
        assert data.samples_seen == {"source": 4 * 2 + 2 * 1, "target": 6 * 2}


def test_another_network_is_still_refused(checkpoint: Path) -> None:
    other = AdaptationTask(NetworkConfig("compact", "fpn", 16))
    with pytest.raises(RuntimeError, match="loading state_dict"):
        _run("test", other, checkpoint)


def test_without_its_classes_feature_distance_keeps_no_encoder() -> None:
    space = LabelSpace(("sky", "road", "thing"), ((0, 0, 0), (1, 1, 1), (2, 2, 2)))
    assert _task(label_space=space).method.reference is None
    assert _task().method.reference is not None
