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
from dsrnss.adaptation.prototypes import PrototypeConfig
from dsrnss.adaptation.teacher import SelfTrainingConfig
from dsrnss.data import AdaptationDataModule, SynthNight
from dsrnss.errors import CheckpointError
from dsrnss.labels import LabelSpace
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
    assert {"frequency", "reference", "bank", "teacher"} <= saved, "the tests below would say nothing"
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
    "reference": {"feature_distance": FeatureDistanceConfig(weight=0)},
}


def test_measuring_asks_for_no_switch_of_training(checkpoint: Path) -> None:
    plain = _task(**OFF["frequency"], **OFF["reference"])
    _run("test", plain, checkpoint)
    saved = torch.load(checkpoint, weights_only=True)["state_dict"]
    assert all(torch.equal(value, saved[f"student.{name}"]) for name, value in plain.student.state_dict().items())
    assert not plain.method.bank.entries
    full = _task()
    _run("test", full, checkpoint)
    assert full.results["night"].mean_iou == plain.results["night"].mean_iou


@pytest.mark.parametrize(("part", "switch"), [("frequency", "class_weights: tail"), ("reference", "feature_distance")])
def test_going_on_with_other_parts_names_the_switch(checkpoint: Path, part: str, switch: str) -> None:
    with pytest.raises(CheckpointError, match=f"switched off: to go on, set model.*{switch}"):
        L.Trainer(max_steps=5, **QUIET).fit(_task(**OFF[part]), datamodule=_data(), ckpt_path=checkpoint)


def test_another_network_is_still_refused(checkpoint: Path) -> None:
    other = AdaptationTask(NetworkConfig("compact", "fpn", 16))
    with pytest.raises(RuntimeError, match="loading state_dict"):
        _run("test", other, checkpoint)


def test_without_its_classes_feature_distance_keeps_no_encoder() -> None:
    space = LabelSpace(("sky", "road", "thing"), ((0, 0, 0), (1, 1, 1), (2, 2, 2)))
    assert _task(label_space=space).method.reference is None
    assert _task().method.reference is not None
