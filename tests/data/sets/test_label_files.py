import pytest

from dsrnss.data.sets.label_files import read_label_space
from dsrnss.errors import DataError
from dsrnss.labels import CoOccurrence

GOOD = """
classes:
  - {name: road, colour: [128, 64, 128], raw: 1}
  - {name: rider, colour: [255, 0, 0], raw: [2, 255]}
  - {name: bike, raw: 9}
large_static: [road]
dynamic: [bike, rider]
small: [rider]
tail: [bike]
feature_distance: [rider, bike]
co_occurrence:
  - {chosen: [rider], added: [bike]}
"""


@pytest.fixture
def read(tmp_path):
    def read(text):
        (tmp_path / "labels.yaml").write_text(text)
        return read_label_space(tmp_path / "labels.yaml")

    return read


def test_everything_that_can_be_said(read):
    space = read(GOOD)
    assert space.names == ("road", "rider", "bike")
    assert space.palette[:2] == ((128, 64, 128), (255, 0, 0))
    assert dict(space.raw_ids) == {1: 0, 2: 1, 255: 1, 9: 2}
    assert (space.large_static, space.dynamic, space.small, space.tail) == ((0,), (1, 2), (1,), (2,))
    assert space.feature_distance == (1, 2) and space.co_occurrence == (CoOccurrence((1,), (2,)),)


def test_names_alone_do_and_get_colours_of_their_own(read):
    space = read("classes: [" + ", ".join(f"c{i}" for i in range(40)) + "]")
    assert space.num_classes == 40 and len(set(space.palette)) == 40 and space.raw_ids == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("classes: [a, b", r"line 1: not valid YAML"),
        ("- a\n- b", r"expected a mapping with 'classes'"),
        ("", r"expected a mapping with 'classes'"),
        ("names: [a, b]", r"expected a mapping with 'classes'"),
        ("classes: a", r"'classes' is no list: 'a'"),
        ("classes: [a]", r"2 to 254 classes, not 1"),
        ("classes: [a, b]\nlarge_statc: [a]", r"unknown key 'large_statc'. Did you mean 'large_static'"),
        ("classes: [a, {name: b, color: [1, 2, 3]}]", r"class 1: unknown key 'color'. Did you mean 'colour'"),
        ("classes: [a, {colour: [1, 2, 3]}]", r"class 1: expected a name, found None"),
        ("classes: [a, 7]", r"class 1: expected a name, found 7"),
        ("classes: [a, b, a]", r"class 'a' is named 2 times"),
        ("classes: [a, {name: b, colour: [1, 2]}]", r"class 'b': expected a colour.*\[1, 2\]"),
        ("classes: [a, {name: b, colour: [1, 2, 256]}]", r"class 'b': expected a colour.*256"),
        ("classes: [a, {name: b, colour: red}]", r"class 'b': expected a colour.*'red'"),
        ("classes: [a, {name: b, raw: 1}]", r"class 'a' has no raw value"),
        ("classes: [{name: a, raw: 1}, {name: b, raw: 1}]", r"raw value 1 is given twice: to 'a' and to 'b'"),
        (
            "classes: [{name: a, raw: 1}, {name: b, raw: 256}]",
            r"class 'b': raw values are whole numbers 0..255, not 256",
        ),
        ("classes: [{name: a, raw: 1}, {name: b, raw: x}]", r"class 'b': raw values"),
        ("classes: [car, b]\nsmall: [caar]", r"'small' names an unknown class 'caar'. Did you mean 'car'"),
        ("classes: [a, b]\nsmall: a", r"'small' is no list: 'a'"),
        ("classes: [a, b]\nco_occurrence: [{chosen: [a], added: [c]}]", r"rule 1: added' names an unknown class 'c'"),
        ("classes: [a, b]\nco_occurrence: [{chosen: [a]}]", r"rule 1: 'chosen' and 'added' must each name a class"),
        ("classes: [a, b]\nco_occurrence: [{chose: [a]}]", r"rule 1: unknown key 'chose'. Did you mean 'chosen'"),
        ("classes: [a, b]\nco_occurrence: [a]", r"rule 1: expected \{chosen"),
    ],
)
def test_mistakes_are_named_with_the_file(read, text, message):
    with pytest.raises(DataError, match=r"labels\.yaml'.*" + message):
        read(text)


def test_a_missing_or_unreadable_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"not found: '.*none\.yaml'"):
        read_label_space(tmp_path / "none.yaml")
    (tmp_path / "x.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match=r"x\.yaml': cannot be read"):
        read_label_space(tmp_path / "x.yaml")
