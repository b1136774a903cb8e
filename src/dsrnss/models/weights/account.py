"""The account of a loading: every tensor of the network and of the file is loaded, left out with a reason, or named."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

_LISTED = 12
"""So many names are listed one by one; more are summed up by what they begin with."""


@dataclass(frozen=True)
class Account:
    """What became of the tensors of a file and of a network.

    Attributes:
        source: The file.
        loaded: Tensors of the network that were filled.
        total: Tensors of the network.
        missing: Names that the network has and the file has not.
        unexpected: Names that the file has and the network has not.
        misshapen: Names with both shapes (or types) where they differ.
        broken: Names of tensors with NaN or infinite values, as the network would hold them.
        negative: Names of variances below zero.
        left_out: What the file holds beside the network, with its number of tensors.
        remarks: What else is to be known.
    """

    source: str
    loaded: int
    total: int
    missing: tuple[str, ...] = ()
    unexpected: tuple[str, ...] = ()
    misshapen: tuple[str, ...] = ()
    broken: tuple[str, ...] = ()
    negative: tuple[str, ...] = ()
    left_out: Mapping[str, int] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether every tensor fits."""
        return not self.problems()

    def problems(self) -> str:
        """Lists of what does not fit; empty if all does."""
        kinds = {
            "missing": self.missing,
            "unexpected": self.unexpected,
            "of another shape": self.misshapen,
            "with NaN or infinite values": self.broken,
            "with negative variances": self.negative,
        }
        return "; ".join(f"{len(names)} {kind}: {_listed(names)}" for kind, names in kinds.items() if names)

    def __str__(self) -> str:
        lines = [f"{self.loaded}/{self.total} tensors loaded from '{self.source}'."]
        if self.left_out:
            parts = ", ".join(f"{what} ({count})" for what, count in self.left_out.items())
            lines.append(f"Left out, not part of the network: {parts}.")
        if not self.complete:
            lines.append(f"{self.problems()}.")
        return " ".join([*lines, *self.remarks])


def _listed(names: Iterable[str]) -> str:
    names = sorted(names)
    if len(names) <= _LISTED:
        return ", ".join(names)
    groups = Counter(".".join(name.partition(" ")[0].split(".")[:2]) for name in names)
    if len(groups) <= _LISTED:
        return ", ".join(f"{group}.* ({count})" for group, count in groups.items())
    groups = Counter(name.partition(" ")[0].partition(".")[0] for name in names)
    return ", ".join(f"{group}.* ({count})" for group, count in groups.items())


def compare(
    own: Mapping[str, Tensor],
    state: Mapping[str, Tensor],
    source: str,
    left_out: Mapping[str, int] | None = None,
    remarks: Iterable[str] = (),
) -> Account:
    """Compare a file's tensors with a network's, before any is copied.

    Args:
        own: The network's; they may be on the meta device.
        state: The file's, in the network's names.
        source: The file, for messages.
        left_out: What else is in the file.
        remarks: What else is to be known.
    """
    both = own.keys() & state.keys()
    misshapen = [
        f"{key} {_kind(state[key])} for {_kind(own[key])}"
        for key in own
        if key in both and not fits(own[key], state[key])
    ]
    shaped = [key for key in own if key in both and fits(own[key], state[key])]
    broken = [key for key in shaped if not _finite(state[key], own[key].dtype)]
    negative = [key for key in shaped if key.endswith("running_var") and _negative(state[key], own[key].dtype)]
    return Account(
        source=source,
        loaded=len(shaped),
        total=len(own),
        missing=tuple(sorted(own.keys() - state.keys())),
        unexpected=tuple(sorted(state.keys() - own.keys())),
        misshapen=tuple(misshapen),
        broken=tuple(broken),
        negative=tuple(negative),
        left_out=dict(left_out or {}),
        remarks=tuple(remarks),
    )


def fits(own: Tensor, other: Tensor) -> bool:
    """Whether a file's tensor can fill a network's: shape and kind of number."""
    if own.shape != other.shape or other.is_complex():
        return False
    # a batch counter may have been stored as a float, but rounded weights are no weights
    return other.is_floating_point() or not own.is_floating_point()


def with_counters(own: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], list[str]]:
    """A file's tensors with the counters of batch norm that it lacks.

    Old files lack them, and only training with a cumulative average reads them: they are 0.

    Args:
        own: The network's.
        state: The file's, in the network's names.

    Returns:
        The tensors, and a remark if any was added.
    """
    ending = "num_batches_tracked"
    absent = [key for key in own if key.rpartition(".")[2] == ending and key not in state]
    zeros = {
        key: torch.zeros((), dtype=torch.int64) for key in absent if f"{key.removesuffix(ending)}running_var" in state
    }
    remarks = [f"{len(zeros)} batch counters are not in the file and start at 0."] if zeros else []
    return {**state, **zeros}, remarks


def _finite(tensor: Tensor, own: torch.dtype) -> bool:
    if tensor.is_meta or not tensor.is_floating_point():
        return True
    # a float64 may be beyond what the network's float32 holds
    return bool(torch.isfinite(tensor.to(own) if own.is_floating_point else tensor).all())


def _negative(tensor: Tensor, own: torch.dtype) -> bool:
    # numbers of 8 bits can be converted and not compared
    return not tensor.is_meta and bool((tensor.to(own) < 0).any())


def _kind(tensor: Tensor) -> str:
    kind = "" if tensor.is_floating_point() or tensor.ndim == 0 else f" {tensor.dtype}"
    return f"{tuple(tensor.shape)}{kind}"
