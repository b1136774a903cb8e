import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision import tv_tensors
from torchvision.transforms import v2

from dsrnss.adaptation.geometry import warp
from dsrnss.data.base import crop_sample
from dsrnss.data.boxes import Box
from dsrnss.data.loading import TrainStream
from dsrnss.data.transforms import (
    WantedClass,
    flip_sample,
    largest_share,
    normalise_bytes,
    random_box,
    random_cut,
    random_label_box,
    resize_sample,
    to_model_input,
)
from dsrnss.errors import ConfigError
from dsrnss.normalisation import IMAGENET_MEAN, IMAGENET_STD


def test_crop_moves_every_plane_together(toy):
    sample = toy(references=True, flow=True)[3]
    cut = crop_sample(sample, Box(7, 11, 16, 20))
    assert cut["image"].shape == (3, 16, 20) and cut["label"].shape == (16, 20)
    assert cut["image"][:, 0, 0].tolist() == [3, 7, 11]
    assert cut["reference"][:, 0, 0].tolist() == [103, 107, 111]
    assert cut["flow"][:, 0, 0].tolist() == [11, 7]
    assert cut["label"].equal(sample["label"][7:23, 11:31])


def test_flip_mirrors_and_turns_the_flow(toy):
    sample = toy(references=True, flow=True)[0]
    flipped = flip_sample(sample)
    assert flipped["image"][2, 0].tolist() == sample["image"][2, 0].tolist()[::-1]
    assert flipped["flow"][0].equal(-sample["flow"][0].flip(-1))
    assert flipped["flow"][1].equal(sample["flow"][1].flip(-1))
    assert sample["flow"][0, 0, 5] == 5  # the sample itself is left alone
    back = flip_sample(flipped)
    assert all(back[k].equal(sample[k]) for k in ("image", "label", "reference", "flow", "confidence"))


