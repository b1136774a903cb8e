"""Whether two pictures show one place: as far as they can be aligned, and back again.

Only the upper half of the night picture counts. Below it lies the road, whose edges and markings agree between any two
streets that one camera drove through; what tells places apart stands above.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dsrnss.adaptation.alignment.classical_structure import Image, Map, grid, sample
from dsrnss.data.parallel import Progress, parallel_map
from dsrnss.pairing.descriptors import picture

Aligner = Callable[[Image, Image], tuple[Map, Map]]
"""(night (H, W, 3) uint8, day (H, W, 3) uint8) -> flow (H, W, 2) in pixels, confidence (H, W) in 0..1."""
CONFIDENT = 0.5
RETURN = 0.01
"""How far from where it began, in diagonals of the picture, a pixel may come back."""
HALF, STEEPNESS = 0.13, 4.5
"""Share of aligned pixels at which a candidate is as likely right as wrong, and how fast that changes with its
logarithm: fitted to the five candidates of each of 100 scenes of SynthNight's `val` among 250 day pictures."""
NOTHING = 1e-3
"""Share that counts as none."""
SURE = 0.9
"""Certainty at which no further candidate is tried."""


def aligned_share(target: Image, reference: Image, aligner: Aligner) -> float:
    """Share of the pixels in the upper half of the target that are aligned confidently, and come back.

    Args:
        target: (H, W, 3) uint8 RGB, by night.
        reference: (H, W, 3) uint8 RGB, by day, at the same size.
        aligner: Aligns two pictures.
    """
    flow, confidence = aligner(target, reference)
    sure = confidence > CONFIDENT
    upper = slice(target.shape[0] // 2)
    if sure[upper].mean() < NOTHING:
        return 0.0
    back, _ = aligner(reference, target)
    height, width = target.shape[:2]
    lost = np.linalg.norm(flow + sample(back, grid(height, width) + flow, outside=1e6), axis=-1)
    return float((sure & (lost < RETURN * np.hypot(height, width)))[upper].mean())


def certainty(share: float) -> float:
    """Probability that two pictures show one place, by the share of pixels that can be aligned."""
    return float(1 / (1 + (HALF / max(share, NOTHING)) ** STEEPNESS))


@dataclass(frozen=True)
class Candidates:
    """A night picture and the day pictures that may show its place, likeliest first."""

    night: Path
    days: tuple[Path, ...]


def verify(
    candidates: Sequence[Candidates], aligner: Aligner, workers: int | None = None, progress: Progress | None = None
) -> list[list[float]]:
    """The `aligned_share` of each night picture with its candidates, until one is sure.

    Args:
        candidates: What to align.
        aligner: Aligns two pictures; a function of a module, so that processes can share it.
        workers: Processes; None: one a core.
        progress: Called with (night pictures done, night pictures in all).

    Raises:
        ImageError: If a picture cannot be read.
    """
    return parallel_map(_verify, aligner, candidates, workers=workers, progress=progress)


def _verify(aligner: Aligner, one: Candidates) -> list[float]:
    shares: list[float] = []
    night = picture(one.night) if one.days else None
    for day in one.days:
        if night is not None and certainty(max(shares, default=0)) < SURE:
            shares.append(aligned_share(night, picture(day, (night.shape[0], night.shape[1])), aligner))
    return shares
