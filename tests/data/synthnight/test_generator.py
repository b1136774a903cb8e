import dataclasses
import hashlib
import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsrnss.data.synthnight import DEFAULT_NIGHT, NIGHT_PRESETS, SPLITS, generate
from dsrnss.errors import DataError

SMALL = (128, 256)
GOLDEN = json.loads(Path(__file__).with_name("golden.json").read_text(encoding="utf-8"))


def same(a, b):
    pairs = [(getattr(a, f.name), getattr(b, f.name)) for f in dataclasses.fields(a)]
    return all((x is None and y is None) or np.array_equal(x, y) for x, y in pairs)


@pytest.mark.parametrize("split", SPLITS)
def test_a_sample_has_the_promised_arrays(split):
    scene = generate(split, 4, size=SMALL)
    assert scene.image.shape == (*SMALL, 3) and scene.image.dtype == np.uint8
    assert scene.label.shape == SMALL and scene.label.dtype == np.uint8
    assert scene.label.max() <= 18
    if split == "source":
        assert scene.reference is None and scene.reference_label is None
        assert scene.flow is None and scene.flow_valid is None
    else:
        assert scene.reference.shape == (*SMALL, 3) and scene.reference.dtype == np.uint8
        assert scene.reference_label.shape == SMALL and scene.reference_label.max() <= 18
        assert scene.flow.shape == (*SMALL, 2) and scene.flow.dtype == np.float32
        assert scene.flow_valid.shape == SMALL and scene.flow_valid.dtype == bool
        assert np.isfinite(scene.flow[scene.flow_valid]).all()


def test_the_reference_is_left_out_on_request():
    scene = generate("val", 4, size=SMALL, reference=False)
    assert scene.reference is None and scene.flow is None
    whole = generate("val", 4, size=SMALL)
    assert np.array_equal(scene.image, whole.image) and np.array_equal(scene.label, whole.label)


def test_the_same_call_gives_the_same_sample():
    assert same(generate("target", 11, size=SMALL), generate("target", 11, size=SMALL))


def test_neither_global_randomness_nor_threads_matter_or_change():
    before = cv2.getNumThreads()
    try:
        cv2.setNumThreads(2)
        np.random.seed(1)
        state = np.random.get_state()[1].copy()
        first = generate("target", 5, size=SMALL)
        assert cv2.getNumThreads() == 2
        assert np.array_equal(state, np.random.get_state()[1])
        cv2.setNumThreads(1)
        np.random.seed(2)
        assert same(first, generate("target", 5, size=SMALL))
    finally:
        cv2.setNumThreads(before)


def test_another_process_gives_the_same_sample():
    code = (
        "import hashlib, sys; from dsrnss.data.synthnight import generate; s = generate('val', 9, size=(128, 256)); "
        "assert 'torch' not in sys.modules; "
        "print(hashlib.sha256(s.image.tobytes() + s.label.tobytes() + s.flow.tobytes()).hexdigest())"
    )
    scene = generate("val", 9, size=SMALL)
    here = hashlib.sha256(scene.image.tobytes() + scene.label.tobytes() + scene.flow.tobytes()).hexdigest()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == here


@pytest.mark.parametrize("case", GOLDEN)
def test_the_data_set_is_the_published_one(case):
    split, index = case.split("/")
    scene, golden = generate(split, int(index), size=SMALL), GOLDEN[case]

    def blocks(image):
        return image.reshape(8, 16, 16, 16, 3).mean((1, 3))

    # labels are whole-number work and exact; pictures may differ by rounding between processors
    assert hashlib.sha256(scene.label.tobytes()).hexdigest() == golden["label"]
    assert np.abs(blocks(scene.image) - golden["image"]).max() <= 3
    if "reference" in golden:
        assert hashlib.sha256(scene.reference_label.tobytes()).hexdigest() == golden["reference_label"]
        assert np.abs(blocks(scene.reference) - golden["reference"]).max() <= 3


def test_seeds_splits_and_indices_are_different_places():
    labels = [
        generate(split, index, seed=seed, size=SMALL, reference=False).label
        for split, index, seed in (("target", 0, 0), ("val", 0, 0), ("test", 0, 0), ("target", 1, 0), ("target", 0, 1))
    ]
    agreement = [(a == b).mean() for i, a in enumerate(labels) for b in labels[:i]]
    assert max(agreement) < 0.9


@pytest.mark.parametrize("split", ["source", "val"])
def test_all_classes_occur_with_a_long_tail(split):
    counts = np.zeros(19)
    for index in range(60):
        label = generate(split, index, size=SMALL, light="day", reference=False).label
        counts += np.bincount(label.ravel(), minlength=19)
    share = counts / counts.sum()
    assert (counts > 0).all()
    assert 0.27 < share[0] < 0.42  # road
    assert share[[0, 2, 8]].sum() > 0.6  # road, building, vegetation
    assert (share[[11, 12, 14, 15, 16, 17, 18]] < 0.03).all()


