"""What goes into a step of the method and what comes out of it."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from torch import Tensor

from dsrnss.adaptation.alignment import Alignment
from dsrnss.adaptation.mixing import Mixed, PseudoLabels

Batch = Mapping[str, Mapping[str, Any]]
"""`source` and, where there is one, `target`, each with its planes."""
Losses = dict[str, Tensor]


class Target(NamedTuple):
    """The images that a step adapts to, and what the teacher says of them.

    Attributes:
        images: (B, 3, H, W) the night images; their day references, if the step adapts to those.
        pseudo: Their pseudo-labels.
        is_reference: Whether they are the day references.
        unrefined: (B, H, W) the pseudo-labels before the refinement; None where nothing was refined.
        alignment: Of the night images with their references, likewise.
    """

    images: Tensor
    pseudo: PseudoLabels
    is_reference: bool = False
    unrefined: Tensor | None = None
    alignment: Alignment | None = None


class StepRecord(NamedTuple):
    """What a step made, without gradient, for whoever watches; without target images all is None.

    Attributes:
        target: The images adapted to and their pseudo-labels.
        mixed: Mixed images, labels and weights.
        prediction: (B, C, h, w) the student's logits of the mixed images.
    """

    target: Target | None = None
    mixed: Mixed | None = None
    prediction: Tensor | None = None


class StepOutput(NamedTuple):
    """The weighted loss terms of a step, scalars whose sum is minimised, and its record."""

    losses: Losses
    record: StepRecord
