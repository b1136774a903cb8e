"""MiT has the sizes of its paper, and keeps little for its backward pass."""

import pytest
import torch

from dsrnss.models.backbones.mit import MixFFN, MixTransformer


@pytest.mark.parametrize(("variant", "millions"), [("mit_b1", 13.2), ("mit_b2", 24.2), ("mit_b5", 81.4)])
def test_sizes_are_those_of_the_paper(variant: str, millions: float) -> None:
    with torch.device("meta"):
        network = MixTransformer(variant)
    assert sum(p.numel() for p in network.parameters()) / 1e6 == pytest.approx(millions, abs=0.6)


def test_the_hidden_maps_of_the_mix_ffn_are_kept_once_for_the_backward_pass() -> None:
    ffn = MixFFN(8, 32).train()
    tokens = torch.randn(2, 6 * 10, 8, generator=torch.Generator().manual_seed(0), requires_grad=True)
    kept: list[int] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t.numel()) or t, lambda t: t):
        found = ffn(tokens, 6, 10)
    assert kept.count(tokens.numel() * 4) <= 1
    gradients = torch.autograd.grad(found.square().sum(), [tokens, *ffn.parameters()])
    ffn.eval()  # computes nothing again
    plain = ffn(tokens, 6, 10)
    assert torch.equal(found, plain)
    for one, other in zip(
        gradients, torch.autograd.grad(plain.square().sum(), [tokens, *ffn.parameters()]), strict=True
    ):
        assert torch.equal(one, other)
