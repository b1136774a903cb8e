from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from lightning.pytorch.trainer.states import TrainerFn

from dsrnss.data.datamodule import AdaptationDataModule
from dsrnss.data.loading import PositionSampler
from dsrnss.data.sampling import RareClassSampling
from dsrnss.errors import ConfigError, DataError
from dsrnss.labels import CITYSCAPES, LabelSpace

LOOSE = RareClassSampling(min_pixels=30_000)


def module(toy, **options):
    defaults = dict(crop_size=(16, 24), workers=0, rare_class_sampling=LOOSE, target_batch_size=2)
    target = toy(length=11, labelled=False, references=True, flow=True)
    return AdaptationDataModule(**{"source": toy(), "target": target, **defaults, **options})


def batches(data):
    return [batch for batch, _, _ in iter_combined(data.train_dataloader())]


def iter_combined(loader):
    iter(loader)
    return [next(loader) for _ in range(len(loader))]


def same(a, b):
    return all(
        torch.equal(a[d][k], b[d][k]) if torch.is_tensor(a[d][k]) else a[d][k] == b[d][k] for d in a for k in a[d]
    )


def test_batch_holds_what_the_method_needs(toy):
    batch = batches(module(toy))[0]
    source, target = batch["source"], batch["target"]
    assert source["image"].shape == (2, 3, 16, 24) and source["image"].dtype == torch.float32
    assert source["label"].shape == (2, 16, 24) and source["label"].dtype == torch.int64
    assert set(source) == {"image", "label", "box", "name"} and isinstance(source["name"], list)
    assert set(target) == {"image", "reference", "flow", "confidence", "box", "name"}
    assert target["flow"].shape == (2, 2, 16, 24) and target["confidence"].shape == (2, 1, 16, 24)


def test_target_planes_share_crop_and_flip(toy):
    flipped = 0
    for batch in batches(module(toy)):
        target = batch["target"]
        columns = (target["image"][:, 2] * 0.225 + 0.406) * 255
        x, y = target["flow"].unbind(1)
        sign = torch.sign(target["flow"][:, 0].mean((1, 2)))
        flipped += int((sign < 0).sum())
        torch.testing.assert_close(x * sign.view(-1, 1, 1), columns.round(), atol=1e-3, rtol=0)
        torch.testing.assert_close(y, ((target["image"][:, 1] * 0.224 + 0.456) * 255).round(), atol=1e-3, rtol=0)
        reference = (target["reference"][:, 2] * 0.225 + 0.406) * 255
        torch.testing.assert_close(reference.round(), columns.round() + 100)
    assert 0 < flipped < 10


def test_crops_say_where_they_lie_in_the_picture_or_its_mirror_image(toy):
    flips = 0
    for batch in batches(module(toy)):
        target = batch["target"]
        assert target["box"].shape == (2, 4) and target["box"].dtype == torch.float32
        rows, columns = (
            ((target["image"][:, c] * s + m) * 255).round() for c, s, m in ((1, 0.224, 0.456), (2, 0.225, 0.406))
        )
        for box, row, column in zip(target["box"], rows, columns, strict=True):
            top, left, height, width = (box * torch.tensor([40, 60, 40, 60])).tolist()
            assert (top, height, width) == pytest.approx((row[0, 0].item(), 16, 24), abs=1e-3)
            flipped = bool(column[0, 0] > column[0, 1])
            flips += flipped
            assert left == pytest.approx(59 - column[0, 0].item() if flipped else column[0, 0].item(), abs=1e-3)
    assert 0 < flips < 10


def test_scaled_crops_say_where_they_lie_and_keep_their_labels(toy):
    wide, extents = (0.5, 3.0), []
    for batch in batches(module(toy, scale=wide)):
        source, target = batch["source"], batch["target"]
        assert target["image"].shape == target["reference"].shape == (2, 3, 16, 24)
        assert target["flow"].shape == (2, 2, 16, 24) and source["label"].shape == (2, 16, 24)
        assert set(source["label"].unique().tolist()) <= {0, 10, *range(11, 19), 255}
        for box, image, flow in zip(target["box"], target["image"], target["flow"], strict=True):
            top, left, height, width = (box * torch.tensor([40, 60, 40, 60])).tolist()
            assert 16 / 3 - 0.5 <= height <= 32.5 and 24 / 3 - 0.5 <= width <= 48.5
            extents.append(height)
            # pixels say where they come from; rows the same, mirrored or not
            row, column = (((image[c] * s + m) * 255) for c, s, m in ((1, 0.224, 0.456), (2, 0.225, 0.406)))
            middle = (top + height / 2 - 0.5, left + width / 2 - 0.5)
            flipped = bool(column[0, 0] > column[0, -1])
            assert row.mean() == pytest.approx(middle[0], abs=0.6)
            assert column.mean() == pytest.approx(59 - middle[1] if flipped else middle[1], abs=0.6)
            # the flow of the toy is (column, row) in pixels of the whole: now in those of the crop
            shown = flow.abs().mean((1, 2)) * torch.tensor([width / 24, height / 16])
            torch.testing.assert_close(shown, torch.stack((column.mean(), row.mean())), atol=0.6, rtol=0)
    assert min(extents) < 10 and max(extents) > 20


