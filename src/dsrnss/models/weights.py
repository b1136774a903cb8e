"""Reading and writing networks: own folders and safetensors files, and the checkpoints of `dsrnss fit`."""

import json
import pickle
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

import dsrnss
from dsrnss.errors import CheckpointError
from dsrnss.labels import CITYSCAPES, CoOccurrence, LabelSpace
from dsrnss.models.segmentor import NetworkConfig, Segmentor, build_segmentor
from dsrnss.writing import why_not_written, write_atomically

DEMO_MODEL = Path(dsrnss.__file__).parent / "assets" / "synthnight_source.safetensors"
"""The packaged network: trained on SynthNight's day scenes by `configs/synthnight/source.yaml`."""

CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.safetensors"
CARD_KEY = "dsrnss"
"""Under this key our description stands in a Lightning checkpoint and in a safetensors file's metadata."""


@dataclass(frozen=True)
class Pretrained:
    """A network as it was read.

    Attributes:
        segmentor: In eval mode, on the CPU.
        label_space: The classes it tells apart.
        card: What is known of its training.
    """

    segmentor: Segmentor
    label_space: LabelSpace
    card: dict[str, Any]


def describe(config: NetworkConfig, label_space: LabelSpace, card: Mapping[str, Any]) -> dict[str, Any]:
    """What stands beside the weights, as plain values."""
    space = asdict(label_space)
    space["raw_ids"] = {str(raw): train for raw, train in label_space.raw_ids.items()}
    return {
        "format": 1,
        "dsrnss": dsrnss.__version__,
        "network": config.to_dict(),
        "label_space": space,
        "card": dict(card),
    }


def save_pretrained(
    segmentor: Segmentor,
    path: str | Path,
    label_space: LabelSpace = CITYSCAPES,
    card: Mapping[str, Any] | None = None,
    *,
    half: bool = False,
) -> Path:
    """Write a network as a folder (config.json and model.safetensors) or, if `path` ends so, as one .safetensors file.

    Args:
        segmentor: The network.
        path: Where to; nothing half-written is left there under this name.
        label_space: The classes it tells apart.
        card: What is known of its training: JSON values.
        half: Store floats in 16 bits, half the size.

    Returns:
        The path.

    Raises:
        CheckpointError: If it cannot be written there.
    """
    path = Path(path)
    description = json.dumps(describe(segmentor.config, label_space, card or {}), indent=1)
    state = {name: _storable(tensor, half) for name, tensor in segmentor.state_dict().items()}
    data = save(state, metadata={CARD_KEY: description, "format": "pt"})
    try:
        if path.suffix == ".safetensors":
            write_atomically(path, data)
        else:
            write_atomically(path / WEIGHTS_FILE, data)
            write_atomically(path / CONFIG_FILE, description.encode())
    except OSError as error:
        raise CheckpointError(f"Cannot write the network to '{path}': {why_not_written(error)}") from error
    return path


def _storable(tensor: Tensor, half: bool) -> Tensor:
    tensor = tensor.detach().cpu().contiguous()
    return tensor.half() if half and tensor.is_floating_point() else tensor


def load_pretrained(path: str | Path, which: Literal["student", "teacher"] = "student") -> Pretrained:
    """Read a network.

    Args:
        path: A folder written by `save_pretrained`, a .safetensors file, or a checkpoint (.ckpt) of `dsrnss fit`.
        which: Of a checkpoint, the student or its moving average.

    Returns:
        The network in eval mode, its classes and its card.

    Raises:
        CheckpointError: If there is no such file, it is broken, is not ours or does not fit its own description.
    """
    path = Path(path)
    if not path.exists():
        raise CheckpointError(
            f"No model at '{path}'. Give a .ckpt, a .safetensors file or a folder with {WEIGHTS_FILE}."
        )
    if which == "teacher" and (path.is_dir() or path.suffix == ".safetensors"):
        raise CheckpointError(f"'{path}' holds one network: only a checkpoint (.ckpt) of `dsrnss fit` has a teacher.")
    if path.is_dir():
        return _load_folder(path)
    if path.suffix == ".safetensors":
        state, metadata = _read_safetensors(path)
        if CARD_KEY not in metadata:
            raise CheckpointError(f"'{path}' was not written by dsrnss: its metadata have no '{CARD_KEY}' entry.")
        return _assemble(path, state, _parse(path, metadata[CARD_KEY]))
    return _load_checkpoint(path, which)