def test_one_scene_by_day_and_by_night_has_one_label():
    night, day = (generate("val", 6, size=SMALL, light=light) for light in ("night", "day"))
    assert np.array_equal(night.label, day.label)
    assert np.array_equal(night.flow_valid, day.flow_valid)
    assert same(night, generate("val", 6, size=SMALL))
    assert same(
        generate("source", 6, size=SMALL, light="day"),
        generate("source", 6, size=SMALL),
    )


def test_nights_are_darker_the_darker_their_name():
    def brightness(**options):
        return np.mean([generate("val", i, size=SMALL, reference=False, **options).image.mean() for i in range(8)])

    day = brightness(light="day")
    dusk, city, dark = (brightness(night=name) for name in ("dusk", "city", "dark"))
    assert day > dusk + 10 > city + 20 > dark + 25
    assert 35 < city < 60
    assert brightness() == brightness(night=DEFAULT_NIGHT)


@pytest.mark.parametrize("size", [(64, 128), (65, 130), (257, 301), (300, 128), (128, 900), (1024, 2048)])
def test_any_size_in_range(size):
    scene = generate("val", 3, size=size, reference=size != (1024, 2048))
    assert scene.image.shape == (*size, 3) and scene.label.shape == size
    assert len(np.unique(scene.label)) > 5


@given(
    split=st.sampled_from(SPLITS),
    index=st.integers(0, 10**6),
    seed=st.integers(0, 2**40),
    height=st.integers(64, 160),
    width=st.integers(128, 280),
    night=st.sampled_from(sorted(NIGHT_PRESETS)),
)
@settings(max_examples=12, deadline=None)
def test_every_sample_is_a_street(split, index, seed, height, width, night):
    scene = generate(split, index, seed=seed, size=(height, width), night=night)
    assert scene.image.shape == (height, width, 3)
    assert set(np.unique(scene.label)) <= set(range(19))
    assert scene.image.std() > 3
    assert (scene.label == 10)[2 * height // 3 :].sum() == 0, "sky under the road"
    if scene.flow_valid is not None:
        assert scene.flow_valid.mean() > 0.15


def test_the_drawn_style_is_the_default():
    assert same(generate("val", 6, size=SMALL), generate("val", 6, size=SMALL, style="drawn"))


@given(split=st.sampled_from(SPLITS), index=st.integers(0, 10**6), night=st.sampled_from(sorted(NIGHT_PRESETS)))
@settings(max_examples=12, deadline=None)
def test_every_photographic_sample_is_a_street_with_one_label_by_day_and_night(split, index, night):
    options = {"size": SMALL, "night": night, "style": "photographic"}
    scene, other = (generate(split, index, light=light, **options) for light in ("night", "day"))
    assert same(scene, generate(split, index, light="night", **options))
    assert np.array_equal(scene.label, other.label)
    assert scene.image.shape == (*SMALL, 3) and scene.image.std() > 3
    assert (scene.label[-1] != 10).mean() > 0.95, "sky under the road"
    if scene.flow_valid is not None:
        assert scene.flow_valid.mean() > 0.1


def test_photographic_scenes_show_more_sky_and_vary_more_in_light_than_drawn_ones():
    def scenes(style):
        return [generate("source", k, size=SMALL, light="night", style=style) for k in range(40)]

    drawn, photographic = scenes("drawn"), scenes("photographic")

    def sky(those):
        return np.mean([(scene.label == 10).mean() for scene in those])

    def levels(those):
        return np.array([[scene.image.mean(), np.percentile(scene.image, 5)] for scene in those])

    assert sky(photographic) > 1.8 * sky(drawn)
    assert (levels(photographic).std(0) > 1.5 * levels(drawn).std(0)).all()
    # a black that is grey in most pictures, and black in some
    assert np.percentile(levels(photographic)[:, 1], 90) > 60
    assert np.percentile(levels(photographic)[:, 1], 5) < 30


def test_all_classes_occur_in_the_photographic_style():
    counts = np.zeros(19)
    for index in range(60):
        label = generate("source", index, size=SMALL, light="day", style="photographic").label
        counts += np.bincount(label.ravel(), minlength=19)
    assert (counts > 0).all()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"split": "soruce"}, ["soruce", "Did you mean 'source'", "target"]),
        ({"night": "citty"}, ["citty", "city", "dusk", "dark"]),
        ({"light": "noon"}, ["noon", "auto", "day", "night"]),
        ({"style": "photo"}, ["photo", "drawn", "photographic"]),
        ({"index": -1}, ["index=-1"]),
        ({"seed": -3}, ["seed=-3"]),
        ({"size": (32, 512)}, ["32x512", "64x128", "1024x2048"]),
        ({"size": (2048, 1024)}, ["2048x1024"]),
    ],
)
def test_wrong_arguments_are_named(arguments, words):
    with pytest.raises(DataError) as caught:
        generate(**{"split": "val", "index": 0, **arguments})
    assert all(word in str(caught.value) for word in words)
