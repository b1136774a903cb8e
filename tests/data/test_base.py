import subprocess
import sys

import numpy as np
import pytest

from dsrnss.data.base import read_label
from dsrnss.errors import DataError
from dsrnss.labels import CITYSCAPES


def test_raw_ids_are_translated(tmp_path, write_png):
    path = write_png(tmp_path / "a.png", [[0, 7, 33, 26, 255]])
    assert read_label(path, CITYSCAPES, raw=True).tolist() == [[255, 0, 18, 13, 255]]


def test_raw_ids_taken_for_train_ids_are_recognised(tmp_path, write_png):
    path = write_png(tmp_path / "x_labelIds.png", [[7, 26, 33]])
    with pytest.raises(DataError, match=r"x_labelIds.png' holds label values \[26, 33\].*raw Cityscapes label ids"):
        read_label(path, CITYSCAPES)


def test_other_wrong_labels_are_named_without_a_guess(tmp_path, write_png):
    with pytest.raises(DataError, match=r"\[19, 200\]") as caught:
        read_label(write_png(tmp_path / "a.png", [[1, 200, 19, 255]]), CITYSCAPES)
    assert "raw" not in str(caught.value)
    with pytest.raises(DataError, match="one channel"):
        read_label(write_png(tmp_path / "c.png", np.zeros((4, 4, 3))), CITYSCAPES)


def test_generator_needs_no_torch():
    code = (
        "import sys; from dsrnss.data.synthnight import generate; generate('val', 0); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_public_names_can_be_imported():
    import dsrnss.data

    assert {getattr(dsrnss.data, name).__name__ for name in dsrnss.data.__all__} == set(dsrnss.data.__all__)
    with pytest.raises(AttributeError):
        _ = dsrnss.data.Cityscape
