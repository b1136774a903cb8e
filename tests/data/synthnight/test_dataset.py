import numpy as np
import pytest
import torch

from dsrnss.data import AdaptationDataModule, SynthNight
from dsrnss.data.sampling import RareClassSampling
from dsrnss.data.synthnight import generate
from dsrnss.errors import ConfigError

SIZE = (64, 128)


def test_samples_are_the_generator_s_scenes():
    scene = generate("val", 3, seed=5, size=SIZE, reference=False)
    sample = SynthNight("val", size=SIZE, seed=5)[3]
    assert np.array_equal(sample["image"].permute(1, 2, 0).numpy(), scene.image)
    assert np.array_equal(sample["label"].numpy(), scene.label)
    assert sample["name"] == "val_00003"


def test_splits_carry_what_their_role_allows():
    assert set(SynthNight("source", size=SIZE)[0]) == {"image", "label", "name"}
    assert set(SynthNight("target", size=SIZE)[0]) == {"image", "reference", "name"}
    assert set(SynthNight("val", size=SIZE, references=True)[0]) == {"image", "label", "reference", "name"}
    assert set(SynthNight("target", size=SIZE, labelled=True, references=False)[0]) == {"image", "label", "name"}


def test_true_flow_is_sure_where_it_is_valid():
    scene = generate("target", 0, size=SIZE)
    sample = SynthNight("target", size=SIZE, flow="true")[0]
    assert sample["flow"].shape == (2, *SIZE) and sample["flow"].dtype == torch.float32
    assert np.array_equal(sample["confidence"][0].numpy() > 0.5, scene.flow_valid)
    error = np.abs(sample["flow"].permute(1, 2, 0).numpy() - scene.flow)[scene.flow_valid]
    assert error.max() < 0.1


def test_memory_holds_the_same_samples_rendered_once(monkeypatch):
    plain = SynthNight("target", length=3, size=SIZE, flow="true", labelled=True)
    kept = SynthNight("target", length=3, size=SIZE, flow="true", labelled=True, cache=True)
    done = []
    kept.prepare(workers=2, progress=lambda i, n: done.append((i, n)))
    assert done == [(1, 3), (2, 3), (3, 3)]
    monkeypatch.setattr("dsrnss.data.synthnight.dataset.generate", None)
    samples = [kept[i] for i in range(3)]
    monkeypatch.undo()
    for a, b in zip(samples, plain, strict=False):
        assert all(torch.equal(a[k], b[k]) if k != "name" else a[k] == b[k] for k in b)


@pytest.mark.parametrize("cache", [False, True])
def test_counts_are_those_of_the_labels(cache):
    dataset = SynthNight("source", length=3, size=SIZE, cache=cache)
    counts = dataset.class_counts()
    assert counts.shape == (3, 19)
    assert counts[2].tolist() == np.bincount(dataset[2]["label"].numpy().ravel(), minlength=256)[:19].tolist()


def test_light_shows_the_same_scene():
    night, day = (SynthNight("val", size=SIZE, light=light)[1] for light in ("night", "day"))
    assert night["label"].equal(day["label"])
    assert night["image"].float().mean() < day["image"].float().mean()


def test_a_source_of_day_and_labelled_night_shows_every_other_scene_by_night():
    both, day, night = (SynthNight("source", length=4, size=SIZE, light=light) for light in ("both", "auto", "night"))
    for index, alone in enumerate((day, night, day, night)):
        assert both[index]["image"].equal(alone[index]["image"])
        assert both[index]["label"].equal(day[index]["label"])
    assert (both.class_counts() == day.class_counts()).all()


def test_the_style_is_that_of_the_scenes():
    for style in ("drawn", "photographic"):
        scene = generate("source", 2, size=SIZE, style=style)
        sample = SynthNight("source", size=SIZE, style=style)[2]
        assert np.array_equal(sample["image"].permute(1, 2, 0).numpy(), scene.image)
    with pytest.raises(ConfigError, match="'photographic'"):
        SynthNight("source", style="photografic")


def test_index_outside_is_an_error_so_that_iteration_ends():
    dataset = SynthNight("source", length=2, size=SIZE)
    assert len(list(dataset)) == len(dataset) == 2


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"split": "targt"}, "'target'"),
        ({"night": "citty"}, "'city'"),
        ({"length": 0}, "length"),
        ({"flow": "true", "references": False}, "references"),
        ({"split": "source", "references": True}, "source"),
        ({"seed": -1}, "seed"),
        ({"size": (4096, 9000)}, "size"),
    ],
)
def test_wrong_options_say_what_is_right(options, word):
    with pytest.raises(ConfigError, match=word):
        SynthNight(**options)


def test_trains_from_memory():
    source = SynthNight("source", length=4, size=SIZE, cache=True)
    target = SynthNight("target", length=4, size=SIZE, cache=True, flow="true")
    data = AdaptationDataModule(
        source, target, crop_size=(48, 96), workers=0, rare_class_sampling=RareClassSampling(min_pixels=300)
    )
    data.setup("fit")
    batch, _, _ = next(iter(data.train_dataloader()))
    assert batch["source"]["label"].shape == (2, 48, 96)
    assert batch["target"]["flow"].shape == (2, 2, 48, 96)
