"""What the demo found, put into words for the page."""

from dsrnss.reporting.content import Curve
from dsrnss.reporting.findings import followed_curve
from dsrnss.reporting.logs import CHECKED
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
    found = [followed_curve(name, points) for name, points in history.curves.items()]
    for checks in history.scores.values():
        for place, name in enumerate(CHECKED, 1):
            found.append(Curve(name, "%", [(float(check[0]), 100 * check[place]) for check in checks], "miou"))
    return found
