"""What a checkpoint of a run is good for: going on, where its parts are those of the experiment, or measuring."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from dsrnss.adaptation.method import SWITCHES
from dsrnss.errors import CheckpointError
from dsrnss.labels import LabelSpace

SETTINGS_KEY = "settings"
"""Under this key stand the settings that a run cannot change on its way."""
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


def check_settings(checkpoint: Mapping[str, Any], settings: Mapping[str, Any]) -> None:
    """See that a run goes on with the settings that only count when it begins.

    Raises:
        CheckpointError: Naming those that are others.
    """
    before = checkpoint.get(SETTINGS_KEY, {})
    changed = [name for name, value in settings.items() if name in before and before[name] != value]
    if changed:
        what = ", ".join(f"{name} (was {before[name]}, is {settings[name]})" for name in changed)
        raise CheckpointError(
            f"Settings that count only when a run begins have changed: {what}. To go on, leave them as they were; "
            "model.weights: FILE starts a new run from the weights of this checkpoint."
        )


def check_description(description: Any, label_space: LabelSpace) -> None:
    """See that a checkpoint has the classes of the data, as far as it says which it has.

    Raises:
        CheckpointError: If not, saying the difference.
    """
    if isinstance(description, Mapping):
        check_classes(description["label_space"]["names"], label_space, "The checkpoint")


def check_classes(names: Sequence[str], label_space: LabelSpace, source: str) -> None:
    """See that weights have the classes of the data.

    Args:
        names: Of the weights, by their train ids.
        label_space: Of the data.
        source: Where the weights are from, for the message.

    Raises:
        CheckpointError: If the names differ, or their order.
    """
    theirs, ours = list(names), list(label_space.names)
    unknown = [f"class {index}" for index in range(len(theirs))]
    if theirs in (ours, unknown):
        return
    if sorted(theirs) == sorted(ours):
        first = next(index for index, (one, other) in enumerate(zip(theirs, ours, strict=True)) if one != other)
        what = f"the same classes in another order (class {first} is '{theirs[first]}', here '{ours[first]}')"
        cure = "List the classes of your data in that order"
    else:
        missing, more = ([name for name in a if name not in b] for a, b in ((ours, theirs), (theirs, ours)))
        parts = [f"{word} {', '.join(map(repr, names[:6]))}" for word, names in (("without", missing), ("with", more))]
        number = f"{len(theirs)} instead of {len(ours)} classes, " if len(theirs) != len(ours) else "other classes: "
        what = number + " and ".join(part for part, names in zip(parts, (missing, more), strict=True) if names)
        cure = "Use the data that it was trained for"
    raise CheckpointError(
        f"{source} has {what}: it would be measured and trained with wrong names. {cure}, or say that it is meant: "
        "model.check_classes: false."
    )
