"""`predict --submission`: the archive grows while predicting."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from dsrnss.data import DarkZurich
from dsrnss.data.submission.validation import validate_submission
from dsrnss.errors import ConfigError
from dsrnss.experiment import remarks
from dsrnss.labels import CITYSCAPES
from dsrnss.training.callbacks.submissions import SubmissionWriter
from dsrnss.training.predictions import Prediction

TASK = SimpleNamespace(label_space=CITYSCAPES)
NAMES = ["GOPR0356_frame_000001_rgb_anon", "GOPR0356_frame_000002_rgb_anon"]


@pytest.fixture
def trainer(tmp_path, write_png):
    root = tmp_path / "DarkZurich"
    for name in NAMES:
        write_png(root / f"rgb_anon/test/night/GOPR0356/{name}.png", np.zeros((8, 12, 3)))
    sets = {"other": DarkZurich("val", root), "night": DarkZurich("test", root)}
    return SimpleNamespace(world_size=1, datamodule=SimpleNamespace(predict=sets))


@pytest.fixture
def write_png():
    from PIL import Image

    def write(path, pixels):
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.asarray(pixels, np.uint8)).save(path)

    return write


@pytest.fixture
def two_pictures(monkeypatch):
    """A test set of two pictures, where the official one has 151."""
    monkeypatch.setattr(DarkZurich, "benchmark", replace(DarkZurich.benchmark, counts=(2,)))


def predict(writer, trainer, names, size=(1080, 1920), loader=1):
    for name in names:
        one = Prediction(name, np.zeros(size, np.uint8), np.ones(size, np.float32))
        writer.on_predict_batch_end(trainer, TASK, [one], {"name": [name]}, 0, loader)


def test_the_test_set_goes_into_the_archive_and_nothing_else(tmp_path, trainer, two_pictures, capsys):
    writer = SubmissionWriter(tmp_path / "s.zip", "darkzurich")
    writer.on_predict_start(trainer, TASK)
    predict(writer, trainer, ["val"], loader=0)
    predict(writer, trainer, NAMES)
    writer.on_predict_end(trainer, TASK)
    remarks.say_submission(writer)
    assert writer.faults == () and "s.zip: 2 pictures, nothing wrong" in capsys.readouterr().err
    assert validate_submission(tmp_path / "s.zip", "darkzurich", NAMES).pictures == 2


def test_what_the_server_would_reject_is_said(tmp_path, trainer, capsys, caplog):
    caplog.set_level("INFO", "dsrnss")
    writer = SubmissionWriter(tmp_path / "s.zip", "darkzurich")
    writer.on_predict_start(trainer, TASK)
    predict(writer, trainer, NAMES[:1], size=(8, 12))
    writer.on_predict_end(trainer, TASK)
    remarks.say_submission(writer)
    told = capsys.readouterr().err + caplog.text
    assert "lacks 'GOPR0356_frame_000002_rgb_anon'" in told and "s.zip: 1 picture, 7 faults" in told
    assert any("holds 1 picture: the test set of Dark Zurich has 151" in fault for fault in writer.faults)
    assert sum("12 x 8 pixels" in fault for fault in writer.faults) == 3


@pytest.mark.parametrize("size", [(1080, 1920), (8, 12)])
def test_faults_are_the_exit_code(tmp_path, trainer, two_pictures, capsys, size):
    writer = SubmissionWriter(tmp_path / "s.zip", "darkzurich")
    writer.on_predict_start(trainer, TASK)
    predict(writer, trainer, NAMES, size=size)
    writer.on_predict_end(trainer, TASK)
    cli = SimpleNamespace(command="predict", files=[], predictions=tmp_path, ckpt_path="last", model=TASK)
    cli.trainer = SimpleNamespace(callbacks=[writer])
    assert remarks.after(cli) == (size == (8, 12))
    assert f"Next: dsrnss data validate-submission {tmp_path / 's.zip'}" in capsys.readouterr().out


def test_an_interrupted_run_leaves_nothing(tmp_path, trainer):
    writer = SubmissionWriter(tmp_path / "out/s.zip", "darkzurich")
    writer.on_predict_start(trainer, TASK)
    predict(writer, trainer, NAMES[:1], size=(8, 12))
    writer.on_exception(trainer, TASK, KeyboardInterrupt())
    assert list((tmp_path / "out").iterdir()) == []


def test_an_experiment_without_the_test_set_is_refused(tmp_path, trainer):
    with pytest.raises(ConfigError, match=r"split 'test' of ACDC.*other .DarkZurich val."):
        SubmissionWriter(tmp_path / "s.zip", "acdc").on_predict_start(trainer, TASK)
    trainer.world_size = 2
    with pytest.raises(ConfigError, match="devices: 1"):
        SubmissionWriter(tmp_path / "s.zip", "darkzurich").on_predict_start(trainer, TASK)
    with pytest.raises(ConfigError, match="Unknown benchmark"):
        SubmissionWriter(tmp_path / "s.zip", "cityscapes")
    trainer.world_size = 1
    own = SimpleNamespace(label_space=SimpleNamespace(names=("a", "b")))
    with pytest.raises(ConfigError, match="19 classes"):
        SubmissionWriter(tmp_path / "s.zip", "darkzurich").on_predict_start(trainer, own)


def test_bare_train_ids_are_taken(tmp_path, trainer, two_pictures):
    writer = SubmissionWriter(tmp_path / "s.zip", "darkzurich")
    writer.on_predict_start(trainer, TASK)
    writer.on_predict_batch_end(trainer, TASK, torch.zeros(2, 1080, 1920), {"name": NAMES}, 0, 1)
    writer.on_predict_end(trainer, TASK)
    assert writer.faults == ()
