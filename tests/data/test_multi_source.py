from collections import Counter

import numpy as np
import pytest
import torch

from dsrnss.data import AdaptationDataModule, Folder, MultiSource, Remapped, SynthNight
from dsrnss.data.boxes import Box
from dsrnss.data.checking.check import check_sets
from dsrnss.data.checking.quick import quick_check
from dsrnss.data.loading import TrainStream
from dsrnss.data.originals import original_size
from dsrnss.data.sampling import ClassSampler, RareClassSampling, sample_weights
from dsrnss.errors import ConfigError, DataError
from dsrnss.labels import CITYSCAPES, LabelSpace

SMALL = LabelSpace(("sky", "pavement", "pedestrian", "road"), ((0, 0, 0),) * 4)


def stream(dataset, **options):
    return TrainStream(dataset, (16, 24), **{"seed": 3, "stream": 0, "flip": 0.5, **options})


def drawn(dataset, number, **options):
    """Share of each set among some samples."""
    samples = stream(dataset, **options)
    names = [samples[k]["name"].split("/")[0] for k in range(number)]
    return {name: count / number for name, count in Counter(names).items()}


@pytest.fixture
def small(toy):
    class Small(toy):
        """Few classes under other names, other pictures."""

        label_space = SMALL

        def labels(self, index):
            label = np.zeros(self.size, np.uint8)
            label[self.size[0] // 2 :] = 3
            label[5:15, 5:15] = 2
            label[20:25, 20:25] = 1
            return label

        def class_counts(self):
            return np.stack([np.bincount(self.labels(i).ravel(), minlength=4)[:4] for i in range(self.length)])

    return Small


def test_a_set_has_the_classes_of_another(small):
    given, mapped = small(), Remapped(small(), "cityscapes")
    old, new = given[0]["label"], mapped[0]["label"]
    assert mapped.classes == CITYSCAPES.names
    for name, other in (("sky", "sky"), ("pavement", "sidewalk"), ("pedestrian", "person"), ("road", "road")):
        assert torch.equal(old == SMALL.index(name), new == CITYSCAPES.index(other))
    assert mapped.class_counts().tolist() == [
        np.bincount(mapped[i]["label"].numpy().ravel(), minlength=256)[:19].tolist() for i in range(10)
    ]


def test_a_crop_is_chosen_by_the_mapped_label(small):
    mapped, seen = Remapped(small(), CITYSCAPES, {"road": None}), []

    def choose(size, label, name):
        seen.append((size, sorted(label.unique().tolist())))
        return Box(0, 0, 8, 8)

    assert mapped.cropped(0, choose)["label"].shape == (8, 8)
    assert seen == [((40, 60), [1, 10, 11, 255])]


def test_sets_without_a_common_class_are_refused_with_both_lists(toy):
    other = LabelSpace(("lung", "heart"), ((0, 0, 0),) * 2)
    with pytest.raises(ConfigError, match=r"road.*lung, heart"):
        Remapped(toy(), other).verify()


def test_joined_sets_share_the_classes_of_the_first(toy, small):
    joined = MultiSource([small(), toy(length=7)])
    joined.verify()
    assert len(joined) == 17 and joined.classes == SMALL.names
    assert joined[0]["name"] == "1/toy_0" and joined[16]["name"] == "2/toy_6"
    assert set(joined[16]["label"].unique().tolist()) <= {0, 2, 3, 255}
    assert "ignored" in joined.mapping_table() and "terrain" in joined.mapping_table()
    assert len({joined[i]["name"] for i in range(17)}) == 17
    with pytest.raises(IndexError):
        joined[17]


def test_weights_decide_how_often_a_set_is_drawn_whatever_its_length(toy):
    joined = MultiSource([toy(length=3), toy(length=30)], weights=[2, 1])
    assert drawn(joined, 330)["1"] == pytest.approx(2 / 3, abs=0.005)
    # so warm that all classes are drawn alike: road and sky are in every picture
    settings, weights = RareClassSampling(temperature=100, min_pixels=10), sample_weights(joined.members())
    rare = ClassSampler(joined.class_counts(), settings, (40, 60), weights)
    draws = [rare.draw(np.random.default_rng(k)) for k in range(4000)]
    share = np.mean([index < 3 for wanted, index in draws if wanted in (0, 10)])
    assert share == pytest.approx(2 / 3, abs=0.05)
    assert set(drawn(joined, 60, class_sampler=rare, crop_limits=[0.0] * 33, cat_max_ratio=0.9)) == {"1", "2"}


def test_without_rare_class_sampling_each_set_goes_through_its_pictures_in_turn(toy):
    joined = stream(MultiSource([toy(length=5), toy(length=11)]), flip=0)
    names = [joined[k]["name"] for k in range(160)]
    short = [name for name in names if name.startswith("1/")]
    assert len(short) == 80
    # an epoch of 16 takes 8 of the 5: in no order of its own, so count whole rounds
    assert set(Counter(short).values()) == {16}
    long = Counter(name for name in names if name.startswith("2/"))
    assert len(long) == 11 and max(long.values()) - min(long.values()) <= 1


@pytest.mark.parametrize("rcs", [None, RareClassSampling(min_pixels=10)])
def test_a_sample_depends_on_its_position_alone_so_that_runs_resume(toy, small, rcs):
    def module(seen):
        joined = MultiSource([small(), toy(length=4, size=(20, 30))], [1, 2], label_space="cityscapes")
        data = AdaptationDataModule(joined, crop_size=(16, 24), workers=0, rare_class_sampling=rcs, seed=5)
        data.setup("fit")
        data.samples_seen["source"] = seen
        return [batch["source"] for batch, _, _ in _all(data.train_dataloader())]

    whole, resumed = module(0), module(4)
    assert len({b["image"].shape for b in whole}) == 1
    for a, b in zip(whole[2:], resumed, strict=False):
        assert a["name"] == b["name"] and torch.equal(a["image"], b["image"]) and torch.equal(a["label"], b["label"])


def _all(loader):
    iter(loader)
    return [next(loader) for _ in range(len(loader))]


def test_counts_are_those_of_one_label_size(toy):
    joined = MultiSource([toy(length=2), toy(length=2, size=(20, 30))])
    counts = joined.class_counts()
    assert joined.counted_size() == (40, 60)
    assert counts[2, 0] == 4 * toy(size=(20, 30)).class_counts()[0, 0]


def test_frequencies_are_those_that_training_sees(toy, small):
    data = AdaptationDataModule(MultiSource([small(), toy()], [3, 1], label_space=CITYSCAPES), crop_size=(16, 24))
    counts = data.source_counts()
    first, second = (member.dataset.class_counts().sum(0) for member in data.source.members())
    assert counts.tolist() == pytest.approx((1.5 * first + 0.5 * second).tolist(), abs=1)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"weights": [1]}, "2 numbers"),
        ({"weights": [1, 0]}, "above 0"),
        ({"names": {"sidwalk": "road"}}, "no set has a class 'sidwalk'.*Did you mean 'sidewalk'"),
        ({"label_space": "nowhere.yaml"}, "nowhere.yaml"),
    ],
)
def test_mistakes_are_named(toy, options, words):
    with pytest.raises((ConfigError, DataError), match=words):
        MultiSource([toy(), toy()], **options).verify()


