"""What runs a network: PyTorch or ONNX Runtime, behind one interface. Nothing here imports torch."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from dsrnss.inference.labelling import StripLabeller

Scores = Any
"""Logits as the engine holds them, on its device: a torch tensor or a numpy array."""
Pictures = npt.NDArray[np.uint8]
LEAST_PROBABILITY = 1e-30
"""In an average: logits stay finite, so that they can be interpolated."""


class Engine(ABC):
    """A network on a device.

    Attributes:
        device: Where it runs, as it is printed.
        fingerprint: Hash of the network; another network has another one.
        precision: Of the arithmetic: `float32`, `float16`, `bfloat16` or `int8`.
    """

    device: Any
    precision: str

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """Hash of the network."""

    @abstractmethod
    def scores(self, pictures: Pictures, window: tuple[int, int] | None) -> Scores:
        """Logits of pictures at their own size.

        Args:
            pictures: (B, h, w, 3) RGB.
            window: Height and width of sliding windows in pixels, None: whole.

        Returns:
            (B, C, h, w).

        Raises:
            MemoryError: If they do not fit into the memory of the device.
        """

    @abstractmethod
    def bands(self, pictures: Pictures, window: tuple[int, int]) -> Iterator[Scores]:
        """The same from top to bottom, holding no more than a row of windows.

        Args:
            pictures: (B, h, w, 3) RGB.
            window: As of `scores`.

        Yields:
            (B, C, rows, w), valid until the next ones are asked for.

        Raises:
            MemoryError: If they do not fit into the memory of the device.
        """

    @abstractmethod
    def mirrored(self, scores: Scores) -> Scores:
        """Scores (..., w) with left and right exchanged."""

    @abstractmethod
    def mixed(self, first: Scores, second: Scores, weight: float) -> Scores:
        """Logits whose probabilities are the weighted mean of two.

        Args:
            first: (..., C, h, w) logits.
            second: The same.
            weight: Of the first, from 0 to 1.
        """

    @abstractmethod
    def labeller(self, rows: int, size: tuple[int, int]) -> StripLabeller:
        """What makes labels of a picture's logits, all at once or band by band.

        Args:
            rows: h of all logits, (C, h, w).
            size: Height and width H, W of the result, in pixels.
        """

    @abstractmethod
    def to_numpy(self, scores: Scores) -> npt.NDArray[np.float32]:
        """Scores as a plain array."""

    @abstractmethod
    def from_numpy(self, array: npt.NDArray[np.float32]) -> Scores:
        """The inverse of `to_numpy`."""


class Smoothing:
    """Exponential average of the probabilities of frames that follow each other.

    Args:
        engine: Whose scores are averaged.
        weight: Of what was before, 0 (nothing is smoothed) up to below 1.
    """

    def __init__(self, engine: Engine, weight: float) -> None:
        self.engine, self.weight = engine, weight
        self._before: Scores | None = None

    def __call__(self, scores: Scores) -> Scores:
        """Logits (C, h, w) of a frame -> those of the average up to it."""
        if self.weight and self._before is not None and self._before.shape == scores.shape:
            scores = self.engine.mixed(self._before, scores, self.weight)
        self._before = scores
        return scores

    def state(self) -> npt.NDArray[np.float32] | None:
        """What a later run begins with, None: nothing."""
        return self.engine.to_numpy(self._before) if self.weight and self._before is not None else None

    def restore(self, state: npt.NDArray[np.float32] | None) -> None:
        """Begin with what `state` has returned."""
        self._before = None if state is None else self.engine.from_numpy(state)
