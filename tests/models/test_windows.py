"""Windows in bands: what is held at a time is bounded, and the numbers do not depend on how they are cut."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from dsrnss.models.batching import in_batches, views_at_once
from dsrnss.models.grid import averaged_bands, sliding_windows
from dsrnss.models.windows import slide, slide_bands

Pair = tuple[int, int]


def _coordinates(height: int, width: int) -> Tensor:
    """(2, 3, height, width) whose every number is another one."""
    return torch.arange(2 * 3 * height * width, dtype=torch.float32).view(2, 3, height, width)


def _predict(crops: Tensor) -> Tensor:
    """Logits (B, 2, h, w) that depend on where in the window they lie."""
    return torch.stack((crops[:, 0], crops[:, 1] + torch.arange(crops.shape[-1])), dim=1)


@given(
    st.tuples(st.integers(1, 60), st.integers(1, 60)),
    st.tuples(st.integers(1, 40), st.integers(1, 40)),
    st.tuples(st.integers(1, 40), st.integers(1, 40)),
    st.sampled_from([None, 1, 3]),
)
@settings(max_examples=80, deadline=None)
def test_bands_are_the_mean_of_all_windows(size: Pair, window: Pair, stride: Pair, at_once: int | None) -> None:
    stride = (min(stride[0], window[0], size[0]), min(stride[1], window[1], size[1]))
    images, total, count = _coordinates(*size), torch.zeros(2, 2, *size), torch.zeros(size)
    (rows, columns), corners = sliding_windows(size, window, stride)
    for y, x in corners:
        part = (..., slice(y, y + rows), slice(x, x + columns))
        total[part] += _predict(images[part])
        count[part] += 1
    expected = total / count
    assert torch.equal(slide(_predict, 2, images, window, stride, at_once), expected)
    bands = [band.clone() for band in slide_bands(_predict, 2, images, window, stride, at_once)]
    assert torch.equal(torch.cat(bands, dim=-2), expected)
    assert max(band.shape[-2] for band in bands) <= rows

    def logits_of(boxes: list[tuple[slice, slice]]) -> object:
        return (_predict(images[..., box[0], box[1]]).numpy() for box in boxes)

    def zeros(channels: int, height: int) -> np.ndarray:
        return np.zeros((2, channels, height, size[1]), np.float32)

    of_numpy = [band.copy() for band in averaged_bands(size, window, stride, 2, zeros, logits_of)]  # type: ignore[arg-type]
    assert (np.concatenate(of_numpy, axis=-2) == expected.numpy()).all()


def test_a_gpu_out_of_memory_takes_half_as_many() -> None:
    seen: list[int] = []

    def predict(views: Tensor) -> Tensor:
        seen.append(len(views))
        if len(views) > 4:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return views

    views = [*torch.randn(7, 2, 3, 4, 4)]  # pairs of pictures
    found = [*in_batches(predict, views, at_once=7)]
    assert seen == [14, 6, 2, 2, 2, 2, 2, 2, 2]
    assert all(map(torch.equal, found, views))
    with pytest.raises(torch.OutOfMemoryError):
        [*in_batches(predict, [torch.zeros(5, 3, 4, 4)])]


def test_what_is_free_on_a_gpu_decides_how_many(monkeypatch: pytest.MonkeyPatch) -> None:
    view = torch.zeros(1, 3, 512, 512)
    assert views_at_once(view) == 2  # on a CPU
    assert views_at_once(torch.zeros(1, 3, 1080, 1080)) == 1
    monkeypatch.setattr(Tensor, "is_cuda", True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda _: 3 * 2**30)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda _: 2 * 2**30)
    for free, most in ((0, 1), (7 * 2**30, 4), (79 * 2**30, 40)):
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _, free=free: (free, 80 * 2**30))
        assert views_at_once(view) == most
