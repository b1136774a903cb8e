"""What runs found, as the curves and panels of their pages."""

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from dsrnss.data.base import SegmentationDataset
from dsrnss.detail import ImageScore
from dsrnss.metrics import Scores
from dsrnss.reporting.content import Curve, Panel


def followed_curve(name: str, points: Iterable[tuple[float, float]]) -> Curve:
    """The curve of a loss, or of a share of the pseudo-labels in percent.

    Args:
        name: As `training.callbacks.history` calls it.
        points: (step, value).
    """
    share = "loss" not in name
    values = [(float(step), 100 * value if share else value) for step, value in points]
    return Curve(name, "%" if share else "", values, "pseudo-labels" if share else "loss")


def extremes(scores: Scores, count: int = 2) -> list[tuple[str, ImageScore]]:
    """The samples that a network has most wrong, then those most right, where they were looked at.

    Args:
        scores: Of the network.
        count: So many of each.

    Returns:
        Ranks, such as `worst 1`, and the samples.
    """
    kinds = zip(("worst", "best"), scores.detail.extremes(count) if scores.detail is not None else (), strict=False)
    return [(f"{kind} {place}", one) for kind, some in kinds for place, one in enumerate(some, 1)]


def panels(
    night: SegmentationDataset,
    indices: Sequence[int],
    before: Sequence[npt.NDArray[np.uint8]],
    after: Sequence[npt.NDArray[np.uint8]],
) -> list[Panel]:
    """Some scenes, with what the network saw in them before and after adaptation.

    Args:
        night: The set.
        indices: Which of its samples.
        before: (H, W) train ids of each.
        after: Likewise.
    """
    found = []
    for index, source_only, adapted in zip(indices, before, after, strict=True):
        sample = night[index]
        image = sample["image"].permute(1, 2, 0).numpy()
        truth = sample["label"].numpy() if "label" in sample else None
        found.append(Panel(sample["name"], image, truth, {"Source-only": source_only, "Adapted": adapted}))
    return found
