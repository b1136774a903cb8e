"""FPA equals the authors', for any number of images, and is 0 where theirs is not a number."""

import pytest
import torch
import torch.nn.functional as F
from golden import Golden, randn
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from dsrnss.adaptation.prototypes import PrototypeConfig, contrast
from dsrnss.errors import ConfigError


def _case(golden: Golden, case: str) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    shape = (1, 8, 2, 2) if case == "tiny" else (1, 16, 16, 24)
    seeds = {"tiny": (736, 738), "self": (731, 731)}.get(case, (731, 732))
    features_s, features_t = (randn(seed, *shape) for seed in seeds)
    labels = [golden.tensor(f"{case}_label_{side}").long() for side in "st"]
    return features_s.requires_grad_(), labels[0], features_t.requires_grad_(), labels[1]


@pytest.mark.parametrize("case", ["base", "t_noignore", "full_overlap", "self", "one_class", "tiny"])
def test_loss_and_gradients_are_the_authors(case: str) -> None:
    golden = Golden("07_metric_loss")
    features_s, labels_s, features_t, labels_t = _case(golden, case)
    loss = contrast(features_s, labels_s, features_t, labels_t, 19)
    loss.backward()
    recorded = golden.meta[f"case_{case}"]
    assert loss.item() == pytest.approx(float(recorded["loss"]), rel=1e-5)
    for side, features in (("s", features_s), ("t", features_t)):
        assert features.grad is not None
        assert features.grad.norm().item() == pytest.approx(float(recorded[f"grad_norm_{side}"]), rel=1e-4)
        assert golden.relative_error(f"{case}_grad_{side}", features.grad) < 1e-4


def test_a_target_without_gradient_leaves_the_source_gradient() -> None:
    golden = Golden("07_metric_loss")
    features_s, labels_s, features_t, labels_t = _case(golden, "base")
    loss = contrast(features_s, labels_s, features_t.detach(), labels_t, 19)
    loss.backward()
    recorded = golden.meta["case_base_detached_t"]
    assert loss.item() == pytest.approx(recorded["loss"], rel=1e-5)
    assert features_s.grad is not None
    assert features_s.grad.norm().item() == pytest.approx(recorded["grad_norm_s"], rel=1e-4)


@pytest.mark.parametrize("case", ["no_overlap", "all_ignore_t"])
def test_no_shared_class_is_zero_and_stays_in_the_graph(case: str) -> None:
    features_s, labels_s, features_t, labels_t = _case(Golden("07_metric_loss"), case)
    loss = contrast(features_s, labels_s, features_t, labels_t, 19)
    loss.backward()
    assert loss.item() == 0
    for features in (features_s, features_t):
        assert features.grad is not None and (features.grad == 0).all()


def _naive(a: Tensor, labels_a: Tensor, b: Tensor, labels_b: Tensor, weights: Tensor) -> Tensor:
    """Method section 5, word for word, for one pair: (D, h, w), (H, W), ..., (C,)."""
    total, number = a.new_zeros(()), len(weights)
    small = [
        F.interpolate(y[None, None].float(), x.shape[1:], mode="nearest")[0, 0]
        for x, y in ((a, labels_a), (b, labels_b))
    ]
    shared = torch.tensor([bool((small[0] == c).any() and (small[1] == c).any()) for c in range(number)])
    for x, y, other, labels in ((a, small[0], b, labels_b), (b, small[1], a, labels_a)):
        channels = []
        for c in range(number):
            if (y == c).any():
                prototype = x[:, y == c].mean(1)
                channels.append(F.cosine_similarity(prototype[:, None, None], other, dim=0))
            else:
                channels.append(torch.full(other.shape[1:], -1.0))
        logits = F.interpolate(10 * torch.stack(channels)[None], labels.shape, mode="nearest")
        if (torch.isin(labels, shared.nonzero()[:, 0])).any():
            total = total + 0.1 * F.cross_entropy(logits, labels[None], weights * shared, ignore_index=255)
    return total


sizes = st.tuples(st.integers(5, 30), st.integers(5, 30), st.integers(1, 5), st.integers(1, 5))


@given(st.integers(1, 4), sizes, st.integers(0, 9999), st.booleans())
@settings(max_examples=40, deadline=None)
def test_any_batch_and_size_equals_the_naive_way(
    images: int, size: tuple[int, int, int, int], seed: int, weighted: bool
) -> None:
    height, width, h, w = size
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(2, images, 6, h, w, generator=generator).requires_grad_()
    labels = torch.randint(0, 5, (2, images, height, width), generator=generator)
    labels[labels == 4] = 255
    weights = torch.rand(4, generator=generator) + 0.5 if weighted else None
    loss = contrast(features[0], labels[0], features[1], labels[1], 4, class_weights=weights)
    (gradient,) = torch.autograd.grad(loss, features)
    each = torch.ones(4) if weights is None else weights
    naive = torch.stack(
        [_naive(features[0, i], labels[0, i], features[1, i], labels[1, i], each) for i in range(images)]
    ).mean()
    assert torch.allclose(loss, naive, rtol=1e-4, atol=1e-6)
    if naive.requires_grad:
        (expected,) = torch.autograd.grad(naive, features)
        assert torch.allclose(gradient, expected, rtol=1e-3, atol=1e-6)
    order = torch.randperm(images, generator=generator)
    permuted = contrast(features[0, order], labels[0, order], features[1, order], labels[1, order], 4, None, weights)
    assert torch.allclose(loss, permuted, rtol=1e-5)


def test_features_of_no_length_give_a_finite_gradient() -> None:
    features = torch.zeros(2, 1, 4, 3, 3, requires_grad=True)
    labels = torch.zeros(1, 12, 12).long()
    loss = contrast(features[0], labels, features[1], labels, 3)
    loss.backward()
    assert loss.isfinite() and features.grad is not None and features.grad.isfinite().all()


def test_raised_classes_count_more() -> None:
    generator = torch.Generator().manual_seed(1)
    features = torch.randn(2, 1, 4, 2, 2, generator=generator)
    labels = torch.tensor([[[0, 0], [0, 1]]])
    even, rare, common = (
        contrast(features[0], labels, features[1], labels, 2, class_weights=torch.tensor(w))
        for w in ([1.0, 1.0], [0.0, 1.0], [1.0, 0.0])
    )
    assert min(rare, common) < even < max(rare, common)


def test_when_the_loss_begins() -> None:
    assert not PrototypeConfig().is_due(9663, 7)
    assert PrototypeConfig().is_due(9664, 8)
    assert PrototypeConfig(start_step=5).is_due(5, 0)
    assert not PrototypeConfig(start_step=5).is_due(4, 100)
    assert PrototypeConfig(start_epoch=None).is_due(0, 0)
    assert not PrototypeConfig(enabled=False, start_epoch=None).is_due(10**6, 10**6)


def test_weight_of_the_mixed_images() -> None:
    assert PrototypeConfig().mixed_weight(hrda=True) == 0.01
    assert PrototypeConfig().mixed_weight(hrda=False) == 0.1
    assert PrototypeConfig(weight_mixed=0.0).mixed_weight(hrda=True) == 0
    with pytest.raises(ConfigError, match="weight_mixed"):
        PrototypeConfig(weight_mixed=-1)
