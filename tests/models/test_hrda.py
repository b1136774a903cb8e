"""HRDA: equal to the authors' code where that runs, and defined at every size."""

import random

import pytest
import torch
from golden import Golden, filled, randn
from torch import Tensor

from dsrnss.adaptation.teacher import EMATeacher
from dsrnss.errors import ConfigError
from dsrnss.models.config import NetworkConfig
from dsrnss.models.factory import build_segmentor
from dsrnss.models.grid import window_boxes
from dsrnss.models.hrda import HRDA, OFFSET_STEP, detail_offset, offset_counts

CONFIG = NetworkConfig("mit_b0", "daformer", hrda=True)


@pytest.fixture(scope="module")
def golden() -> Golden:
    return Golden("05_hrda_mit_b0_inference")


@pytest.fixture(scope="module")
def network(golden: Golden) -> HRDA:
    network = build_segmentor(CONFIG)
    assert isinstance(network, HRDA)
    keys = golden.keys()
    network.load_state_dict(filled({key: keys[key] for key in network.state_dict()}))
    return network.eval()


@pytest.fixture
def small() -> HRDA:
    torch.manual_seed(0)
    network = build_segmentor(NetworkConfig("compact", "fpn", 8, hrda=True))
    assert isinstance(network, HRDA)
    return network


@torch.no_grad()
def test_context_and_attention(network: HRDA, golden: Golden) -> None:
    features = network.encode(randn(105, 1, 3, 256, 320))
    for i, feature in enumerate(features):
        assert golden.relative_error(f"lr_c{i + 1}", feature) < 1e-5
    assert golden.relative_error("att", network.hrda_scale_attention(features).sigmoid()) < 1e-5


def test_detail_boxes_are_the_authors() -> None:
    golden = Golden("07_hrda_crops")
    for case in golden.meta["extract_slide_crop"]:
        (height, width), (h, w) = case["img"], case["crop"]
        boxes = [[y, y + h, x, x + w] for y, x in window_boxes((height, width), (h, w), (h // 2, w // 2))]
        assert boxes == case["boxes"]
    for case in golden.meta["extract_crop"]:
        if case["crop"] != [side // 2 for side in case["img"]] or not case["box"]:
            continue
        random.seed(case["seed"])
        top, left = (random.randrange(n) * OFFSET_STEP for n in offset_counts(tuple(case["img"]), official=True))
        assert case["box"] == [[top, top + case["crop"][0], left, left + case["crop"][1]]]


def test_our_draw_reaches_the_last_offset_and_the_official_one_does_not() -> None:
    generator = torch.Generator().manual_seed(0)
    ours = {detail_offset((128, 64), generator) for _ in range(300)}
    official = {detail_offset((128, 64), generator, official=True) for _ in range(300)}
    assert {top for top, _ in ours} == set(range(0, 65, 8)) and {left for _, left in ours} == {0, 8, 16, 24, 32}
    assert max(top for top, _ in official) == 56 and max(left for _, left in official) == 24


@torch.no_grad()
@pytest.mark.parametrize("size", [(1, 1), (65, 70), (100, 100), (96, 200), (135, 271), (540 // 4, 960 // 4)])
def test_every_size(small: HRDA, size: tuple[int, int]) -> None:
    images = torch.randn(2, 3, *size)
    logits = small.eval().predict(images)
    assert logits.shape == (2, 19, *size) and torch.isfinite(logits).all()
    assert small(images).logits.shape[-2:] == tuple(-(-side // 4) for side in size)


@pytest.mark.parametrize("size", [(64, 96), (100, 120), (101, 131)])
def test_a_training_pass_of_every_size(small: HRDA, size: tuple[int, int]) -> None:
    for offset in ((0, 0), (8 * ((size[0] - size[0] // 2) // 8), 8)):
        output = small(torch.randn(2, 3, *size), offset)
        assert output.detail is not None
        assert output.logits.shape[-2:] == tuple(-(-side // 4) for side in size)
        assert output.detail.box == (*offset, size[0] // 2, size[1] // 2)
        output.logits.sum().backward()


def test_outside_the_detail_crop_only_the_context_counts(small: HRDA) -> None:
    images = torch.randn(1, 3, 128, 128)
    changed = images.clone()
    small.eval()
    with torch.no_grad():
        first = small(images, (0, 0)).logits
        small.hrda_scale_attention.linear_pred.bias.add_(100.0)
        attentive = small(changed, (0, 0)).logits
    assert not torch.allclose(first[..., :14, :14], attentive[..., :14, :14])
    assert torch.equal(first[..., 18:, 18:], attentive[..., 18:, 18:])


@torch.no_grad()
def test_images_do_not_depend_on_their_batch(small: HRDA) -> None:
    images = torch.randn(3, 3, 96, 128)
    together = small.eval().predict(images)
    alone = torch.cat([small.predict(image[None]) for image in images])
    assert torch.allclose(together, alone, atol=1e-5)


def test_batch_norms_in_train_mode_see_all_views_at_once(small: HRDA) -> None:
    seen: list[int] = []

    def note(_: torch.nn.Module, inputs: tuple[Tensor, ...]) -> None:
        seen.append(len(inputs[0]))

    small.backbone.register_forward_pre_hook(note)
    small.train()(torch.randn(2, 3, 64, 64))
    assert seen == [2 * (1 + 9)]


@torch.no_grad()
def test_tiles_lie_side_by_side(small: HRDA) -> None:
    seen: list[int] = []
    small.train().backbone.register_forward_pre_hook(lambda _, inputs: seen.append(len(inputs[0])))
    images = torch.randn(2, 3, 64, 96)
    teacher, slow = (EMATeacher(small, detail=detail) for detail in ("tiles", "overlapping"))
    assert teacher(images).shape == slow(images).shape == (2, 19, 64, 96)
    teacher.network(images)  # evaluated, it overlaps as ever
    assert seen == [2 * (1 + views) for views in (4, 9, 9)]


@torch.no_grad()
def test_a_fast_teacher_sees_references_in_context_alone(small: HRDA) -> None:
    seen: list[int] = []
    small.eval().backbone.register_forward_pre_hook(lambda _, inputs: seen.append(len(inputs[0])))
    night, day = torch.randn(2, 2, 3, 64, 96)
    teacher = EMATeacher(small, detail="night_tiles")
    assert teacher(night, day).shape == (4, 19, 64, 96)
    assert seen == [2 + 2 + 2 * 4]
    teacher.network.eval()  # so that images do not depend on each other
    on_night, on_day = teacher(night, day).chunk(2)
    torch.testing.assert_close(on_night, teacher(night))
    context = teacher.network.logits_of(teacher.network.encode(day))
    expected = torch.nn.functional.interpolate(context, scale_factor=2, mode="bilinear", align_corners=False)
    expected = torch.nn.functional.interpolate(expected, (64, 96), mode="bilinear", align_corners=False)
    torch.testing.assert_close(on_day, expected)


def test_a_head_of_stride_8_is_refused() -> None:
    with pytest.raises(ConfigError, match="HRDA needs a head whose logits have stride 4"):
        build_segmentor(NetworkConfig("resnet18_v1c", "deeplabv2", hrda=True))
