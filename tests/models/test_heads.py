"""Heads compute by short cuts what their papers' figures show."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

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
def test_without_gradient_a_conv_module_gives_the_same(
    training: bool, options: dict[str, int], layout: torch.memory_format
) -> None:
    learning = _module(**options).train(training)
    watching = copy.deepcopy(learning)
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
