import pytest

from dsrnss.data.class_mapping import map_classes, mapping_table
from dsrnss.errors import ConfigError
from dsrnss.labels import CITYSCAPES, LabelSpace


def space(*names):
    return LabelSpace(names, tuple((i, i, i) for i in range(len(names))))


CAMVID = space(
    "sky", "building", "pole", "road", "pavement", "tree", "sign", "fence", "car", "pedestrian", "bicyclist"
)  # fmt: skip


def became(mapping):
    ids = zip(mapping.source.names, mapping.ids, strict=True)
    return {old: None if new is None else mapping.target.names[new] for old, new in ids}


def test_camvid_becomes_cityscapes_by_equal_names_and_usual_synonyms():
    assert became(map_classes(CAMVID, CITYSCAPES)) == {
        "sky": "sky", "building": "building", "pole": "pole", "road": "road", "pavement": "sidewalk",
        "tree": "vegetation", "sign": "traffic sign", "fence": "fence", "car": "car", "pedestrian": "person",
        "bicyclist": "rider",
    }  # fmt: skip


def test_what_has_no_counterpart_is_ignored_not_guessed():
    mapping = map_classes(CITYSCAPES, CAMVID)
    assert mapping.becoming(None) == [
        "wall", "traffic light", "terrain", "truck", "bus", "train", "motorcycle", "bicycle"
    ]  # fmt: skip
    assert mapping.table[CITYSCAPES.index("truck")] == 255
    assert mapping.table[255] == 255 and mapping.table[200] == 255


def test_what_is_said_goes_before_equal_names_and_synonyms():
    mapping = map_classes(CITYSCAPES, CAMVID, {"truck": "car", "person": None, "traffic light": "Sign"})
    assert mapping.becoming(CAMVID.index("car")) == ["car", "truck"]
    assert mapping.becoming(CAMVID.index("sign")) == ["traffic light", "traffic sign"]
    assert "person" in mapping.becoming(None)


def test_case_and_joints_of_words_do_not_count():
    mapping = map_classes(space("Traffic_Sign", "SKY"), CITYSCAPES)
    assert became(mapping) == {"Traffic_Sign": "traffic sign", "SKY": "sky"}


def test_an_equal_name_goes_before_a_synonym_and_two_synonyms_are_refused():
    both = space("tree", "vegetation", "sky")
    assert became(map_classes(space("tree", "sky"), both))["tree"] == "tree"
    with pytest.raises(ConfigError, match="'tree' or 'vegetation'"):
        map_classes(space("trees", "sky"), both)
    assert became(map_classes(space("trees", "sky"), both, {"trees": "tree"}))["trees"] == "tree"


def test_nothing_in_common_names_both_lists():
    with pytest.raises(ConfigError, match=r"(?s)lung, heart.*road, sidewalk"):
        map_classes(space("lung", "heart"), CITYSCAPES)


def test_an_unknown_wanted_class_is_named():
    with pytest.raises(ConfigError, match=r"'sidewalk' cannot become 'pavment'.*Did you mean 'pavement'"):
        map_classes(CITYSCAPES, CAMVID, {"sidewalk": "pavment"})


def test_the_table_says_what_becomes_what_is_ignored_and_lacking():
    wanted = space("road", "car", "boat")
    first, second = map_classes(space("road", "car"), wanted), map_classes(CITYSCAPES, wanted, {"bus": "car"})
    lines = mapping_table([("one", first), ("two", second)]).splitlines()
    assert lines[0].split() == ["class", "one", "two"]
    assert [line.split(maxsplit=2) for line in lines[1:4]] == [
        ["road", "road", "road"],
        ["car", "car", "car, bus"],
        ["boat", "-", "-"],
    ]
    assert "sidewalk" in lines[4] and lines[4].startswith("(ignored)")
    assert lines[5] == "In no set: boat."
