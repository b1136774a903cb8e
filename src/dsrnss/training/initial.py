"""The weights that a run begins with, unless a checkpoint brings its own."""

import logging
from dataclasses import dataclass
from pathlib import Path

from dsrnss.errors import CheckpointError
from dsrnss.labels import LabelSpace
from dsrnss.models.segmentor import Segmentor
from dsrnss.models.weights import load_backbone, load_pretrained, load_state
from dsrnss.models.weights.unwrapping import Which
from dsrnss.training.resume import check_classes

SCALE_ATTENTION = "hrda_scale_attention."

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class InitialWeights:
    """Where they come from.

    Args:
        weights: Of the whole network: `random`, `demo` (the packaged source network), or what `load_pretrained` reads.
        backbone_weights: Of the backbone alone, where `weights` is `random`.
    """

    weights: str | Path = "random"
    backbone_weights: str = "random"

    def read_into(self, student: Segmentor, label_space: LabelSpace | None = None) -> None:
        """Fill a network.

        Args:
            student: The network.
            label_space: What its classes must be; None: whatever.

        Raises:
            CheckpointError: If the weights cannot be had, or are of another network.
        """
        if self.weights != "random":
            read_network(student, self.weights, label_space)
        elif self.backbone_weights != "random":
            try:
                load_backbone(student.backbone, self.backbone_weights)
            except CheckpointError as error:
                raise CheckpointError(f"{error}\nTo begin without: model.backbone_weights: random.") from error


def read_network(
    student: Segmentor, path: str | Path, label_space: LabelSpace | None = None, which: Which = "student"
) -> None:
    """Fill a network from a file or a name.

    HRDA may begin with a network that is none: its scale attention then keeps its random weights.

    Args:
        student: The network.
        path: As `load_pretrained` takes it.
        label_space: What its classes must be; None: whatever.
        which: Of a file that has both, the student or the teacher.

    Raises:
        CheckpointError: If there is no such file, or it is of another network or of other classes.
    """
    pretrained = load_pretrained(path, which)
    if label_space is not None:
        check_classes(pretrained.label_space.names, label_space, str(path))
    state, own = pretrained.segmentor.state_dict(), student.state_dict()
    attention = {key: value for key, value in own.items() if key.startswith(SCALE_ATTENTION)}
    if attention and not attention.keys() & state.keys():
        _log.info("'%s' is no HRDA network: the scale attention starts from random weights.", path)
        state |= attention
    load_state(student, state, str(path))
