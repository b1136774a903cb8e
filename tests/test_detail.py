"""What a test counts beyond the confusion matrix."""

import math

import numpy as np
import pytest
import torch

from dsrnss.detail import BINS, Detail, DetailCounts, ImageScore, calibration_error
from dsrnss.normalisation import normalise


def batch(first: int, labels: torch.Tensor, levels: list[float]) -> dict:
    """Grey pictures of some brightness with these labels."""
    images = torch.stack([torch.full((3, *labels.shape[1:]), level) for level in levels])
    indices = torch.arange(first, first + len(levels))
    names = [f"p{index}" for index in indices.tolist()]
    return {"image": normalise(images), "label": labels, "index": indices, "name": names}


@pytest.fixture
def pictures():
    torch.manual_seed(0)
    labels = torch.randint(0, 3, (12, 8, 8))
    labels[:, 0] = 255
    predictions = torch.where(torch.rand(labels.shape) < 0.7, labels.clamp(max=2), 0)
    return labels, predictions, torch.rand(labels.shape), [index / 20 for index in range(12)]


def counted(pictures, sizes: list[int]) -> Detail:
    labels, predictions, confidence, levels = pictures
    counts, first = DetailCounts(3), 0
    for size in sizes:
        part = slice(first, first + size)
        counts.update(batch(first, labels[part], levels[part]), predictions[part], confidence[part])
        first += size
    return counts.detail()


def test_batches_of_any_size_count_alike(pictures) -> None:
    whole, parts = counted(pictures, [12]), counted(pictures, [5, 1, 6])
    assert np.array_equal(whole.calibration, parts.calibration)
    assert whole.images == parts.images and whole.brightness == parts.brightness


def test_brightness_is_exact_in_half_precision_too(pictures) -> None:
    with torch.autocast("cpu", torch.bfloat16):
        half = counted(pictures, [12])
    assert [one.brightness for one in half.images] == [one.brightness for one in counted(pictures, [12]).images]


def test_calibration_is_that_of_its_definition(pictures) -> None:
    labels, predictions, confidence, _ = pictures
    known = labels != 255
    sure, right = confidence[known].double().numpy(), (predictions == labels)[known].numpy()
    bins = np.minimum((sure * BINS).astype(int), BINS - 1)
    expected = sum(
        (bins == b).mean() * abs(right[bins == b].mean() - sure[bins == b].mean())
        for b in range(BINS)
        if (bins == b).any()
    )
    found = counted(pictures, [12])
    assert found.calibration[:, 0].sum() == known.sum()
    assert found.calibration_error == pytest.approx(expected, abs=1e-5)
    assert math.isnan(calibration_error(np.zeros((BINS, 3))))


def test_pictures_have_name_brightness_and_scores(pictures) -> None:
    labels, predictions, _, _ = pictures
    found = counted(pictures, [12])
    assert [one.name for one in found.images] == [f"p{index}" for index in range(12)]
    assert [one.brightness for one in found.images] == pytest.approx([255 * i / 20 for i in range(12)], abs=0.02)
    known = labels[3] != 255
    truth, predicted = labels[3][known], predictions[3][known]
    overlap = [
        ((truth == c) & (predicted == c)).sum() / ((truth == c) | (predicted == c)).sum() for c in truth.unique()
    ]
    assert found.images[3].mean_iou == pytest.approx(float(torch.stack(overlap).mean()))
    assert found.images[3].accuracy == pytest.approx(float((truth == predicted).float().mean()))


def test_groups_go_from_dark_to_bright_and_hold_every_picture(pictures) -> None:
    groups = counted(pictures, [12]).brightness
    assert [group.pictures for group in groups] == [4, 4, 4]
    assert [group.brightness for group in groups] == sorted(group.brightness for group in groups)


def test_padding_and_unlabelled_pictures_count_nothing(pictures) -> None:
    labels, predictions, confidence, levels = pictures
    empty = torch.full_like(labels, 255)
    counts = DetailCounts(3)
    counts.update(batch(0, empty, levels), predictions, confidence)
    found = counts.detail()
    assert not found.images and not found.brightness and not found.calibration.any()


@pytest.mark.parametrize(("pictures_", "worst", "best"), [(8, 3, 3), (5, 3, 2), (1, 1, 0), (0, 0, 0)])
def test_no_picture_is_both_worst_and_best(pictures_: int, worst: int, best: int) -> None:
    images = [ImageScore(i, str(i), 0.0, (i * 7 % 11) / 11, 0.5) for i in range(pictures_)]
    low, high = Detail(np.zeros((BINS, 3)), images).extremes(3)
    assert (len(low), len(high)) == (worst, best)
    assert not {one.index for one in low} & {one.index for one in high}
    assert all(a.mean_iou <= b.mean_iou for a in low for b in high)
    assert [one.mean_iou for one in high] == sorted((one.mean_iou for one in high), reverse=True)