def test_scale_one_is_todays_crop_and_any_other_a_sample_of_its_own(toy):
    plain, scaled, again = (batches(module(toy, **o)) for o in ({}, {"scale": (0.5, 2.0)}, {"scale": (0.5, 2.0)}))
    assert all(same(a, b) for a, b in zip(scaled, again, strict=True))
    assert all(same(a, b) for a, b in zip(plain, batches(module(toy, scale=(1.0, 1.0))), strict=True))
    assert not same(plain[0], scaled[0])
    assert all(same(a, b) for a, b in zip(scaled, batches(module(toy, scale=(0.5, 2.0), workers=2)), strict=True))


@pytest.mark.parametrize("scale", [(0.5, 0.5), (0.5, 2.0), (2.0, 2.0)])
def test_pictures_as_small_as_the_crop_can_only_be_enlarged(toy, scale):
    for batch in batches(module(toy, crop_size=(40, 60), scale=scale)):
        assert batch["source"]["image"].shape == (2, 3, 40, 60)
        assert (batch["source"]["box"][:, 2:] <= 1).all()
        if scale[1] < 1:
            assert (batch["source"]["box"] == torch.tensor([0.0, 0.0, 1.0, 1.0])).all()


def test_the_pixels_of_a_rare_class_are_those_of_the_scaled_crop(toy):
    """A square of 100 pixels is one of 400 in pictures twice as large."""
    rcs = RareClassSampling(min_pixels=80_000, min_crop_ratio=0.4, attempts=200)

    def share(scale):
        data = module(toy, target=None, rare_class_sampling=rcs, scale=(scale, scale))
        found = [(label >= 11) & (label < 19) for batch in batches(data) for label in batch["source"]["label"]]
        return torch.stack(found).float().sum((1, 2))

    limit = rcs.crop_limit((40, 60))
    assert limit > 100, "no crop of the picture as it is holds so many"
    assert (share(1.0) <= 100).all() and (share(2.0) > limit).float().mean() > 0.9


def test_places_of_classes_are_those_of_the_source(toy):
    places = module(toy).source_places((2, 4))
    assert places.shape == (19, 2, 4) and places.sum((1, 2)).tolist() == toy().class_counts().sum(0).tolist()
    assert places[0, 1].sum() == 0 and (places[10, 1] > 0).all()
    longer = module(toy, source=toy(length=40)).source_places((2, 4))  # more than one process adds up at once
    assert (longer[[0, 10]] == 4 * places[[0, 10]]).all()


def test_samples_do_not_depend_on_workers(toy):
    alone, pool = batches(module(toy)), batches(module(toy, workers=2))
    assert len(alone) == len(pool) == 5
    assert all(same(a, b) for a, b in zip(alone, pool, strict=True))


def test_start_continues_the_stream(toy):
    whole = batches(module(toy))
    resuming = module(toy)
    resuming.load_state_dict({"seed": resuming.seed, "samples_seen": {"source": 4, "target": 4}})
    resumed = batches(resuming)
    assert all(same(a, b) for a, b in zip(whole[2:], resumed, strict=False))
    assert not same(whole[0], resumed[0])


def test_loading_leaves_the_global_random_state_alone(toy):
    torch.manual_seed(3)
    np.random.seed(3)
    before, numpy_before = torch.get_rng_state(), np.random.get_state()[1].copy()
    batches(module(toy))
    assert torch.equal(before, torch.get_rng_state())
    assert np.array_equal(numpy_before, np.random.get_state()[1])


def test_without_rare_class_sampling_each_sample_comes_once_an_epoch(toy):
    data = module(toy, target=None, rare_class_sampling=None)
    first = [name for batch in batches(data) for name in batch["source"]["name"]]
    data.load_state_dict({"seed": data.seed, "samples_seen": {"source": 10, "target": 10}})
    second = [name for batch in batches(data) for name in batch["source"]["name"]]
    assert sorted(first) == sorted(second) == sorted(f"toy_{i}" for i in range(10))
    assert first != second


def test_rare_classes_come_more_often(toy):
    class Skewed(toy):
        def labels(self, index):
            label = super().labels(index)
            label[label == 11 + index % 8] = 16 if index == 7 else 13
            return label

    data = module(toy, source=Skewed(length=60), target=None, rare_class_sampling=LOOSE)
    names = [name for batch in batches(data) for name in batch["source"]["name"]]
    assert names.count("toy_7") > 10


