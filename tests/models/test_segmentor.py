"""Prediction by windows, and which networks there are."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dsrnss.errors import ConfigError
from dsrnss.models.config import NetworkConfig
from dsrnss.models.factory import build_segmentor
from dsrnss.models.grid import window_boxes
from dsrnss.models.segmentor import Segmentor


def _network(backbone: str) -> Segmentor:
    torch.manual_seed(0)
    return build_segmentor(NetworkConfig(backbone=backbone, head_channels=16))


def test_one_window_that_covers_the_image_is_the_whole_image() -> None:
    network, images = _network("compact").eval(), torch.randn(2, 3, 64, 96)
    with torch.no_grad():
        whole = network.predict(images)
        slid = network.predict(images, mode="slide", window=(64, 96), stride=(32, 32))
    assert torch.allclose(whole, slid, atol=1e-6)


def test_windows_are_averaged_and_may_be_batched() -> None:
    network, images = _network("compact").eval(), torch.randn(2, 3, 64, 80)
    with torch.no_grad():
        one = network.predict(images, mode="slide", window=(64, 48), stride=(64, 32), window_batch=1)
        many = network.predict(images, mode="slide", window=(64, 48), stride=(64, 32), window_batch=3)
        left = network.predict(images[..., :48])
    assert torch.allclose(one, many, atol=1e-5)
    assert torch.allclose(one[..., :32], left[..., :32], atol=1e-5)


@given(
    st.tuples(st.integers(1, 300), st.integers(1, 300)),
    st.tuples(st.integers(16, 120), st.integers(16, 120)),
    st.tuples(st.integers(16, 120), st.integers(16, 120)),
)
@settings(max_examples=60)
def test_windows_cover_the_image_and_stay_inside(
    size: tuple[int, int], window: tuple[int, int], stride: tuple[int, int]
) -> None:
    window = (min(window[0], size[0]), min(window[1], size[1]))
    stride = (min(stride[0], window[0]), min(stride[1], window[1]))
    covered = torch.zeros(size, dtype=torch.bool)
    for row, column in window_boxes(size, window, stride):
        assert row >= 0 and column >= 0 and row + window[0] <= size[0] and column + window[1] <= size[1]
        covered[row : row + window[0], column : column + window[1]] = True
    assert covered.all()


@pytest.mark.parametrize("pair", [32, (32.0, 32.0), (32, 32, 32), "32", (True, 32), (0, 32), (32, -1)])
@pytest.mark.parametrize("name", ["window", "stride"])
def test_window_and_stride_are_pairs(name: str, pair: object) -> None:
    options = {"window": (32, 32), "stride": (16, 16), name: pair}
    with pytest.raises(ConfigError, match=f"{name} is a height and a width"):
        _network("compact").predict(torch.zeros(1, 3, 40, 40), mode="slide", **options)  # type: ignore[arg-type]


def test_no_pixel_lies_between_the_windows() -> None:
    network, images = _network("compact").eval(), torch.zeros(1, 3, 32, 48)
    with pytest.raises(ConfigError, match="gaps between windows"):
        network.predict(images, mode="slide", window=(32, 16), stride=(32, 32))
    with torch.no_grad():  # where the window covers the image there is one, and no gap
        assert network.predict(images, mode="slide", window=(32, 64), stride=(64, 128)).isfinite().all()


def test_official_windows_of_dark_zurich() -> None:
    boxes = list(window_boxes((1080, 1920), (1080, 1080), (420, 420)))
    assert boxes == [(0, 0), (0, 420), (0, 840)]


def test_unknown_parts_are_named() -> None:
    with pytest.raises(ConfigError, match="Did you mean 'mit_b5'"):
        build_segmentor(NetworkConfig(backbone="mitb5"))
    with pytest.raises(ConfigError, match="daformer"):
        build_segmentor(NetworkConfig(backbone="compact", head="daforner"))
    with pytest.raises(ConfigError, match="window"):
        _network("compact").predict(torch.zeros(1, 3, 32, 32), mode="slide")


@pytest.mark.parametrize("hrda", [False, True])
def test_a_backbone_that_is_recomputed_keeps_less_and_learns_the_same(hrda: bool) -> None:
    torch.manual_seed(0)
    network = build_segmentor(NetworkConfig("mit_b0", "segformer", 8, hrda=hrda))  # stochastic depth is on
    images, found = torch.randn(2, 3, 64, 64), []
    for recompute in (False, True):
        network.set_recompute_backbone(recompute)
        kept: list[int] = []

        def keep(tensor: torch.Tensor, kept: list[int] = kept) -> torch.Tensor:
            kept.append(tensor.nbytes)
            return tensor

        torch.manual_seed(1)
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            loss = network(images, (0, 8) if hrda else None).logits.square().mean()
        found.append((loss, torch.autograd.grad(loss, [*network.backbone.parameters()]), sum(kept)))
    (loss, gradients, kept_all), (loss_again, gradients_again, kept_few) = found
    assert torch.equal(loss, loss_again)
    assert all(map(torch.equal, gradients, gradients_again))
    assert kept_few < 0.5 * kept_all


def test_batch_norms_are_not_recomputed() -> None:
    with pytest.raises(ConfigError, match=r"recompute_backbone.*has batch norms"):
        _network("resnet18_v1c").set_recompute_backbone(True)


@pytest.mark.parametrize("training", [True, False])
def test_on_a_cpu_the_backbone_sees_few_images_at_once_where_each_is_seen_for_itself(
    training: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = build_segmentor(NetworkConfig("mit_b0", "segformer")).train(training)
    images = torch.randn(5, 3, 64, 96, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        network.eval()
        whole = network(images)
        network.train(training)
        monkeypatch.setattr("dsrnss.models.segmentor._PIXELS_AT_ONCE", 2 * 64 * 96)
        seen: list[int] = []
        network.backbone.register_forward_pre_hook(lambda _, given: seen.append(len(given[0])))
        found = network(images)
    assert seen == ([5] if training else [2, 2, 1])
    if not training:
        torch.testing.assert_close(found.logits, whole.logits)
        for one, other in zip(found.features, whole.features, strict=True):
            torch.testing.assert_close(one, other)


def test_frozen_batch_norms_rest_in_training_and_their_weights_learn() -> None:
    network = _network("compact").train()
    network.freeze_batch_norm()
    network.eval().train()  # as an evaluation does it on the way
    modes = {isinstance(module, torch.nn.BatchNorm2d): module.training for module in network.modules()}
    assert modes == {True: False, False: True}
    before = {name: buffer.clone() for name, buffer in network.named_buffers()}
    network(torch.randn(2, 3, 64, 64)).logits.square().mean().backward()
    assert all(torch.equal(buffer, before[name]) for name, buffer in network.named_buffers())
    assert all(parameter.grad is not None for parameter in network.parameters())
    network.freeze_batch_norm(False)
    assert all(module.training for module in network.modules())
