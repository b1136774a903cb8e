"""The classical aligner finds the motion between night and day well enough to help."""

import cv2
import numpy as np
import pytest
import torch

from dsrnss.adaptation.alignment import ClassicalAligner
from dsrnss.adaptation.alignment.classical import align_pair
from dsrnss.data.synthnight import generate
from dsrnss.labels import CITYSCAPES


def test_error_and_label_agreement_on_static_pixels() -> None:
    errors, agree, shares = [], [], []
    rows, columns = np.mgrid[0:192, 0:384].astype(np.float32)
    first = min(CITYSCAPES.dynamic)
    for index in range(5):
        scene = generate("target", index, size=(192, 384), seed=5)
        assert scene.reference is not None and scene.flow is not None and scene.flow_valid is not None
        assert scene.reference_label is not None
        flow, confidence = align_pair(scene.image, scene.reference)
        assert flow.shape == scene.flow.shape and confidence.min() >= 0 and confidence.max() <= 1
        errors.append(np.linalg.norm(flow - scene.flow, axis=-1)[scene.flow_valid])
        x, y = columns + flow[..., 0], rows + flow[..., 1]
        warped = cv2.remap(scene.reference_label, x, y, cv2.INTER_NEAREST, borderValue=255)
        sure = (scene.label < first) & (warped < first) & (confidence > 0.5)
        agree.append((warped == scene.label)[sure])
        shares.append((confidence > 0.5)[scene.flow_valid])
    assert np.median(np.concatenate(errors)) < 2.6, "pixels"
    assert np.concatenate(agree).mean() > 0.95, "where it is sure it is right"
    assert np.concatenate(shares).mean() > 0.25, "it is sure of a fair share"


def test_a_picture_aligned_with_itself_does_not_move() -> None:
    scene = generate("source", 0, size=(96, 192))
    flow, confidence = align_pair(scene.image, scene.image)
    assert np.abs(flow).max() < 0.5
    assert confidence.mean() > 0.9


@pytest.mark.parametrize("shift", [(5, 3), (-8, 2), (12, -6)])
def test_a_shift_is_recovered(shift: tuple[int, int]) -> None:
    picture = generate("source", 3, size=(128, 224)).image
    x, y = shift
    target, reference = picture[16:-16, 16:-16], picture[16 - y : 112 - y, 16 - x : 208 - x]
    flow, confidence = align_pair(np.ascontiguousarray(target), np.ascontiguousarray(reference))
    assert np.median(np.linalg.norm(flow - shift, axis=-1)) < 0.5
    assert (confidence > 0.5).mean() > 0.7


@pytest.mark.parametrize("size", [(32, 32), (33, 47), (300, 32)])
def test_no_picture_is_an_error(size: tuple[int, int]) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    black, grey = np.zeros_like(noise), np.full_like(noise, 128)
    for target, reference in (
        (black, black),
        (black, grey),
        (noise, black),
        (grey, noise),
        (noise, noise[::-1].copy()),
    ):
        flow, confidence = align_pair(target, reference)
        assert flow.shape == (*size, 2) and confidence.shape == size
        assert np.isfinite(flow).all() and (confidence >= 0).all() and (confidence <= 1).all()
    flow, confidence = align_pair(black, grey)
    assert np.abs(flow).max() < 0.01 and confidence.max() < 0.5, "without structure: no motion, and not sure of it"


def test_the_same_pair_gives_the_same_flow() -> None:
    scene = generate("target", 0, size=(96, 192))
    assert scene.reference is not None
    first = align_pair(scene.image, scene.reference)
    for size in range(1, 60):
        _kept = [bytearray(97 * size) for _ in range(20)]  # arrays lie at other addresses each time
        again = align_pair(scene.image, scene.reference)
        assert np.array_equal(first[0], again[0]) and np.array_equal(first[1], again[1])


def test_classical_aligner_on_batches() -> None:
    images = torch.randn(2, 3, 64, 96)
    alignment = ClassicalAligner()(images, images)
    assert alignment.flow.shape == (2, 2, 64, 96)
    assert alignment.confidence is not None and alignment.confidence.shape == (2, 1, 64, 96)
