"""MiT has the sizes of its paper."""

import pytest
import torch

from dsrnss.models.backbones.mit import MixTransformer


@pytest.mark.parametrize(("variant", "millions"), [("mit_b1", 13.2), ("mit_b2", 24.2), ("mit_b5", 81.4)])
def test_sizes_are_those_of_the_paper(variant: str, millions: float) -> None:
    with torch.device("meta"):
        network = MixTransformer(variant)
    assert sum(p.numel() for p in network.parameters()) / 1e6 == pytest.approx(millions, abs=0.6)
