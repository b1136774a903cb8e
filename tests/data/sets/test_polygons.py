import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsrnss.data.sets.polygons import TRAIN_IDS, draw_train_ids
from dsrnss.errors import DataError

SQUARE = [[2, 2], [2, 6], [6, 6], [6, 2]]


@pytest.fixture
def annotation(tmp_path):
    def write(*objects, size=(8, 12)):
        path = tmp_path / "ulm_000000_000019_gtFine_polygons.json"
        rows = [{"label": label, "polygon": polygon, **more} for label, polygon, more in objects]
        path.write_text(json.dumps({"imgHeight": size[0], "imgWidth": size[1], "objects": rows}))
        return path

    return write


coordinate = st.one_of(st.integers(-30, 80), st.floats(-30, 80, width=32))
thing = st.tuples(
    st.sampled_from([*TRAIN_IDS, "license plate", "cargroup", "polegroup", "skygroup"]),
    st.lists(st.lists(coordinate, min_size=2, max_size=2), min_size=3, max_size=7),
    st.sampled_from([{}, {"deleted": 0}, {"deleted": 1}, {"verified": 1, "user": "x", "date": "y"}]),
)


@settings(max_examples=60)
@given(objects=st.lists(thing, max_size=8))
def test_equals_the_official_drawing(tmp_path_factory, objects):
    annotations = pytest.importorskip("cityscapesscripts.helpers.annotation")
    official = pytest.importorskip("cityscapesscripts.preparation.json2labelImg")
    path = tmp_path_factory.mktemp("p") / "a_gtFine_polygons.json"
    rows = [{"label": label, "polygon": polygon, **more} for label, polygon, more in objects]
    path.write_text(json.dumps({"imgHeight": 40, "imgWidth": 60, "objects": rows}))
    annotation = annotations.Annotation()
    annotation.fromJsonFile(str(path))
    expected = np.array(official.createLabelImage(annotation, "trainIds"))
    assert np.array_equal(draw_train_ids(path), expected)


def test_later_objects_cover_earlier_ones_and_deleted_ones_are_left_out(annotation):
    whole = [[-5, -5], [-5, 50], [50, 50], [50, -5]]
    path = annotation(("road", whole, {}), ("cargroup", SQUARE, {}), ("sky", SQUARE, {"deleted": 1}))
    labels = draw_train_ids(path)
    assert labels.shape == (8, 12) and labels.dtype == np.uint8
    assert np.unique(labels).tolist() == [0, 13] and labels[4, 4] == 13


def test_what_is_not_drawn_is_ignored(annotation):
    labels = draw_train_ids(annotation(("license plate", SQUARE, {}), ("ego vehicle", SQUARE, {})))
    assert (labels == 255).all()


@pytest.mark.parametrize(
    ("objects", "word"),
    [
        ([("rode", SQUARE, {})], "unknown label 'rode'. Did you mean 'road'"),
        ([("road", [[1, 2], [3]], {})], "Object 1"),
        ([("road", [], {})], r"Object 1 \('road'\)"),
        ([("road", SQUARE, {}), ("car", [["a", "b"]], {})], "Object 2"),
    ],
)
def test_broken_objects_are_named(annotation, objects, word):
    with pytest.raises(DataError, match=word):
        draw_train_ids(annotation(*objects))


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"imgHeight": 3, "imgWidth": "x", "objects": []}'])
def test_a_file_that_is_no_annotation_is_named(tmp_path, text):
    path = tmp_path / "x_gtFine_polygons.json"
    path.write_text(text)
    with pytest.raises(DataError, match="no annotation of Cityscapes"):
        draw_train_ids(path)


def test_absurd_sizes_are_refused(annotation):
    with pytest.raises(DataError, match="100000"):
        draw_train_ids(annotation(size=(10, 100000)))
