"""Weights for encoders of timm: from timm's hub and from files of its layout."""

import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from dsrnss.errors import CheckpointError
from dsrnss.models.backbones.timm_encoder import TimmEncoder, create
from dsrnss.models.weights.files import find
from dsrnss.models.weights.lite0 import LITE0_PROBE, UNUSED
from dsrnss.models.weights.reading import State, read_tensors
from dsrnss.models.weights.resolving import resolve
from dsrnss.models.weights.unwrapping import Which

_FILES = ("model.safetensors", "pytorch_model.bin")
_OURS = ("backbone.", "student.backbone.", "method.")
"""How tensors begin in the files of this package."""

HUB = "timm"
"""As the name of weights: those that timm itself fetches."""


def encoder_weights(encoder: TimmEncoder, path: str | Path, which: Which) -> tuple[State, dict[str, int]]:
    """Tensors for an encoder under its names, and what else their source holds.

    Args:
        encoder: What they are for.
        path: `timm`: what timm fetches for it. Or as of `load_backbone`, and files and folders of timm's layout.
        which: Of a checkpoint that has both, the student's or its moving average's.

    Raises:
        CheckpointError: If there is nothing there, or it does not fit.
    """
    if str(path) == HUB:
        return from_hub(encoder), {}
    place = resolve(path)
    file = next((place / name for name in _FILES if (place / name).is_file()), place)
    tensors = read_tensors(file).tensors
    if not any(key.startswith(_OURS) or key == LITE0_PROBE for key in tensors):
        return from_file(encoder, tensors, str(path))
    contents = find(place, which).contents
    left_out = dict(contents.left_out)
    for part in ("head", "hrda_scale_attention"):
        if others := contents.part(part):
            left_out[part] = len(others)
    return contents.part("backbone"), left_out


def wanted(encoder: TimmEncoder, state: State) -> State:
    """The encoder's tensors that a file must fill: no file of timm's has the pyramid, which keeps its weights."""
    return {key: value for key, value in encoder.state_dict().items() if key in state or key.startswith("model.")}


def architecture_of(path: Path) -> str | None:
    """The model that a folder downloaded from the hub is of, as its config.json names it for timm; None of others."""
    try:
        values = json.loads((path / "config.json").read_bytes())
    except (OSError, ValueError):
        return None
    name = values.get("architecture") if isinstance(values, dict) else None
    return f"timm/{name}" if isinstance(name, str) else None


def from_hub(encoder: TimmEncoder) -> State:
    """The tensors that timm fetches for an encoder, from its cache if they are there.

    Raises:
        CheckpointError: If there are none, or the hub cannot be reached.
    """
    try:
        model = create(encoder.name, encoder.options, pretrained=True)
    except (OSError, RuntimeError, ValueError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        where = encoder.model.pretrained_cfg.get("hf_hub_id") or encoder.name
        raise CheckpointError(
            f"timm cannot fetch the weights of '{encoder.name}': {reason} Download model.safetensors of "
            f"https://huggingface.co/{where} elsewhere, and give the file."
        ) from error
    own = encoder.state_dict()
    return {key: value for name, value in model.state_dict().items() if (key := f"model.{name}") in own}


def from_file(encoder: TimmEncoder, tensors: Mapping[str, Tensor], source: str) -> tuple[State, dict[str, int]]:
    """Tensors of a file of timm's layout, or of one that timm converts, under the encoder's names.

    Position embeddings of another grid are interpolated.

    Args:
        encoder: What they are for.
        tensors: As the file names them.
        source: The file, for messages.

    Returns:
        The tensors, and what else the file holds.

    Raises:
        CheckpointError: If timm cannot convert it.
    """
    convert = getattr(sys.modules[type(encoder.model).__module__], "checkpoint_filter_fn", None)
    # as files of our own `weights convert` name them
    state = {name.removeprefix("model."): value for name, value in tensors.items()}
    if convert is not None:
        try:
            state = convert(state, encoder.model)
        except Exception as error:  # the file may be anything
            raise CheckpointError(
                f"'{source}' does not fit the backbone timm/{encoder.name}: {type(error).__name__}: {error}"
            ) from error
    with torch.device("meta"):
        known = create(encoder.name, encoder.options).state_dict().keys()
    own = encoder.state_dict()
    unused = {name for name in state if f"model.{name}" not in own and (name in known or _classifies(encoder, name))}
    left_out = {UNUSED: len(unused)} if unused else {}
    return {f"model.{name}": value for name, value in state.items() if name not in unused}, left_out


def _classifies(encoder: TimmEncoder, name: str) -> bool:
    heads = encoder.model.pretrained_cfg.get("classifier") or ()
    heads = (heads,) if isinstance(heads, str) else heads
    return (
        any(name.startswith(f"{head}.") for head in heads) or re.match(r"(head|fc_norm|attn_pool)\.", name) is not None
    )