@pytest.mark.parametrize("size", [(32, 48), (40, 90), (20, 30), (13, 50)])
def test_scaling_keeps_every_plane_on_the_same_places(size):
    # of places in a picture of 40 x 60: where a pixel is, and where what it shows is in the reference
    row, column = np.mgrid[:40, :60].astype(np.float32)
    picture = np.stack([3 * (column + 5), 4 * (row - 2), np.zeros_like(row)])
    reference = np.stack([3 * column, 4 * row, np.zeros_like(row)])
    sample = {
        "image": tv_tensors.Image(torch.from_numpy(picture.clip(0, 255)).to(torch.uint8)),
        "reference": tv_tensors.Image(torch.from_numpy(reference.clip(0, 255)).to(torch.uint8)),
        "label": tv_tensors.Mask(torch.from_numpy((column >= 30).astype(np.uint8))),
        "flow": torch.tensor([5.0, -2.0]).view(2, 1, 1).expand(2, 40, 60),
        "confidence": torch.from_numpy(column[None] / 60),
        "name": "toy",
    }
    scaled = resize_sample(sample, size)
    assert {scaled[k].shape[-2:] for k in ("image", "reference", "label", "flow", "confidence")} == {size}
    assert scaled["image"].dtype == scaled["label"].dtype == torch.uint8 and scaled["name"] == "toy"
    high, wide = size[0] / 40, size[1] / 60
    torch.testing.assert_close(scaled["flow"][:, 0, 0], torch.tensor([5 * wide, -2 * high]))
    warped, _ = warp(scaled["reference"][None].float(), scaled["flow"][None])
    inner = (slice(None), slice(size[0] // 5, -size[0] // 5), slice(size[1] // 5, -size[1] // 5))
    assert (warped[0][inner] - scaled["image"][inner].float()).abs().max() < 3.1  # less than a pixel of the original
    # the middle of the picture stays its middle
    assert abs(int((scaled["label"][0] == 0).sum()) - size[1] / 2) <= 0.5
    middle = scaled["confidence"][0, 0].sub(0.5).abs().argmin()
    assert abs(int(middle) - size[1] / 2) <= 1


@settings(deadline=None)
@given(
    size=st.tuples(st.integers(16, 90), st.integers(24, 90)),
    limits=st.tuples(st.floats(0.1, 10), st.floats(0.1, 10)).map(sorted),
    seed=st.integers(0, 99),
)
def test_cuts_keep_to_their_limits_their_shape_and_the_picture(size, limits, seed):
    crop = (16, 24)
    height, width = random_cut(size, crop, tuple(limits), np.random.default_rng(seed))
    assert 1 <= height <= size[0] and 1 <= width <= size[1]
    assert abs(height * 24 / 16 - width) <= 24 / 16 / 2 + 0.5  # rounded sides
    largest = min(size[0] / 16, size[1] / 24)
    for cut, side in ((height, 16), (width, 24)):
        assert side / limits[1] - 0.5 <= max(cut, 1) or cut == 1 or cut >= largest * side - 0.5
        assert cut <= max(side / limits[0], 1) + 0.5


def test_model_input_is_imagenet_normalised_and_plain(toy):
    sample = toy()[2]
    ready = to_model_input(sample)
    expected = (sample["image"].double().numpy() / 255 - np.reshape(IMAGENET_MEAN, (3, 1, 1))) / np.reshape(
        IMAGENET_STD, (3, 1, 1)
    )
    np.testing.assert_allclose(ready["image"], expected, atol=1e-5)
    assert type(ready["image"]) is torch.Tensor and ready["image"].is_contiguous()
    assert type(ready["label"]) is torch.Tensor and ready["label"].dtype == torch.int64
    assert sample["image"].dtype == torch.uint8


@pytest.mark.parametrize("interleaved", [True, False])
def test_normalisation_is_torchvision_s_to_the_last_bit(interleaved):
    pixels = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (30, 41, 3), np.uint8))
    planes = pixels.permute(2, 0, 1) if interleaved else pixels.permute(2, 0, 1).contiguous()
    for view in (planes, planes[:, 3:20, 5:33], planes.flip(-1)):
        expected = v2.functional.to_dtype(view, torch.float32, scale=True)
        expected = v2.functional.normalize(expected, list(IMAGENET_MEAN), list(IMAGENET_STD))
        assert torch.equal(normalise_bytes(view), expected)


def test_share_does_not_count_ignored_pixels():
    label = torch.full((4, 4), 255, dtype=torch.uint8)
    assert largest_share(label) == 1.0
    label[0] = torch.tensor([1, 1, 1, 2], dtype=torch.uint8)
    assert largest_share(label) == 0.75


def test_boxes_reach_every_position():
    rng = np.random.default_rng(0)
    boxes = {(b.top, b.left) for b in (random_box((18, 21), (16, 20), rng) for _ in range(200))}
    assert boxes == {(t, x) for t in range(3) for x in range(2)}


def test_label_boxes_avoid_one_class_and_find_the_wanted_one(toy):
    sample, rng = toy(size=(64, 64))[0], np.random.default_rng(0)
    plain = [random_box((64, 64), (16, 16), rng).cut(sample["label"]) for _ in range(200)]
    varied = [random_label_box(sample["label"], (16, 16), rng, 0.75).cut(sample["label"]) for _ in range(200)]
    alone = [np.mean([largest_share(c.as_subclass(torch.Tensor)) >= 0.75 for c in crops]) for crops in (plain, varied)]
    assert alone[0] > 0.5 and alone[1] < 0.2
    wanted = WantedClass(11, 40, attempts=10)
    found = [random_label_box(sample["label"], (16, 16), rng, 1.0, wanted).cut(sample["label"]) for _ in range(200)]
    shares = [np.mean([int((c == 11).sum()) > 40 for c in crops]) for crops in (plain, found)]
    assert shares[1] > 3 * shares[0]


def test_too_small_pictures_name_both_sizes(toy):
    with pytest.raises(ConfigError, match=r"crop_size 50x50 .* 'toy_.' of 40x60"):
        _ = TrainStream(toy(), (50, 50), seed=0, stream=0, flip=0)[0]
