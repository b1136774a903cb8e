"""What evaluation is given: sizes on disk, masks of invalid pixels, and every picture once over the processes."""

import numpy as np
import pytest
import torch

from dsrnss.data import DarkZurich
from dsrnss.data.loading import EvalSampler, EvalView, make_eval_loader
from dsrnss.data.originals import original_size, unwrapped
from dsrnss.errors import DataError


@pytest.fixture
def night(tmp_path, write_png):
    mask = np.zeros((8, 12))
    mask[:2] = 1
    for number in (1, 2):
        stem = f"GOPR0356/GOPR0356_frame_00000{number}"
        write_png(tmp_path / f"rgb_anon/val/night/{stem}_rgb_anon.png", np.zeros((8, 12, 3)))
        write_png(tmp_path / f"gt/val/night/{stem}_gt_labelTrainIds.png", np.full((8, 12), 3))
        write_png(tmp_path / f"gt/val/night/{stem}_gt_invIds.png", mask)
    return tmp_path


def test_a_batch_knows_the_size_on_disk_and_the_invalid_pixels(night):
    view = EvalView(DarkZurich("val", night, size=(4, 6), resize_label=False))
    item = view[0]
    assert item["image"].shape[-2:] == (4, 6) and item["size"].tolist() == [8, 12]
    assert item["invalid"].shape == item["label"].shape == (8, 12)
    assert item["invalid"][:2].all() and not item["invalid"][2:].any()
    assert EvalView(DarkZurich("val", night, size=(4, 6)))[0]["invalid"].sum() == 6


def test_a_mask_that_is_missing_or_of_colour_is_named(night, write_png):
    second = night / "gt/val/night/GOPR0356/GOPR0356_frame_000002_gt_invIds.png"
    write_png(second, np.zeros((8, 12, 3)))
    with pytest.raises(DataError, match=r"invIds.*no mask"):
        EvalView(DarkZurich("val", night))[1]
    second.unlink()
    with pytest.raises(DataError, match="no mask of invalid pixels"):
        EvalView(DarkZurich("val", night))[1]


def test_sets_without_files_have_no_original(toy):
    assert original_size(toy(), 0) is None
    assert EvalView(toy())[0]["size"].tolist() == [40, 60] and "invalid" not in EvalView(toy())[0]
    wrapper = toy()
    wrapper.dataset = inner = toy()
    assert unwrapped(wrapper) is inner


@pytest.mark.parametrize(("length", "world"), [(7, 3), (6, 3), (2, 4), (5, 1)])
def test_processes_share_a_set_in_equal_numbers_and_no_label_counts_twice(toy, length, world):
    seen, batches = [], set()
    for rank in range(world):
        loaded = list(make_eval_loader(toy(length=length), 1, 0, world, rank))
        batches.add(len(loaded))
        seen += [batch["name"][0] for batch in loaded if (batch["label"] != 255).any()]
    assert sorted(seen) == sorted(f"toy_{i}" for i in range(length))
    assert len(batches) == 1


def test_the_sampler_is_one_that_lightning_leaves_alone():
    sampler = EvalSampler(5, 2, 1)
    assert isinstance(sampler, torch.utils.data.DistributedSampler)
    assert list(sampler) == [1, 3, 5] and len(sampler) == 3


def test_pictures_to_predict_are_dealt_out_without_padding():
    shares = [list(EvalSampler(3, 5, rank, equal=False)) for rank in range(5)]
    assert shares == [[0], [1], [2], [], []]
