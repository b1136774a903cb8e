"""The feature distance equals the authors', and is 0 where theirs is not a number."""

import pytest
import torch
import torch.nn.functional as F
from golden import Golden, randn
from hypothesis import given, settings
from hypothesis import strategies as st

from dsrnss.adaptation.feature_distance import FeatureDistanceConfig, feature_distance, reduce_labels
from dsrnss.errors import ConfigError
from dsrnss.labels import CITYSCAPES

CLASSES = CITYSCAPES.feature_distance


@pytest.mark.parametrize("case", ["s16_r0.75", "s16_r0.5", "s8_r0.75", "s4_r0.75"])
def test_reduced_labels_are_the_authors(case: str) -> None:
    golden = Golden("07_feat_dist")
    scale, share = int(case[1:].split("_")[0]), float(case.split("_r")[1])
    reduced = reduce_labels(golden.tensor("label").long(), (64 // scale, 96 // scale), 19, share)
    assert torch.equal(reduced.byte(), golden.tensor(f"down_{case}")[:, 0])


@pytest.mark.parametrize(
    ("case", "classes", "share"),
    [
        ("featdist", CLASSES, 0.75),
        ("featdist_all_classes_None", None, 0.75),
        ("featdist_ratio0.5", CLASSES, 0.5),
    ],
)
def test_loss_and_gradient_are_the_authors(case: str, classes: tuple[int, ...] | None, share: float) -> None:
    golden = Golden("07_feat_dist")
    student, reference = randn(722, 2, 16, 4, 6).requires_grad_(), randn(723, 2, 16, 4, 6)
    labels = golden.tensor("label").long()
    loss = feature_distance(student, reference, labels, classes, 19, FeatureDistanceConfig(share=share))
    loss.backward()
    assert loss.item() == pytest.approx(golden.meta[case]["loss"], rel=1e-5)
    assert student.grad is not None
    assert golden.relative_error(f"{case}_grad", student.grad) < 1e-5
    assert student.grad.norm().item() == pytest.approx(golden.meta[case]["grad_norm"], rel=1e-5)


def test_masked_distance_is_the_authors() -> None:
    golden = Golden("07_feat_dist")
    student, reference = randn(722, 2, 16, 4, 6), randn(723, 2, 16, 4, 6)
    mask = golden.tensor("mfd_mask")[:, 0].long()
    plain = FeatureDistanceConfig(weight=1.0)
    assert feature_distance(student, reference, mask, (1,), 2, plain).item() == pytest.approx(
        golden.meta["masked_feat_dist"], rel=1e-6
    )
    assert feature_distance(student, reference, mask, None, 2, plain).item() == pytest.approx(
        golden.meta["masked_feat_dist_nomask"], rel=1e-6
    )


@pytest.mark.parametrize("labels", [torch.zeros(2, 32, 48).long(), torch.full((2, 32, 48), 255)])
def test_nothing_selected_is_zero_and_stays_in_the_graph(labels: torch.Tensor) -> None:
    student = torch.randn(2, 8, 4, 6, requires_grad=True)
    loss = feature_distance(student, torch.randn(2, 8, 4, 6), labels, CLASSES, 19)
    loss.backward()
    assert loss.item() == 0
    assert student.grad is not None and (student.grad == 0).all()


def test_equal_features_have_no_distance_and_a_finite_gradient() -> None:
    student = torch.randn(1, 8, 4, 6, requires_grad=True)
    loss = feature_distance(student, student.detach().clone(), torch.full((1, 16, 24), 13), CLASSES, 19)
    loss.backward()
    assert loss.item() == 0
    assert student.grad is not None and (student.grad == 0).all()


@given(st.integers(9, 90), st.integers(9, 90), st.integers(1, 9), st.integers(1, 9), st.integers(0, 9999))
@settings(max_examples=40, deadline=None)
def test_any_size_works_and_keeps_clear_majorities(height: int, width: int, h: int, w: int, seed: int) -> None:
    labels = torch.randint(0, 4, (2, height, width), generator=torch.Generator().manual_seed(seed))
    labels[labels == 3] = 255
    reduced = reduce_labels(labels, (h, w), 3, 0.75)
    assert reduced.shape == (2, h, w)
    assert set(reduced.unique().tolist()) <= {0, 1, 2, 255}
    assert (reduce_labels(torch.full((1, height, width), 2), (h, w), 3, 0.75) == 2).all()
    if height % h == 0 and width % w == 0 and height // h == width // w:
        one_hot = F.one_hot(labels.clamp(max=3), 4).permute(0, 3, 1, 2).float()
        share, best = F.avg_pool2d(one_hot, height // h).max(1)
        expected = torch.where((share >= 0.75) & (best < 3), best, 255)
        assert torch.equal(reduced, expected)


def test_ranges_are_checked() -> None:
    with pytest.raises(ConfigError, match=r"feature_distance\.share"):
        FeatureDistanceConfig(share=1.5)


def test_the_cosine_distance_is_between_0_and_2_whatever_the_features_length() -> None:
    student = randn(722, 2, 16, 4, 6)
    labels = torch.full((2, 64, 96), CLASSES[0])
    config = FeatureDistanceConfig(weight=1.0, distance="cosine")

    def distance(reference: torch.Tensor) -> float:
        return feature_distance(student, reference, labels, CLASSES, 19, config).item()

    assert distance(7 * student) == pytest.approx(0, abs=1e-6)
    assert distance(-student) == pytest.approx(2)


def test_an_unknown_distance_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"unknown distance 'cosin'\. Did you mean 'cosine'"):
        FeatureDistanceConfig(distance="cosin")  # type: ignore[arg-type]
