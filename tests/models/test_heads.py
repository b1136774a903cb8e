"""Heads compute by short cuts what their papers' figures show."""

import copy
from collections.abc import Sequence

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from dsrnss.models.heads import streaming
from dsrnss.models.heads.daformer import DAFormerHead
from dsrnss.models.heads.layers import ConvModule
from dsrnss.models.heads.segformer import SegFormerHead


def _module(**options: int) -> ConvModule:
    torch.manual_seed(0)
    module = ConvModule(8, 12, 3, **options) if not options else ConvModule(8, 8, 3, **options)
    for tensor in (module.bn.weight, module.bn.bias, module.bn.running_mean, module.bn.running_var):
        nn.init.uniform_(tensor, 0.5, 1.5)
    return module


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("options", [{}, {"dilation": 6, "groups": 8}])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("momentum", [0.1, None])  # None: the mean of all batches, as swa_utils.update_bn asks for it
def test_without_gradient_a_conv_module_gives_the_same(
    training: bool, options: dict[str, int], layout: torch.memory_format, momentum: float | None
) -> None:
    learning = _module(**options).train(training)
    learning.bn.momentum = momentum
    watching = copy.deepcopy(learning)
    for _ in range(2):
        images = (torch.randn(3, 8, 20, 24) + 5).contiguous(memory_format=layout)
        expected = learning(images)
        with torch.no_grad():
            found = watching(images)
        torch.testing.assert_close(found, expected.detach(), rtol=1e-5, atol=1e-5)
    for name, buffer in learning.named_buffers():  # the statistics too
        torch.testing.assert_close(dict(watching.named_buffers())[name], buffer, rtol=1e-5, atol=1e-6)


def test_one_value_a_channel_has_no_statistics_with_or_without_gradient() -> None:
    module = _module().train()
    with torch.no_grad(), pytest.raises(ValueError, match="more than 1 value per channel"):
        module(torch.randn(1, 8, 1, 1))


def test_the_segformer_head_is_that_of_its_figure() -> None:
    torch.manual_seed(0)
    channels = (4, 6, 10, 16)
    head = SegFormerHead(channels, 5, 8, dropout=0.0)
    maps = [torch.randn(2, c, 32 // 2**i, 24 // 2**i, requires_grad=True) for i, c in enumerate(channels)]
    embedded = [getattr(head, f"linear_c{i}")(m) for i, m in enumerate(maps, start=1)]
    resized = [F.interpolate(m, (32, 24), mode="bilinear", align_corners=False) for m in embedded]
    expected = head.linear_pred(head.linear_fuse(torch.cat(resized[::-1], 1)))
    found = head(maps)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    inputs = [*maps, *head.parameters()]
    gradients = (torch.autograd.grad(logits.square().sum(), inputs) for logits in (found, expected))
    for ours, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4)


def _daformer() -> tuple[DAFormerHead, list[torch.Tensor]]:
    torch.manual_seed(0)
    channels = (4, 6, 10, 16)
    head = DAFormerHead(channels, 5, 8, dropout=0.0)
    return head, [torch.randn(3, c, 32 // 2**i, 24 // 2**i, requires_grad=True) for i, c in enumerate(channels)]


def _daformer_as_in_its_figure(head: DAFormerHead, maps: Sequence[torch.Tensor]) -> torch.Tensor:
    embedded = [layer(m) for layer, m in zip(head.embed_layers.values(), maps, strict=True)]
    resized = [F.interpolate(m, (32, 24), mode="bilinear", align_corners=False) for m in embedded]
    features, (first, *others) = torch.cat(resized, 1), head.fuse_layer.aspp_modules
    branches = [first(features), *(one.pointwise_conv(one.depthwise_conv(features)) for one in others)]
    logits: torch.Tensor = head.conv_seg(head.fuse_layer.bottleneck(torch.cat(branches, 1)))
    return logits


def _assert_same_statistics(one: nn.Module, other: nn.Module) -> None:
    for name, buffer in one.named_buffers():
        torch.testing.assert_close(dict(other.named_buffers())[name], buffer, rtol=1e-4, atol=1e-6)


def test_the_daformer_head_is_that_of_its_figure_and_its_batch_norms_see_a_batch_once() -> None:
    head, maps = _daformer()
    plain = copy.deepcopy(head)
    gradients = []
    for network, logits in ((head, head(maps)), (plain, _daformer_as_in_its_figure(plain, maps))):
        gradients.append([logits, *torch.autograd.grad(logits.square().sum(), [*maps, *network.parameters()])])
    for ours, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4)
    _assert_same_statistics(plain, head)


def test_the_daformer_head_keeps_less_for_the_backward_pass() -> None:
    kept = {}
    for name, forward in (("ours", lambda head, maps: head(maps)), ("figure", _daformer_as_in_its_figure)):
        head, maps = _daformer()
        found: dict[int, int] = {}

        def pack(tensor: torch.Tensor, found: dict[int, int] = found) -> torch.Tensor:
            storage = tensor.untyped_storage()
            found[storage.data_ptr()] = storage.nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            logits = forward(head, maps)
        kept[name] = sum(found.values())
        del logits
    assert kept["ours"] < 0.7 * kept["figure"]


@pytest.mark.parametrize("momentum", [0.1, None])
@pytest.mark.parametrize("values_at_once", [1, 10_000, 2**22])
def test_a_teachers_daformer_head_streams_and_gives_the_same(
    values_at_once: int, momentum: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(streaming._VALUES_AT_ONCE, "cpu", values_at_once)
    head, maps = _daformer()
    for module in head.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = momentum
    plain = copy.deepcopy(head)
    with torch.no_grad():
        found = head(maps)
    torch.testing.assert_close(found, _daformer_as_in_its_figure(plain, maps).detach(), rtol=1e-4, atol=1e-5)
    _assert_same_statistics(plain, head)


def test_under_autocast_a_teachers_daformer_head_sums_in_32_bits() -> None:
    head, maps = _daformer()
    with torch.no_grad():
        exact = copy.deepcopy(head)(maps)
        with torch.autocast("cpu", torch.bfloat16):
            found = head(maps)
    assert found.dtype == torch.bfloat16
    assert (found - exact).abs().max() < 0.03 * exact.abs().max()
