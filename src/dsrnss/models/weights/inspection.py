"""What a file of weights holds, told without building its network, and its conversion to this package's format."""

import logging
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import nn

from dsrnss.errors import CheckpointError, ConfigError
from dsrnss.models.backbones.timm_encoder import TimmEncoder
from dsrnss.models.backbones.vgg import VGG16
from dsrnss.models.config import NetworkConfig
from dsrnss.models.factory import build_backbone
from dsrnss.models.weights.account import Account, compare, with_counters
from dsrnss.models.weights.architecture import name_backbone
from dsrnss.models.weights.description import build_described
from dsrnss.models.weights.files import Found, find
from dsrnss.models.weights.pretrained import account_of, load_pretrained, plan, save_pretrained, storable
from dsrnss.models.weights.reading import State
from dsrnss.models.weights.resolving import resolve
from dsrnss.models.weights.timm_layout import architecture_of, encoder_weights, wanted
from dsrnss.models.weights.unwrapping import Which
from dsrnss.writing import write_atomically

TIMM = "timm"
"""The layout of its files."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Inspection:
    """What a file holds.

    Attributes:
        path: The file.
        format: Whose layout it has.
        kind: `network`, `backbone` or `aligner`.
        architecture: What it is made of.
        parameters: Numbers in the tensors of the network.
        account: How its tensors fit; None of an aligner, which is checked where it is used.
        card: What is told of its training.
    """

    path: Path
    format: str
    kind: str
    architecture: dict[str, Any]
    parameters: int
    account: Account | None
    card: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """The same as plain values, for JSON."""
        values = {key: value for key, value in vars(self).items() if key != "account"} | {"path": str(self.path)}
        return {**values, "account": asdict(self.account) if self.account else None}


def inspect_file(path: str | Path, which: Which = "student", encoder: str | None = None) -> Inspection:
    """Tell what a file, a folder, a name or a repository on the hub holds.

    Args:
        path: As of `load_pretrained`.
        which: Of a checkpoint that has both, the student or its moving average.
        encoder: `timm/NAME`: the model that a file of timm's is of, whose names do not tell it. A folder tells it.

    Raises:
        CheckpointError: If it cannot be read, or has no layout that is known.
        ConfigError: If timm has no such model.
    """
    if encoder := encoder or architecture_of(Path(path)):
        state, account = _of_timm(path, which, encoder)
        parameters = sum(tensor.numel() for tensor in state.values())
        return Inspection(Path(path), TIMM, "backbone", {"backbone": encoder}, parameters, account, {})
    found, source = find(resolve(path), which), str(path)
    contents = found.contents
    parameters = sum(tensor.numel() for tensor in contents.state.values())
    if not contents.state:
        aligner = Account(source, 0, 0, left_out=contents.left_out)
        return Inspection(found.path, contents.format, "aligner", {}, 0, aligner if contents.left_out else None, {})
    if _is_network(found):
        config, _, card = plan(found, source)
        account = account_of(build_described(config, source), contents.state, source, contents.left_out)
        return Inspection(found.path, contents.format, "network", config.to_dict(), parameters, account, card)
    name = name_backbone(contents.part("backbone"), source)
    account = account_of(_backbone(name), contents.part("backbone"), source, contents.left_out)
    return Inspection(found.path, contents.format, "backbone", {"backbone": name}, parameters, account, {})


def convert_file(
    path: str | Path, out: Path, which: Which = "student", *, half: bool = False, encoder: str | None = None
) -> Account:
    """Write what a file holds in this package's format.

    Args:
        path: As of `load_pretrained`, or a file of a backbone alone.
        out: A folder, or a .safetensors file; of a backbone alone always a file.
        which: Of a checkpoint that has both, the student or its moving average.
        half: Store floats in 16 bits.
        encoder: As of `inspect_file`.

    Raises:
        CheckpointError: If it cannot be read, or does not fit to the last tensor.
        ConfigError: If timm has no such model.
        OutputError: If `out` cannot be written.
    """
    source = str(path)
    if encoder := encoder or architecture_of(Path(path)):
        state, account = _of_timm(path, which, encoder)
    else:
        found = find(resolve(path), which)
        if _is_network(found):
            read = load_pretrained(path, which)
            save_pretrained(read.segmentor, out, read.label_space, read.card, half=half)
            return read.account
        state = found.contents.part("backbone")
        if not state:
            raise CheckpointError(f"'{source}' ({found.contents.format}) holds no network and no backbone to convert.")
        account = account_of(_backbone(name_backbone(state, source)), state, source, found.contents.left_out)
    if out.suffix != ".safetensors":
        raise CheckpointError(f"'{source}' holds a backbone alone: give a file that ends in .safetensors, not '{out}'.")
    if not account.complete:
        raise CheckpointError(f"'{source}' is not written: {account.problems()}.")
    kept = {key: storable(value, half) for key, value in state.items()}
    data = save({key: value.clone().contiguous() for key, value in kept.items()}, metadata={"format": "pt"})
    write_atomically(out, data)
    _log.info("%s", account)
    return account


def _of_timm(path: str | Path, which: Which, name: str) -> tuple[State, Account]:
    """An encoder's tensors in a file of timm's layout, and how they fit."""
    encoder = build_backbone(NetworkConfig(name))
    if not isinstance(encoder, TimmEncoder):
        raise ConfigError(f"encoder: expected a model of timm, timm/NAME, not '{name}'.")
    state, left_out = encoder_weights(encoder, path, which)
    own = wanted(encoder, state)
    state, remarks = with_counters(own, state)
    return state, compare(own, state, str(path), left_out, remarks)


def _is_network(found: Found) -> bool:
    return found.description is not None or any(key.startswith("head.") for key in found.contents.state)


def _backbone(name: str) -> nn.Module:
    with torch.device("meta"):
        return VGG16() if name == "vgg16" else build_backbone(NetworkConfig(name))
