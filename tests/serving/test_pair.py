"""A night picture with its day reference."""

import numpy as np
import pytest
from PIL import Image

from dsrnss.data.synthnight import generate
from dsrnss.errors import RefusedError
from dsrnss.inference.segmenter import Segmenter
from dsrnss.labels import CITYSCAPES
from dsrnss.serving.pair import refine_pair


def nothing() -> None:
    pass


def test_the_day_corrects_large_static_classes() -> None:
    """With the packaged network, which the night of this scene misleads."""
    scene = generate("val", 3, size=(192, 384), reference=True)
    night, day = Image.fromarray(scene.image), Image.fromarray(scene.reference)
    plain, refined = refine_pair(Segmenter.from_pretrained(device="cpu"), night, day, "scene", nothing)
    static = np.isin(scene.label, CITYSCAPES.large_static)
    before, after = ((found.labels == scene.label)[static].mean() for found in (plain, refined.result))
    assert after > before + 0.1
    assert refined.flow.shape == (192, 384, 2)
    seen = refined.warped.any(-1)
    assert seen.mean() > 0.8
    truth = np.abs(refined.flow - scene.flow)[scene.flow_valid]
    assert np.median(truth) < 2


def test_a_reference_of_another_size_is_taken(segmenter: Segmenter) -> None:
    night = Image.fromarray(generate("val", 0, size=(96, 192), reference=False).image)
    plain, refined = refine_pair(segmenter, night, night.resize((300, 200)), "a", nothing)
    assert plain.labels.shape == refined.result.labels.shape == (96, 192)
    assert plain.name == refined.result.name == "a"
    assert 0 <= refined.agreement.min() <= refined.agreement.max() <= 1


def test_it_can_be_stopped_between_its_steps(segmenter: Segmenter) -> None:
    def over() -> None:
        raise RefusedError("over", 503)

    night = Image.fromarray(generate("val", 0, size=(96, 192), reference=False).image)
    with pytest.raises(RefusedError):
        refine_pair(segmenter, night, night, "a", over)
