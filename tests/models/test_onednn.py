"""Linear layers by oneDNN: the numbers of torch's, and only where nothing but numbers is asked for."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from dsrnss.models import onednn

LAYER = nn.Linear(48, 80)


def _pointwise(tokens: Tensor) -> Tensor:
    features = tokens.unflatten(1, (7, 9)).permute(0, 3, 1, 2)
    return onednn.pointwise(features, LAYER.weight[..., None, None], LAYER.bias).flatten(2).transpose(1, 2)


CALLS = pytest.mark.parametrize("call", [lambda tokens: onednn.linear(LAYER, tokens), _pointwise])


@CALLS
@pytest.mark.parametrize("batch", [1, 3])
def test_the_numbers_are_torchs(call: Callable[[Tensor], Tensor], batch: int) -> None:
    tokens = torch.randn(batch, 63, 48)
    with torch.no_grad():
        torch.testing.assert_close(call(tokens), LAYER(tokens))
        repeated = tokens[:, :1].expand(-1, 63, -1)
        torch.testing.assert_close(call(repeated), LAYER(repeated))


@CALLS
def test_gradients_precision_and_graphs_are_torchs(call: Callable[[Tensor], Tensor]) -> None:
    tokens = torch.randn(1, 63, 48, requires_grad=True)
    (gradient,) = torch.autograd.grad(call(tokens).sum(), tokens)
    torch.testing.assert_close(gradient, LAYER.weight.sum(0).expand_as(gradient))
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        assert call(tokens).dtype == torch.bfloat16
