"""Which of a file's tensors are the network that is wanted, and their names without what wraps it."""

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from torch import Tensor

from dsrnss.errors import CheckpointError
from dsrnss.models.weights.reading import State, is_average

Which = Literal["student", "teacher"]

_WRAPPER = re.compile(
    r"(?:(?<=\.)|^)(?:module|_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module|_forward_module)\."
)
"""Of DataParallel, torch.compile, FSDP, activation checkpoints and Lightning's Fabric, wherever they stand."""
_AROUND = re.compile(
    rf"(?:(?<=\.)|^)(?:(?!module\.){_WRAPPER.pattern}|(?:module|model)\.(?=(?:\w+\.)?(?:backbone|head|hrda_scale_attention)\.))"
)
"""The same without `module.` in a part, where somebody's own backbone may have something of this name."""
_COUNTERS = ("n_averaged", "steps")
"""Beside the network in the moving averages of torch and of OpenMMLab."""
_PARTS = re.compile(r"(?:^|(?<=\.))(?:m_)?(?:backbone|decode_head|segformer)\.")
"""A network stands where parts of these names do; before it, what wraps it."""
_ALONE = re.compile(
    r"(?:^|(?<=\.))(?:patch_embed1\.proj|layers\.0\.0\.projection|layer1\.0\.conv1|stages\.0\.0\.0|features\.0"
    r"|encoder\.patch_embeddings\.0\.proj|p_ims1d2_outl1_dimred)\.weight$"
)
"""A backbone without more is told by a tensor that only it has."""
_OTHERS = re.compile(r"(^|[._])(imnet|imagenet|discriminators?|alignment|aligner|reference)([._]|$)")
"""What has such a name has a backbone, too, and is not the network."""
_USUAL = ("student", "state_dict", "model_state_dict", "model", "net", "network", "weights", "params", "generator")


@dataclass(frozen=True)
class Unwrapped:
    """A network among a file's tensors.

    Attributes:
        state: Its tensors, named without wrappers.
        average: Whether it is the moving average beside, or without, the network itself.
        left_out: What else is in the file, with its number of tensors.
    """

    state: State
    average: bool = False
    left_out: Mapping[str, int] = field(default_factory=dict)


def plain_names(tensors: Mapping[str, Tensor], *, within: bool = True) -> State:
    """Tensors under names without those of wrappers; as they are where two would have the same.

    Args:
        tensors: By their names in the file.
        within: Whether `module.` goes also within a part, where it may be a name of somebody's own.
    """
    state = {(_WRAPPER if within else _AROUND).sub("", key): value for key, value in tensors.items()}
    return state if len(state) == len(tensors) else dict(tensors)


def unwrap(tensors: Mapping[str, Tensor], which: Which, source: str) -> Unwrapped:
    """Find the network.

    Args:
        tensors: All tensors of a file.
        which: Where there is a moving average beside the network, `teacher` means that. One alone is taken for either.
        source: The file, for messages.

    Raises:
        CheckpointError: If there are several networks, and none is called as the network usually is.
    """
    state = plain_names(tensors)
    roots = _roots(state, _PARTS) or _roots(state, _ALONE)
    root = _choose(roots, which, source)
    if root is None:
        return Unwrapped(state)
    mine: State = {}
    left_out: Counter[str] = Counter()
    for key, value in state.items():
        if max((other for other in roots if key.startswith(other)), key=len, default=None) == root:
            name = key.removeprefix(root)
            if name in _COUNTERS:
                left_out[f"{name} of the average"] += 1
            else:
                mine[name] = value
        else:
            left_out[key.partition(".")[0]] += 1
    return Unwrapped(_without_model(mine), is_average(root), left_out)


def _roots(state: State, sign: re.Pattern[str]) -> set[str]:
    """What stands before the networks in a file: nothing, `model.`, `ema.`, ..."""
    return {key[: match.start()] for key in state if (match := sign.search(key))}


def _choose(roots: set[str], which: Which, source: str) -> str | None:
    candidates = {root for root in roots if not _OTHERS.search(root)}
    averages = {root for root in candidates if is_average(root)}
    if averages and (which == "teacher" or averages == candidates):
        candidates = averages
    else:
        candidates -= averages
    if len(candidates) <= 1:
        return next(iter(candidates), None)

    def rank(root: str) -> int:
        words = root.strip(".").split(".")
        return min((_USUAL.index(word) for word in words if word in _USUAL), default=len(_USUAL)) if root else -1

    first, second = sorted(candidates, key=rank)[:2]
    if rank(first) == rank(second):
        shown = " and ".join(f"'{root}*'" for root in sorted(candidates)[:5])
        raise CheckpointError(
            f"'{source}' holds {len(candidates)} networks, {shown}, and no name tells which is wanted. Save one alone: "
            "torch.save({name.removeprefix(PREFIX): value for name, value in state.items() if "
            "name.startswith(PREFIX)}, FILE)."
        )
    return first


def _without_model(state: State) -> State:
    """Without `model.` within the names, where only so a backbone is known: others may be called so."""
    if any(re.search(rf"^(?:(?:m_)?backbone\.)?(?:{_ALONE.pattern})", key) for key in state):
        return state
    stripped = {re.sub(r"(?<=\.)model\.", "", key): value for key, value in state.items()}
    known = any(re.search(rf"(?:backbone\.)(?:{_ALONE.pattern})", key) for key in stripped)
    return stripped if known and len(stripped) == len(state) else state
