"""The networks equal the authors' on weights filled by a rule."""

import pytest
import torch
from golden import Golden, fill_, randn

from dsrnss.models.backbones.mit import MixTransformer
from dsrnss.models.heads.daformer import DAFormerHead


def test_mit_b0_features() -> None:
    golden = Golden("01_mit_b0")
    network = MixTransformer("mit_b0")
    assert {k: list(v.shape) for k, v in network.state_dict().items()} == golden.keys()
    with torch.no_grad():
        features = fill_(network).eval()(randn(101, 2, 3, 128, 160))
    for i, feature in enumerate(features):
        assert golden.relative_error(f"c{i + 1}", feature) < 1e-5


def test_daformer_logits() -> None:
    golden = Golden("04_daformer_head")
    head = DAFormerHead([64, 128, 320, 512], 19)
    assert {k: list(v.shape) for k, v in head.state_dict().items()} == golden.keys()
    sizes = [(64, 32, 40), (128, 16, 20), (320, 8, 10), (512, 4, 5)]
    with torch.no_grad():
        logits = fill_(head).eval()([randn(104 + i, 2, *size) for i, size in enumerate(sizes)])
    assert golden.relative_error("logits", logits) < 1e-5


@pytest.mark.parametrize(("variant", "millions"), [("mit_b1", 13.2), ("mit_b2", 24.2), ("mit_b5", 81.4)])
def test_sizes_are_those_of_the_paper(variant: str, millions: float) -> None:
    with torch.device("meta"):
        network = MixTransformer(variant)
    assert sum(p.numel() for p in network.parameters()) / 1e6 == pytest.approx(millions, abs=0.6)
