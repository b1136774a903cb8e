"""Reading the weights of UAWarpC and of its VGG-16 from whatever file holds them."""

import logging
from pathlib import Path

import torch
from torch import nn

from dsrnss.adaptation.alignment.uawarpc_network import UAWarpC
from dsrnss.errors import CheckpointError, DsrnssError
from dsrnss.models.weights.account import compare, with_counters
from dsrnss.models.weights.reading import State, read_tensors
from dsrnss.models.weights.registry import REGISTRY
from dsrnss.models.weights.resolving import resolve
from dsrnss.models.weights.unwrapping import plain_names

RANDOM = "random"
"""In the place of a file: weights drawn from `SEED`, the same each time."""

SEED = 0

HEAD, VGG = "UAWarpC", "VGG-16"

PROBES = {HEAD: "decoder4.conv_0.conv.weight", VGG: "features.0.weight"}
"""What precedes this in a key is the prefix of the part's tensors."""

CLASSIFIER = "classifier."
_log = logging.getLogger(__name__)
"""torchvision's VGG-16 has this as well; nothing here needs it."""


def build(weights: str | Path, vgg_weights: str | Path) -> UAWarpC:
    """Make a network and read its weights; torch's random state stays as it is.

    Args:
        weights: Name, file or `random`: the matching head, and the VGG-16 if the file holds one.
        vgg_weights: Name, file or `random`: the VGG-16, not looked at if `weights` holds one.

    Returns:
        The network in eval mode, on the CPU, without gradients.

    Raises:
        CheckpointError: If a file is missing, broken or does not fit.
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(SEED)
        network = UAWarpC()
    vgg = None
    if str(weights) != RANDOM:
        state = find_tensors(weights)
        parts = split(state)
        vgg = parts.get(VGG)
        fill(network.head, parts.get(HEAD), HEAD, weights, len(state) - sum(map(len, parts.values())))
        if vgg is not None:
            fill(network.vgg, vgg, VGG, weights)
    if vgg is None and str(vgg_weights) != RANDOM:
        fill(network.vgg, split(find_tensors(vgg_weights)).get(VGG), VGG, vgg_weights)
    return network.eval().requires_grad_(False)


def split(state: State) -> dict[str, State]:
    """Find the head and the VGG-16 in a file.

    Args:
        state: All its tensors. The parts may stand under any prefix, as `alignment_head.` and `alignment_backbone.` in
            the authors' checkpoints, whose other parts are left out.

    Returns:
        The tensors of `HEAD` and of `VGG`, as far as the file holds them, under their own names.
    """
    prefixes = {part: prefix for part, probe in PROBES.items() if (prefix := find_prefix(state, probe)) is not None}
    parts: dict[str, State] = {part: {} for part in prefixes}
    for key, tensor in state.items():
        owners = [part for part, prefix in prefixes.items() if key.startswith(prefix)]
        if not owners:
            continue
        owner = max(owners, key=lambda part: len(prefixes[part]))
        name = key.removeprefix(prefixes[owner])
        if prefixes.get(HEAD) == prefixes.get(VGG):  # side by side: the names tell
            owner = VGG if name.startswith(("features.", CLASSIFIER)) else HEAD
        if owner == HEAD or not name.startswith(CLASSIFIER):
            parts[owner][name] = tensor
    return parts


def find_prefix(state: State, probe: str) -> str | None:
    """What precedes a part's names, or None without such a part."""
    prefixes = [key.removesuffix(probe) for key in state if key == probe or key.endswith(f".{probe}")]
    return min(prefixes, key=lambda prefix: ("alignment_" not in prefix, len(prefix)), default=None)


def find_tensors(name: str | Path) -> State:
    """All tensors of a file, by its path or by a registered name, fetched if need be.

    Raises:
        CheckpointError: If it cannot be had, is broken or holds no tensors.
    """
    try:
        path = resolve(name)
    except DsrnssError as error:
        if str(name) not in REGISTRY:
            raise
        raise CheckpointError(
            f"{error}\nThe aligner needs these weights: `dsrnss weights fetch {name}` gets them, given a network."
        ) from error
    return plain_names(read_tensors(path).tensors)


def fill(module: nn.Module, state: State | None, what: str, source: str | Path, left_out: int = 0) -> None:
    """Load all tensors of a module, none more, none fewer, and say so.

    Args:
        module: The network.
        state: Its tensors, None if the file has none.
        what: What it is, for messages.
        source: Where they come from.
        left_out: Number of tensors in the file that belong to something else.

    Raises:
        CheckpointError: Listing what is missing, unexpected, of another shape or not finite.
    """
    if state is None:
        raise CheckpointError(f"'{source}' holds no {what}: no tensor's name in it ends in '{PROBES[what]}'.")
    own = module.state_dict()
    state, remarks = with_counters(own, state)
    account = compare(own, state, str(source), {"other networks": left_out} if left_out else None, remarks)
    if not account.complete:
        raise CheckpointError(f"'{source}' does not fit {what}: {account.problems()}.")
    module.load_state_dict(state)
    _log.info("%s: %s", what, account)
