"""What a checkpoint of a run is good for: going on, where its parts are those of the experiment, or measuring."""

from typing import Any

from torch import nn

from dsrnss.adaptation.method import SWITCHES
from dsrnss.errors import CheckpointError

_EVALUATED = ("student.", "method.teacher.network.")
"""Beginnings of the names of what is measured; the rest is state of training."""


def check_resumable(checkpoint: dict[str, Any], module: nn.Module) -> None:
    """See that training can go on from a checkpoint.

    Raises:
        CheckpointError: If it was trained with other parts, naming the switch, or is of an older version.
    """
    saved = checkpoint.get("state_dict", {})
    if not any(key.startswith("method.") for key in saved):
        raise CheckpointError(
            "The checkpoint was written by another program or an older dsrnss, and does not hold the state of a "
            "training: nothing can go on from it. model.weights: FILE starts a new run from its weights."
        )
    own = module.state_dict()
    for part, (on, off) in SWITCHES.items():
        before, now = (any(key.startswith(f"method.{part}.") for key in keys) for keys in (saved, own))
        if before != now:
            raise CheckpointError(
                f"The checkpoint was trained {'with' if before else 'without'} a part that this experiment has "
                f"switched {'off' if before else 'on'}: to go on, set model.{on if before else off}; "
                "model.weights: FILE starts a new run from its weights."
            )


def leave_out_training(checkpoint: dict[str, Any], module: nn.Module) -> None:
    """Whoever does not train needs no state of training, whichever parts were switched on: it is left as it is.

    Loading stays strict about the networks: what is left out is replaced by what is there.
    """
    saved, own = checkpoint.get("state_dict", {}), module.state_dict()
    kept = {key: value for key, value in saved.items() if key.startswith(_EVALUATED)}
    checkpoint["state_dict"] = {key: own[key] for key in own if not key.startswith(_EVALUATED)} | kept
