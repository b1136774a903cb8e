"""The loss of logits that are smaller than their labels is that of their bilinear enlargement, however they lie."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from dsrnss.adaptation.criterion import build_criterion
from dsrnss.adaptation.losses import segmentation_loss
from dsrnss.models.segmentor import Detail, SegmentorOutput


def plain(logits: Tensor, labels: Tensor) -> Tensor:
    large = F.interpolate(logits.contiguous(), labels.shape[-2:], mode="bilinear", align_corners=False)
    return F.cross_entropy(large, labels, ignore_index=255, reduction="none").mean()


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("size", [(8, 12), (32, 48)])
def test_value_and_gradient_in_either_layout(layout: torch.memory_format, size: tuple[int, int]) -> None:
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 19, (2, *size), generator=generator)
    labels[:, :2] = 255
    logits = torch.randn(2, 19, 8, 12, generator=generator).contiguous(memory_format=layout).requires_grad_()
    detail = torch.randn(2, 19, 4, 6, generator=generator).contiguous(memory_format=layout).requires_grad_()
    box = (0, 4, size[0] // 2, size[1] // 2)
    output = SegmentorOutput(logits, [], Detail(detail, box))
    found = segmentation_loss(build_criterion("cross_entropy"), output, labels)
    cut = labels[:, : size[0] // 2, 4 : 4 + size[1] // 2]
    expected = 0.9 * plain(logits, labels) + 0.1 * plain(detail, cut)
    torch.testing.assert_close(found, expected)
    for one, other in zip(*(torch.autograd.grad(loss, (logits, detail)) for loss in (found, expected)), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-8)
