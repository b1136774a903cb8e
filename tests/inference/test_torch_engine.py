"""Segmenting on a GPU that is not there: nothing is left on the wrong device, and what does not fit is told."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from PIL import Image

from dsrnss.constants import forget_constants
from dsrnss.errors import ImageError
from dsrnss.inference.engine import Smoothing
from dsrnss.inference.segmenter import Segmenter
from dsrnss.inference.torch_engine import PRECISIONS, TorchEngine
from dsrnss.labels import CITYSCAPES
from dsrnss.measuring.rehearsal import Rehearsal, autocast
from dsrnss.models.config import NetworkConfig
from dsrnss.models.factory import build_segmentor
from dsrnss.serving.pair import refine_pair

PICTURES = [Image.fromarray(np.full((70, 130, 3), 99 * number, np.uint8)) for number in range(2)]


@pytest.fixture(autouse=True)
def no_fake_constants() -> Iterator[None]:
    forget_constants()
    yield
    forget_constants()


def on_gpu(rehearsal: Rehearsal, precision: str = "float32", **options: object) -> Segmenter:
    engine = TorchEngine(build_segmentor(NetworkConfig("compact", "fpn", 8)), "cpu", precision)
    rehearsal.move(engine.segmentor)
    engine.device = rehearsal.device
    return Segmenter(engine, CITYSCAPES, height=64, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize(("window", "flip"), [(None, False), (None, True), ((32, 48), True)])
def test_pictures_and_frames(precision: str, window: tuple[int, int] | None, flip: bool) -> None:
    rehearsal = Rehearsal()
    segmenter = on_gpu(rehearsal, precision, window=window, flip=flip)
    with torch.backends.cudnn.flags(enabled=False), rehearsal, autocast("cuda", torch.bfloat16):
        found = segmenter.segment(PICTURES, ["a", "b"])
        smoothing = Smoothing(segmenter.engine, 0.5)
        for scores in segmenter.scores(PICTURES, "a"):
            smoothed = smoothing(scores)
            assert (smoothed.device, smoothed.dtype) == (rehearsal.device, torch.float32)
        smoothing.restore(smoothing.state())
        found.append(segmenter.labelled(smoothing(scores), PICTURES[0], "a"))
    assert all(one.labels.shape == one.confidence.shape == (70, 130) for one in found)


def test_a_pair_of_the_page() -> None:
    rehearsal = Rehearsal()
    segmenter = on_gpu(rehearsal)
    with torch.backends.cudnn.flags(enabled=False), rehearsal:
        plain, refined = refine_pair(segmenter, *PICTURES, "a", lambda: None)
    assert plain.labels.shape == refined.result.labels.shape == (70, 130)


@pytest.mark.parametrize(
    ("message", "of_memory"),
    [
        ("CUDA out of memory. Tried to allocate 2.00 GiB.", True),
        ("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`", True),
        ("CUDA error: an illegal memory access was encountered", False),
    ],
)
def test_memory_that_runs_out_behind_the_network_is_told(
    message: str, of_memory: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    rehearsal = Rehearsal()
    segmenter = on_gpu(rehearsal, flip=True)

    def run_out(*_: object, **__: object) -> None:
        raise RuntimeError(message)

    with torch.backends.cudnn.flags(enabled=False), rehearsal:
        scores = segmenter.scores(PICTURES, "a")[0]
        monkeypatch.setattr("torch.lerp", run_out)
        with pytest.raises(ImageError if of_memory else RuntimeError):
            segmenter.labelled(scores, PICTURES[0], "a")
        with pytest.raises(ImageError if of_memory else RuntimeError):
            segmenter.segment(PICTURES, ["a", "b"])
