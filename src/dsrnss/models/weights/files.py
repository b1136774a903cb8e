"""What lies at a path: a model of this package with its description, or somebody else's tensors."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from dsrnss.errors import CheckpointError
from dsrnss.models.weights.content import check_regular, describe_folder, tell
from dsrnss.models.weights.formats import Contents, check_which, recognise
from dsrnss.models.weights.reading import State, TensorFile, read_tensors, unpickle
from dsrnss.models.weights.unwrapping import Which, plain_names

CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.safetensors"
CARD_KEY = "dsrnss"
"""Under this key our description stands in a Lightning checkpoint and in a safetensors file's metadata."""

_STUDENT, _TEACHERS = "student.", ("method.teacher.network.", "teacher.network.")
"""How the tensors of both networks begin in a checkpoint of `dsrnss fit`; the last is of versions that cannot go on."""
_TRAINING = "method."
"""So begin the names of what training goes on with."""

_HUB_WEIGHTS = (WEIGHTS_FILE, "pytorch_model.bin")
_INDEX = ".index.json"
"""How the name of the list of a model in several files ends, on the Hugging Face hub."""
_SHARD = re.compile(r"-\d{5}-of-(?!00001)\d{5}$")
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
    if path.name.endswith(_INDEX):
        if (path.parent / CONFIG_FILE).is_file():
            return _find_in_folder(path.parent, which)
        return Found(path, recognise(_read_shards(path).tensors, which, str(path)))
    if _SHARD.search(path.stem):
        raise CheckpointError(f"'{path}' is one of several files of a network: give the folder that has them all.")
    file = read_tensors(path)
    if CARD_KEY in file.metadata:
        return _own(file, path, parse(path, file.metadata[CARD_KEY]), which)
    if isinstance(file.extras.get(CARD_KEY), Mapping) or _is_run(file.tensors):
        return _checkpoint(file, which)
    return Found(path, recognise(file.tensors, which, str(path)))


def kind_of(path: Path) -> Literal["run", "weights"]:
    """Tell a checkpoint that a training of this package can go on from, from mere weights; no tensor is read.

    Args:
        path: What `resolve` gives: a file, or a folder.

    Returns:
        "run" for a file of `dsrnss fit` with its description and the state of its training; "weights" for all else,
        also for what no network can be read from.

    Raises:
        CheckpointError: If it is a torch file, and cannot be read.
    """
    try:
        check_regular(path)
    except CheckpointError:  # a folder, or what its reader will say
        return "weights"
    if tell(path).kind != "zip":  # torch's old format was never written by dsrnss
        return "weights"
    checkpoint = unpickle(path, mmap=True)
    state = checkpoint.get("state_dict") if isinstance(checkpoint, dict) else None
    if not isinstance(state, Mapping) or not isinstance(checkpoint.get(CARD_KEY), Mapping):
        return "weights"
    return "run" if any(str(key).startswith(_TRAINING) for key in state) else "weights"


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
    try:
        described = config.is_file()
    except OSError as error:  # whose folder may not be entered
        raise CheckpointError(f"The folder '{path}' cannot be opened ({(error.strerror or '').lower()}).") from error
    if not described:
        what = describe_folder(path)
        raise CheckpointError(f"The folder '{path}' has no {CONFIG_FILE}: it is not a saved model. {what}".rstrip())
    names = (*_HUB_WEIGHTS, *(f"{name}{_INDEX}" for name in _HUB_WEIGHTS))
    weights = next((path / name for name in names if (path / name).is_file()), None)
    if weights is None:
        raise CheckpointError(f"The folder '{path}' has no {WEIGHTS_FILE}: it is not a saved model.")
    description = read_json(config)
    file = _read_shards(weights) if weights.name.endswith(_INDEX) else read_tensors(weights)
    if "network" in description:
        return _own(file, path, description, which)
    if CARD_KEY in file.metadata:
        return _own(file, path, parse(file.path, file.metadata[CARD_KEY]), which)
    classes = description.get("id2label")
    labels = tuple(str(name) for _, name in sorted(classes.items(), key=_number)) if isinstance(classes, dict) else ()
    return Found(file.path, recognise(file.tensors, which, str(path)), class_names=labels)


def _read_shards(index: Path) -> TensorFile:
    """The tensors of a model in several files, by their list."""
    places = read_json(index).get("weight_map")
    if not isinstance(places, dict) or not all(isinstance(name, str) for name in places.values()):
        raise CheckpointError(f"'{index}' has no weight_map, which says of each tensor in which file it is.")
    tensors: State = {}
    for name in sorted(set(places.values())):
        if Path(name).name != name or not (index.parent / name).is_file():
            raise CheckpointError(f"'{index}' names the file '{name[:100]}', which is not beside it: download it, too.")
        tensors |= read_tensors(index.parent / name).tensors
    if missing := places.keys() - tensors.keys():
        raise CheckpointError(f"'{index}' names {len(missing)} tensors that its files lack, such as '{min(missing)}'.")
    return TensorFile(index, tensors)


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file.

    Raises:
        CheckpointError: If it cannot be read, or holds none.
    """
    check_regular(path)
    try:
        return parse(path, path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise CheckpointError(f"'{path}' cannot be read: {error}.") from error


def _number(item: tuple[str, Any]) -> int:
    return int(item[0]) if item[0].isdigit() else -1


def _own(file: TensorFile, path: Path, description: dict[str, Any], which: Which) -> Found:
    if which == "teacher":
        raise CheckpointError(f"'{path}' holds one network: only a checkpoint (.ckpt) has a teacher.")
    return Found(path, Contents("dsrnss model", plain_names(file.tensors, within=False)), description)


def _is_run(tensors: State) -> bool:
    """Whether these are of a checkpoint of `dsrnss fit`, whose description somebody may have left out."""
    return all(any(key.startswith(begin) for key in tensors) for begin in (_STUDENT, _TEACHERS))


def _checkpoint(file: TensorFile, which: Which) -> Found:
    """A checkpoint of `dsrnss fit`."""
    # the data module's state may have tensors, too: the networks then have the name of their dictionary before theirs
    tensors = plain_names(_part(file.tensors, "state_dict.") or file.tensors, within=False)
    student = _part(tensors, _STUDENT)
    averaged = next((part for begin in _TEACHERS if (part := _part(tensors, begin))), {})
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
    description = file.extras.get(CARD_KEY)
    return Found(file.path, contents, dict(description) if isinstance(description, Mapping) else None)


def _part(state: State, prefix: str) -> State:
    return {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