def _load_folder(path: Path) -> Pretrained:
    for name in (CONFIG_FILE, WEIGHTS_FILE):
        if not (path / name).is_file():
            raise CheckpointError(f"The folder '{path}' has no {name}: it is not a model saved by dsrnss.")
    state, _ = _read_safetensors(path / WEIGHTS_FILE)
    return _assemble(path, state, _parse(path / CONFIG_FILE, (path / CONFIG_FILE).read_text()))


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"'{path}' is not a readable safetensors file: {error}.") from error


def _parse(path: Path, text: str) -> dict[str, Any]:
    try:
        description: dict[str, Any] = json.loads(text)
    except json.JSONDecodeError as error:
        raise CheckpointError(f"The description of the network in '{path}' is not JSON: {error}.") from error
    return description


def read_checkpoint(path: Path, *, mmap: bool = False) -> dict[str, Any]:
    """Read a torch file without running any code that may hide in it.

    Args:
        path: The file.
        mmap: Read tensors only when they are used.

    Raises:
        CheckpointError: If it is not a torch file, is cut off, or wants to run code.
    """
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True, mmap=mmap)
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"'{path}' is not a file of tensors alone: reading it could run code, so it is refused. "
            "Convert it where it comes from: torch.save(model.state_dict(), FILE)."
        ) from error
    except Exception as error:  # a broken file makes the unpickler trip over anything
        reason = (str(error).splitlines() or ["it is empty"])[0]
        raise CheckpointError(f"'{path}' is not a readable checkpoint: {reason}.") from error
    if not isinstance(checkpoint, dict):
        raise CheckpointError(f"'{path}' holds a {type(checkpoint).__name__}, not a checkpoint of `dsrnss fit`.")
    return checkpoint


def _load_checkpoint(path: Path, which: str) -> Pretrained:
    checkpoint = read_checkpoint(path)
    if CARD_KEY not in checkpoint or "state_dict" not in checkpoint:
        raise CheckpointError(f"'{path}' is not a checkpoint of `dsrnss fit`: it has no '{CARD_KEY}' entry.")
    state = _part(checkpoint["state_dict"], "student.")
    if which == "teacher":
        # the teacher is evaluated with the student's batch-norm statistics, as in training
        averaged = _part(checkpoint["state_dict"], "teacher.network.")
        state.update({k: v for k, v in averaged.items() if k.rpartition(".")[2] not in _STATISTICS})
    return _assemble(path, state, checkpoint[CARD_KEY])


_STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


def _part(state: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}


def _assemble(path: Path, state: dict[str, Tensor], description: dict[str, Any]) -> Pretrained:
    try:
        config = NetworkConfig.from_dict(description["network"])
        label_space = label_space_from_dict(description["label_space"])
    except (KeyError, TypeError) as error:
        raise CheckpointError(f"The description of the network in '{path}' is incomplete: {error}.") from error
    segmentor = build_segmentor(config)
    load_state(segmentor, state, str(path))
    return Pretrained(segmentor.eval(), label_space, description.get("card", {}))


def label_space_from_dict(values: Mapping[str, Any]) -> LabelSpace:
    """Rebuild a label space from the plain values of `describe`."""
    plain = dict(values)
    plain["palette"] = tuple(tuple(colour) for colour in plain["palette"])
    plain["raw_ids"] = {int(raw): int(train) for raw, train in plain["raw_ids"].items()}
    plain["co_occurrence"] = tuple(
        CoOccurrence(tuple(rule["chosen"]), tuple(rule["added"])) for rule in plain["co_occurrence"]
    )
    for group in ("names", "large_static", "dynamic", "small", "tail", "feature_distance"):
        plain[group] = tuple(plain[group])
    return LabelSpace(**plain)


def load_state(segmentor: Segmentor, state: Mapping[str, Tensor], source: str) -> None:
    """Load all tensors of a network, none more, none fewer.

    Raises:
        CheckpointError: Listing what is missing, unexpected or of another shape.
    """
    own = segmentor.state_dict()
    problems = {
        "missing": sorted(set(own) - set(state)),
        "unexpected": sorted(set(state) - set(own)),
        "of another shape": [
            f"{k} {tuple(state[k].shape)} for {tuple(own[k].shape)}"
            for k in own
            if k in state and state[k].shape != own[k].shape
        ],
    }
    if any(problems.values()):
        lists = "; ".join(
            f"{len(keys)} {kind}: {', '.join(keys[:5])}{', ...' if len(keys) > 5 else ''}"
            for kind, keys in problems.items()
            if keys
        )
        raise CheckpointError(f"'{source}' does not fit the network {segmentor.config.backbone}: {lists}.")
    segmentor.load_state_dict({k: v.to(own[k].dtype) for k, v in state.items()})
