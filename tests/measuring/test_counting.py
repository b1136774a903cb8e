"""Counting on tensors without values: operations by hand, memory as torch's own tracker sees it."""

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.distributed._tools.mem_tracker import MemTracker
from torch.nn import functional as F

from dsrnss.measuring.counting import Counter, GpuAutocast
from dsrnss.models.config import NetworkConfig
from dsrnss.models.factory import build_segmentor


@pytest.mark.parametrize("groups", [1, 4])
def test_a_convolution_backward_is_two_forward(groups: int) -> None:
    """torch's own counter is wrong here where there are groups."""
    convolution = nn.Conv2d(8, 8, 3, padding=1, groups=groups)
    images = torch.randn(2, 8, 5, 7, requires_grad=True)
    forward = 2 * 2 * 8 * (8 // groups) * 9 * 5 * 7
    with Counter() as counter:
        out = convolution(images).sum()
        assert counter.operations == forward
        out.backward()
    assert counter.operations == 3 * forward


def test_images_need_no_gradient() -> None:
    convolution = nn.Conv2d(8, 8, 3, padding=1)
    with Counter() as counter:
        convolution(torch.randn(2, 8, 5, 7)).sum().backward()
    assert counter.operations == 2 * (2 * 2 * 8 * 8 * 9 * 5 * 7)


def test_attention_is_counted() -> None:
    with FakeTensorMode(), Counter() as counter:
        query, key, value = (torch.empty(2, 3, 16, 8) for _ in range(3))
        F.scaled_dot_product_attention(query, key, value)
    assert counter.operations == 2 * (2 * 2 * 3 * 16 * 16 * 8)


def test_what_is_gone_is_not_counted() -> None:
    with FakeTensorMode(), Counter() as counter:
        first = torch.empty(1024)
        second = first * 2
        view = second[10:]
        assert counter.bytes == 2 * 4096
        del second
        assert counter.bytes == 2 * 4096, "the view keeps it"
        del view, first
        assert counter.bytes == 0
    assert counter.peak() == 2 * 4096


@pytest.mark.parametrize("config", [NetworkConfig("mit_b0", "daformer", hrda=True), NetworkConfig("compact", "fpn")])
def test_memory_is_what_torchs_tracker_sees(config: NetworkConfig) -> None:
    with torch.device("meta"):
        network = build_segmentor(config)
    with FakeTensorMode(allow_non_fake_inputs=True):
        network.to_empty(device="cpu")
        images = torch.empty(2, 3, 128, 128)

        def step() -> None:
            logits = network(images, (0, 0) if config.hrda else None).logits
            F.cross_entropy(logits, torch.zeros(2, 32, 32, dtype=torch.int64)).backward()

        counter, tracker = Counter(), MemTracker()
        counter.hold([*network.parameters(), *network.buffers(), images])
        with counter:
            step()
        network.zero_grad()
        tracker.track_external(network, images)
        with tracker:
            step()
    (snapshot,) = tracker.get_tracker_snapshot("peak").values()
    assert counter.peak() == pytest.approx(snapshot["Total"], rel=0.02)


def test_autocast_of_a_gpu_normalises_in_32_bits() -> None:
    norm, linear = nn.LayerNorm(4), nn.Linear(4, 4)
    with GpuAutocast(), torch.autocast("cpu", torch.bfloat16):
        features = linear(torch.randn(3, 4))
        assert features.dtype == torch.bfloat16
        assert norm(features).dtype == features.softmax(1).dtype == torch.float32
