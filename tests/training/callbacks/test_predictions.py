"""The files of `predict`: named as the pictures, at their size on disk."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from dsrnss.data import AdaptationDataModule, SynthNight
from dsrnss.errors import OutputError
from dsrnss.labels import CITYSCAPES
from dsrnss.training.callbacks.predictions import PredictionWriter
from dsrnss.training.predictions import Prediction, predict_batch


class Halves:
    """Sky above, road below, with logits of size 2 x 4."""

    def predict(self, images):
        logits = torch.zeros(len(images), 19, 2, 4)
        logits[:, 10, 0] = logits[:, 0, 1] = 4.0
        return logits


BATCH = {"image": torch.zeros(2, 3, 2, 4), "name": ["a", "seq/b"], "size": torch.tensor([[2, 4], [8, 12]])}
SETS = {"night": SynthNight("val", length=1), "rain": SynthNight("val", length=1)}
TRAINER = SimpleNamespace(datamodule=AdaptationDataModule(SynthNight("source", length=1), predict=SETS))


def test_pictures_are_labelled_at_their_size_on_disk():
    small, large = predict_batch(Halves(), BATCH)
    assert (small.name, large.name) == ("a", "seq/b")
    assert small.labels.shape == (2, 4) and large.labels.shape == large.confidence.shape == (8, 12)
    assert (large.labels[:4] == 10).all() and (large.labels[4:] == 0).all() and large.labels.dtype == np.uint8
    assert small.confidence == pytest.approx(np.exp(4) / (np.exp(4) + 18))
    # logits are enlarged, not labels: the border between two classes is uncertain
    assert large.confidence[3].max() < large.confidence[0].min()


def test_without_a_size_it_is_that_of_the_network():
    batch = {key: BATCH[key] for key in ("image", "name")}
    assert [one.labels.shape for one in predict_batch(Halves(), batch)] == [(2, 4)] * 2


def test_files_are_named_as_the_pictures(tmp_path):
    writer = PredictionWriter(tmp_path)
    writer.write_on_batch_end(TRAINER, SimpleNamespace(), predict_batch(Halves(), BATCH), None, BATCH, 0, 1)
    assert writer.written == 2
    labels = np.asarray(Image.open(tmp_path / "rain/labelTrainIds/seq/b.png"))
    assert labels.shape == (8, 12) and set(np.unique(labels)) == {0, 10}
    colours = np.asarray(Image.open(tmp_path / "rain/labelColor/seq/b.png"))
    assert np.array_equal(colours, CITYSCAPES.colorize(labels))
    assert sorted(p.name for p in tmp_path.rglob("*.png")) == ["a.png", "a.png", "b.png", "b.png"]


def test_bare_train_ids_are_taken_too(tmp_path):
    ids = torch.full((2, 3, 5), 7)
    PredictionWriter(tmp_path).write_on_batch_end(TRAINER, SimpleNamespace(), ids, None, BATCH, 0, 0)
    assert np.asarray(Image.open(tmp_path / "night/labelTrainIds/a.png")).tolist() == [[7] * 5] * 3


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "night").write_text("in the way")
    one = [Prediction("a", np.zeros((2, 2), np.uint8), np.ones((2, 2), np.float32))]
    with pytest.raises(OutputError, match=r"Cannot write.*night"):
        PredictionWriter(tmp_path).write_on_batch_end(TRAINER, SimpleNamespace(), one, None, {"name": ["a"]}, 0, 0)


def test_the_folder_is_tried_before_the_first_picture(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"file' is a file"):
        PredictionWriter(tmp_path / "file").on_predict_start(TRAINER, None)
