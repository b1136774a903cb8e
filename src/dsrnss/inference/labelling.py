"""From logits to labels at the size of a photograph, a strip of rows at a time."""

from collections.abc import Callable, Sequence
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

Scores = npt.NDArray[np.float32]
Labels = tuple[npt.NDArray[np.uint8], npt.NDArray[np.float32]]
"""Labels (rows, W) and their softmax probabilities (rows, W)."""
LabelRows = Callable[[Any, npt.NDArray[np.intp], npt.NDArray[np.intp], npt.NDArray[np.float32], int], Labels]
"""Logits (C, h, w); for each row of the result, the rows of them above and below it and the weight of the latter; the
result's width -> labels."""
_STRIP_PIXELS = 2**17
"""Of the result, labelled at a time: half a megabyte a class, which caches hold."""


class StripLabeller:
    """Interpolates logits bilinearly and takes the best class there, without holding all of them at that size.

    The logits may come in bands, from top to bottom: the result does not depend on how they are cut.

    Args:
        rows: h of all logits together, (C, h, w).
        size: Height and width H, W of the result, in pixels.
        label_rows: What labels some rows.
        join: Puts logits below each other.

    Attributes:
        labels: (H, W) train ids, complete when all rows were added.
        confidence: (H, W) their softmax probabilities.
    """

    def __init__(
        self, rows: int, size: tuple[int, int], label_rows: LabelRows, join: Callable[[Sequence[Any]], Any]
    ) -> None:
        self.labels, self.confidence = np.empty(size, np.uint8), np.empty(size, np.float32)
        position = ((np.arange(size[0]) + 0.5) * (rows / size[0]) - 0.5).clip(0, rows - 1)
        self._above = np.floor(position).astype(np.intp)
        self._below = np.minimum(self._above + 1, rows - 1)
        self._weight = (position - self._above).astype(np.float32)
        self._label_rows, self._join = label_rows, join
        self._known = self._done = 0
        self._last: Any = None

    def add(self, band: Any) -> None:
        """Label the rows whose logits are known now: (C, rows, w), those below what was added before."""
        known, width = self._known + band.shape[-2], self.labels.shape[1]
        end = int(np.searchsorted(self._below, known))
        while self._done < end:
            strip = slice(self._done, min(self._done + max(_STRIP_PIXELS // width, 1), end))
            above, below = self._above[strip], self._below[strip]
            first, last = int(above[0]), int(below[-1]) + 1
            if first < self._known:  # between the bands
                part = self._join([self._last, band[:, : last - self._known]])
            else:
                part = band[:, first - self._known : last - self._known]
            labelled = self._label_rows(part, above - first, below - first, self._weight[strip], width)
            self.labels[strip], self.confidence[strip] = labelled
            self._done = strip.stop
        self._known, self._last = known, self._join([band[:, -1:]])  # a copy: the band's memory is used again


def label_rows(
    scores: Scores, above: npt.NDArray[np.intp], below: npt.NDArray[np.intp], weight: Scores, width: int
) -> Labels:
    """As of `LabelRows`, on the CPU: plane by plane, this takes a fifth of the time that PyTorch does."""

    def enlarged(number: int) -> Scores:
        plane = scores[number]
        rows: Scores = plane[above]
        if weight.any():
            rows += weight[:, None] * (plane[below] - rows)
        if width == plane.shape[1]:
            return rows
        return np.asarray(cv2.resize(rows, (width, len(above)), interpolation=cv2.INTER_LINEAR), np.float32)

    best = enlarged(0)
    labels = np.zeros(best.shape, np.uint8)
    for number in range(1, len(scores)):
        plane = enlarged(number)
        labels[plane > best] = number
        np.maximum(best, plane, out=best)
    total = np.zeros_like(best)
    for number in range(len(scores)):
        total += cv2.exp(enlarged(number) - best)
    return labels, np.minimum(1 / total, 1)


def join_rows(parts: Sequence[Scores]) -> Scores:
    """Arrays (C, rows, w) below each other."""
    return np.concatenate(parts, axis=1)
