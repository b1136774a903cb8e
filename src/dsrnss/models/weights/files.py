"""What lies at a path: a model of this package with its description, or somebody else's tensors."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dsrnss.errors import CheckpointError
from dsrnss.models.weights.formats import Contents, Which, check_which, recognise
from dsrnss.models.weights.reading import State, TensorFile, read_tensors

CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.safetensors"
CARD_KEY = "dsrnss"
"""Under this key our description stands in a Lightning checkpoint and in a safetensors file's metadata."""

_STUDENT, _TEACHER = "student.", "method.teacher.network."
"""How the tensors of both networks begin in a checkpoint of `dsrnss fit`."""

_HUB_WEIGHTS = (WEIGHTS_FILE, "pytorch_model.bin")
_STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


@dataclass(frozen=True)
class Found:
    """The network at a path.

    Attributes:
        path: The file it was read from.
        contents: Its tensors in our names, and what else there is.
        description: Of a model of this package, what `describe` wrote; None of others.
        class_names: As far as a Hugging Face configuration names them.
    """

    path: Path
    contents: Contents
    description: dict[str, Any] | None = None
    class_names: tuple[str, ...] = ()


def find(path: Path, which: Which = "student") -> Found:
    """Read what lies at a path.

    Args:
        path: A file or a folder.
        which: Of checkpoints that have both, the student or the teacher.

    Raises:
        CheckpointError: If it cannot be read, is nothing that is known, or has no such network.
        ConfigError: If `which` is neither student nor teacher.
    """
    check_which(which)
    if path.is_dir():
        return _find_in_folder(path, which)
    file = read_tensors(path)
    if CARD_KEY in file.metadata:
        return _own(file, path, parse(path, file.metadata[CARD_KEY]), which)
    if isinstance(file.extras.get(CARD_KEY), Mapping):
        return _checkpoint(file, which)
    return Found(path, recognise(file.tensors, which, str(path)))


def parse(path: Path, text: str) -> dict[str, Any]:
    """The object in a JSON text.

    Raises:
        CheckpointError: If it is none.
    """
    try:
        description = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"The description of the network in '{path}' is not JSON: {error}.") from error
    if not isinstance(description, dict):
        raise CheckpointError(f"The description of the network in '{path}' is not a JSON object.")
    return description


def _find_in_folder(path: Path, which: Which) -> Found:
    config = path / CONFIG_FILE
    if not config.is_file():
        raise CheckpointError(f"The folder '{path}' has no {CONFIG_FILE}: it is not a saved model.")
    weights = next((path / name for name in _HUB_WEIGHTS if (path / name).is_file()), None)
    if weights is None:
        raise CheckpointError(f"The folder '{path}' has no {WEIGHTS_FILE}: it is not a saved model.")
    try:
        description = parse(config, config.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise CheckpointError(f"'{config}' cannot be read: {error}.") from error
    file = read_tensors(weights)
    if "network" in description:
        return _own(file, path, description, which)
    if CARD_KEY in file.metadata:
        return _own(file, path, parse(weights, file.metadata[CARD_KEY]), which)
    names = description.get("id2label")
    labels = tuple(str(name) for _, name in sorted(names.items(), key=_number)) if isinstance(names, dict) else ()
    return Found(weights, recognise(file.tensors, which, str(path)), class_names=labels)


def _number(item: tuple[str, Any]) -> int:
    return int(item[0]) if item[0].isdigit() else -1


def _own(file: TensorFile, path: Path, description: dict[str, Any], which: Which) -> Found:
    if which == "teacher":
        raise CheckpointError(f"'{path}' holds one network: only a checkpoint (.ckpt) has a teacher.")
    return Found(path, Contents("dsrnss model", file.tensors), description)


def _checkpoint(file: TensorFile, which: Which) -> Found:
    """A checkpoint of `dsrnss fit`."""
    student, averaged = _part(file.tensors, _STUDENT), _part(file.tensors, _TEACHER)
    state, left_out = dict(student), {"teacher": len(averaged)} if averaged else {}
    if which == "teacher":
        if not averaged:
            raise CheckpointError(f"'{file.path}' has no teacher: it was trained without self-training.")
        # the teacher is evaluated with the student's batch-norm statistics, as in training
        state.update({key: value for key, value in averaged.items() if key.rpartition(".")[2] not in _STATISTICS})
        left_out = {"student": len(student)}
    rest = len(file.tensors) - len(student) - len(averaged)
    if rest:
        left_out["other parts of the training"] = rest
    contents = Contents("dsrnss checkpoint", state, left_out)
    return Found(file.path, contents, dict(file.extras[CARD_KEY]))


def _part(state: State, prefix: str) -> State:
    return {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