def test_only_labelled_sets_are_joined_and_never_joined_ones(toy):
    with pytest.raises(ConfigError, match="has no labels"):
        MultiSource([toy(), toy(labelled=False)]).verify()
    with pytest.raises(ConfigError, match="directly"):
        MultiSource([MultiSource([toy()])])


@pytest.fixture
def folder(tmp_path, write_png):
    """A folder of two classes, of which `sign` has no value in the second label."""
    (tmp_path / "labels.yaml").write_text("classes: [{name: road, raw: 7}, {name: tree, raw: 9}]\n")
    for k in range(3):
        write_png(tmp_path / f"images/{k}.png", np.full((48, 64, 3), 60 * k + 20))
        label = np.full((48, 64), 7)
        label[:24] = 9
        write_png(tmp_path / f"labels/{k}.png", label)
    return tmp_path


def test_the_classes_wanted_may_be_named_by_a_file_below_the_home_folder(folder, toy, monkeypatch):
    monkeypatch.setenv("HOME", str(folder))
    assert Remapped(toy(), "~/labels.yaml").classes == ("road", "tree")


def test_files_of_joined_sets_are_looked_at_in_their_own_classes(folder, write_png):
    joined = MultiSource([SynthNight("source", length=2, size=(64, 128)), Folder(folder)])
    quick_check(joined)
    assert original_size(joined, 0) is None and original_size(joined, 3) == (48, 64)
    assert sorted(joined[2]["label"].unique().tolist()) == [CITYSCAPES.index("road"), CITYSCAPES.index("vegetation")]
    report = check_sets({"source": joined})
    assert [(one.name, one.pictures) for one in report.sets] == [("source/1", 2), ("source/2", 3)]
    assert not [problem for problem in report.problems if problem.kind != "one-colour"]
    write_png(folder / "labels/0.png", np.full((48, 32), 7))
    with pytest.raises(DataError, match="48 x 32"):
        quick_check(joined)


def test_sets_in_memory_are_filled_ahead():
    joined = MultiSource([SynthNight("source", length=2, size=(64, 128), cache=True)])
    assert joined.in_memory
    joined.prepare(1)
    assert len(joined.sets[0]._store) == 2
