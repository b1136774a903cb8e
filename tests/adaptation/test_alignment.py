"""The classical aligner finds the motion between night and day well enough to help."""

import numpy as np
import torch

from dsrnss.adaptation.alignment import ClassicalAligner
from dsrnss.adaptation.classical import align_pair
from dsrnss.data.synthnight import generate


def test_median_error_and_confidence_on_static_pixels() -> None:
    errors, confident, moved = [], [], []
    for index in range(12):
        scene = generate("target", index, size=(192, 384))
        assert scene.reference is not None and scene.flow is not None and scene.flow_valid is not None
        flow, confidence = align_pair(scene.image, scene.reference)
        assert flow.shape == scene.flow.shape and confidence.min() >= 0 and confidence.max() <= 1
        error = np.linalg.norm(flow - scene.flow, axis=-1)[scene.flow_valid]
        errors.append(error)
        confident.append(error[confidence[scene.flow_valid] > 0.5])
        moved.append(np.linalg.norm(scene.flow, axis=-1)[scene.flow_valid])
    median = np.median(np.concatenate(errors))
    assert median < 0.6 * np.median(np.concatenate(moved)), "better than taking the reference as it lies"
    assert np.median(np.concatenate(confident)) < median, "where it is sure it is better"


def test_a_picture_aligned_with_itself_does_not_move() -> None:
    scene = generate("source", 0, size=(96, 192))
    flow, confidence = align_pair(scene.image, scene.image)
    assert np.abs(flow).mean() < 0.1
    assert confidence.mean() > 0.9


def test_a_picture_without_structure_is_no_error() -> None:
    flow, confidence = align_pair(np.zeros((64, 96, 3), np.uint8), np.zeros((64, 96, 3), np.uint8))
    assert np.isfinite(flow).all() and np.isfinite(confidence).all()


def test_classical_aligner_on_batches() -> None:
    images = torch.randn(2, 3, 64, 96)
    alignment = ClassicalAligner()(images, images)
    assert alignment.flow.shape == (2, 2, 64, 96)
    assert alignment.confidence is not None and alignment.confidence.shape == (2, 1, 64, 96)
