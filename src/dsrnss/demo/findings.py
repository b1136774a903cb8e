"""What the demo found, put into words and pictures for the page."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from dsrnss.data.base import SegmentationDataset
from dsrnss.reporting.content import Curve, Panel
from dsrnss.training.callbacks.history import History

NOTES = (
    "The scenes are drawn by a program. They show that the method works on this machine; they do not say how well a "
    "network does on photographs.",
    "This is one run with one seed. Another seed moves the mean IoU by a point or two and single rare classes by much "
    "more.",
    "The network is small and trained for minutes. The paper's networks are trained for hours on real pictures.",
)
"""What every demo must admit, whatever its numbers."""


def curves(history: History) -> list[Curve]:
    """The curves of an adaptation: losses, pseudo-labels, mean IoU."""
    found = []
    for name, points in history.curves.items():
        share = "loss" not in name
        values = [(float(step), 100 * value if share else value) for step, value in points]
        found.append(Curve(name, "%" if share else "", values, "pseudo-labels" if share else "loss"))
    for checks in history.scores.values():
        found.append(Curve("mIoU, all classes", "%", [(float(step), 100 * mean) for step, mean, _ in checks], "miou"))
        small = [(float(step), 100 * mean) for step, _, mean in checks]
        found.append(Curve("mIoU, dynamic and small classes", "%", small, "miou"))
    return found


def panels(
    night: SegmentationDataset, before: Sequence[npt.NDArray[np.uint8]], after: Sequence[npt.NDArray[np.uint8]]
) -> list[Panel]:
    """The first scenes of the test set, with what the network saw in them before and after adaptation."""
    found = []
    for index, (source_only, adapted) in enumerate(zip(before, after, strict=True)):
        sample = night[index]
        image = sample["image"].permute(1, 2, 0).numpy()
        found.append(Panel(sample["name"], image, sample["label"].numpy(), source_only, adapted))
    return found
