"""The weights that a run begins with, unless a checkpoint brings its own."""

import logging
from dataclasses import dataclass
from pathlib import Path

from dsrnss.errors import CheckpointError
from dsrnss.models.segmentor import Segmentor
from dsrnss.models.weights import DEMO_MODEL, load_backbone, load_pretrained, load_state

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

    def read_into(self, student: Segmentor) -> None:
        """Fill a network.

        Raises:
            CheckpointError: If the weights cannot be had, or are of another network.
        """
        if self.weights != "random":
            read_network(student, self.weights)
        elif self.backbone_weights != "random":
            try:
                load_backbone(student.backbone, self.backbone_weights)
            except CheckpointError as error:
                raise CheckpointError(f"{error}\nTo begin without: model.backbone_weights: random.") from error


def read_network(student: Segmentor, path: str | Path) -> None:
    """Fill a network from a file, a name or `demo`.

    HRDA may begin with a network that is none: its scale attention then keeps its random weights.

    Raises:
        CheckpointError: If there is no such file, or it is of another network.
    """
    path = DEMO_MODEL if str(path) == "demo" else path
    state, own = load_pretrained(path).segmentor.state_dict(), student.state_dict()
    attention = {key: value for key, value in own.items() if key.startswith(SCALE_ATTENTION)}
    if attention and not attention.keys() & state.keys():
        _log.info("'%s' is no HRDA network: the scale attention starts from random weights.", path)
        state |= attention
    load_state(student, state, str(path))