def test_shortest_set_ends_the_epoch(toy):
    assert len(batches(module(toy, source=toy(length=30), target_batch_size=5))) == 2
    with pytest.raises(ConfigError, match="source_batch_size 2"):
        batches(module(toy, source=toy(length=1)))


@pytest.mark.parametrize("workers", [0, 2])
def test_a_damaged_file_is_named_and_nothing_else_is_said(toy, workers):
    data = module(toy, source=toy(broken=range(1, 10)), workers=workers, rare_class_sampling=None)
    with pytest.raises(DataError, match=r"^'toy_\d.png' is damaged\.\nCopy it again\.$"):
        batches(data)


def test_evaluation_batches_are_whole_pictures_of_named_sets(toy):
    sets = {"night": toy(length=3, references=True), "day": toy(length=2, size=(32, 32))}
    data = module(toy, val=sets)
    assert list(data.val) == ["night", "day"]
    night, day = data.val_dataloader()
    batch = next(iter(night))
    assert set(batch) == {"image", "index", "label", "name", "size"} and batch["image"].shape == (1, 3, 40, 60)
    assert [b["name"] for b in day] == [["toy_0"], ["toy_1"]]


def test_mixed_sizes_in_one_evaluation_batch_are_explained(toy):
    class Mixed(toy):
        def __getitem__(self, index):
            return toy(size=(40, 60 + index))[index]

    with pytest.raises(DataError, match="eval_batch_size"):
        list(module(toy, val={"x": Mixed()}, eval_batch_size=2).val_dataloader()[0])


def test_only_the_sets_of_a_stage_are_verified(toy):
    source, val, test = toy(), toy(), toy()
    data = module(toy, source=source, val={"v": val}, test={"t": test})
    data.setup("test")
    assert (source.verified, val.verified, test.verified) == (0, 0, 1)
    data.setup("fit")
    assert (source.verified, val.verified, test.verified) == (1, 1, 1)


def test_unlabelled_sets_are_refused_where_labels_are_needed(toy):
    with pytest.raises(ConfigError, match="source set"):
        module(toy, source=toy(labelled=False)).setup("fit")
    with pytest.raises(ConfigError, match="validation set 'v'"):
        module(toy, val={"v": toy(labelled=False)}).setup("validate")


def test_a_crop_larger_than_the_pictures_is_refused_before_training(toy):
    message = r"crop_size 48x24 does not fit into 'ToySet' of 40x60 .* smaller crop_size"
    with pytest.raises(ConfigError, match=message):
        module(toy, crop_size=(48, 24)).setup("fit")
    module(toy, crop_size=(48, 24), test={"t": toy()}).setup("test")


def test_sets_of_other_classes_cannot_measure(toy):
    few, renamed = toy(), toy()
    few.label_space = LabelSpace(("road", "sky"), ((1, 2, 3), (4, 5, 6)))
    renamed.label_space = replace(CITYSCAPES, names=("path", *CITYSCAPES.names[1:]))
    with pytest.raises(ConfigError, match=r"'v' .* cannot measure .* has 'sidewalk' as class 1, not 'sky'"):
        module(toy, val={"v": few}).setup("validate")
    with pytest.raises(ConfigError, match=r"'road' as class 0, not 'path'"):
        module(toy, test={"t": renamed}).setup("test")
    module(toy, predict={"p": few}).setup("predict")


def test_a_missing_set_is_named_by_its_stage(toy):
    with pytest.raises(ConfigError, match=r"no set to test: add one under data\.test"):
        module(toy).setup(TrainerFn.TESTING)


@pytest.mark.parametrize(
    "wrong", [{"crop_size": (0, 4)}, {"source_batch_size": 0}, {"workers": -1}, {"flip": 2.0}, {"scale": (2, 1)}]
)
def test_impossible_options_are_named(toy, wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong)).split("_")[-1]):
        module(toy, **wrong)


@pytest.mark.parametrize(("device", "pinned"), [("cpu", False), ("cuda", True), (None, True)])
def test_a_training_on_the_cpu_takes_nothing_of_a_gpu(toy, device, pinned, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    data = AdaptationDataModule(toy(), val={"night": toy(length=2)}, crop_size=(16, 24), workers=0)
    if device is not None:
        strategy = SimpleNamespace(root_device=torch.device(device))
        data.trainer = SimpleNamespace(strategy=strategy, world_size=1, global_rank=0)
    loaders = [data.train_dataloader().iterables["source"], *data.val_dataloader()]
    assert [loader.pin_memory for loader in loaders] == [pinned] * 2


def test_training_processes_share_the_positions_of_one_stream():
    def positions(world, rank):
        return list(PositionSampler(6, lambda: 100, world, rank))

    assert positions(1, 0) == list(range(100, 106))
    assert sorted(positions(2, 0) + positions(2, 1)) == list(range(100, 112))
