"""Labels of logits that come in bands are those of all logits at once."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from dsrnss.inference import labelling, torch_engine
from dsrnss.inference.labelling import StripLabeller
from dsrnss.inference.segmenter import Segmenter

Pair = tuple[int, int]
SIDES = st.tuples(st.integers(1, 40), st.integers(1, 40))


@given(SIDES, SIDES, st.lists(st.integers(1, 12), max_size=12), st.integers(0, 2**32 - 1), st.booleans())
@settings(max_examples=80, deadline=None)
def test_the_cuts_between_bands_are_not_seen(
    working: Pair, size: Pair, heights: list[int], seed: int, by_torch: bool
) -> None:
    scores = torch.from_numpy(np.random.default_rng(seed).normal(0, 3, (4, *working)).astype(np.float32))
    module = torch_engine if by_torch else labelling
    values = scores if by_torch else scores.numpy()
    whole, cut = (StripLabeller(working[0], size, module.label_rows, module.join_rows) for _ in range(2))
    whole.add(values)
    top = 0
    for height in [*heights, working[0]]:
        if top < working[0]:
            band = values[:, top : top + height]
            buffer = band.clone() if by_torch else band.copy()  # its memory is used again
            cut.add(buffer)
            buffer[:] = np.nan
        top += height
    assert (cut.labels == whole.labels).all()
    np.testing.assert_allclose(cut.confidence, whole.confidence, rtol=1e-5)


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("height", [50, 90, 200])
def test_pictures_by_windows_are_labelled_as_from_all_their_scores(
    model: object, photo: Image.Image, height: int, flip: bool
) -> None:
    segmenter = Segmenter.from_pretrained(model, device="cpu", height=height, window=(40, 48), flip=flip)
    pictures = [photo.resize((90, 70)), photo.resize((180, 140))]
    for result, picture, scores in zip(
        segmenter.segment(pictures, ["a", "b"]), pictures, segmenter.scores(pictures, "a"), strict=True
    ):
        expected = segmenter.labelled(scores, picture, "c")
        assert (result.labels == expected.labels).all()
        np.testing.assert_allclose(result.confidence, expected.confidence, rtol=1e-5)
