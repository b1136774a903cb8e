import pytest

from dsrnss.data import NighttimeDriving
from dsrnss.errors import ConfigError


def test_pictures_and_labels_of_the_only_split(tmp_path, miniatures):
    root = miniatures.nighttime_driving(tmp_path)
    dataset = NighttimeDriving(root=root, size=(9, 16), resize_label=False)
    assert [dataset[i]["name"] for i in range(2)] == ["01_frame_0001_leftImg8bit", "01_frame_0002_leftImg8bit"]
    assert dataset[0]["image"].shape == (3, 9, 16) and dataset[0]["label"].shape == (18, 32)
    with pytest.raises(ConfigError, match="'val'"):
        NighttimeDriving("val")
