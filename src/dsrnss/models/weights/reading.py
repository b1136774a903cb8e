"""Reading files of tensors, torch's or safetensors, without running any code that may hide in them."""

import collections
import contextlib
import pickle
import re
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor

from dsrnss.errors import CheckpointError
from dsrnss.models.weights.content import check_regular, tell, wrong_checksum
from dsrnss.models.weights.pickles import asked_for

State = dict[str, Tensor]

_SAFE_WAY_OUT = (
    "Convert it where it comes from and where you trust it: torch.save(model.state_dict(), FILE), or "
    "safetensors.torch.save_file(model.state_dict(), FILE)."
)
_DEPTH = 3
"""So deep below the top dictionaries of tensors are looked for."""
_NO_NETWORK = re.compile(
    r"optim(izers?|isers?)?$|optim(iz|is)er_|scheduler|scaler|callback|^loops$|hyper_?param|config|cfg|args|rng|random"
    r"|loss|metric|^amp$|^meta$"
)
"""Under keys like these training programs put what is not the network; it may be tensors, too."""
_OPTIMISER = "param_groups"
_AVERAGE = re.compile(r"(^|[._])(ema|swa|teacher|avg|averag\w*|shadow|momentum)([._]|$)", re.IGNORECASE)
_PACKED = re.compile(r"u?int[1-7]$|float4|bits")
_PACKED_AWAY = (
    "expected plain numbers. Where it comes from: torch.save({name: value.dequantize() if value.is_quantized else "
    "value.to_dense() for name, value in state.items()}, FILE)."
)


class _Inert:
    """What stands in for an object that is not read: it takes anything and does nothing."""

    def __init__(self, *args: object) -> None:
        pass

    def __setstate__(self, state: object) -> None:
        pass


def _plain_dict(*_: object) -> "collections.OrderedDict[str, object]":
    return collections.OrderedDict()


def _plain_list(*_: object) -> list[object]:
    return []


# Settings and statistics beside the tensors of Lightning's and OpenMMLab's checkpoints. The named classes and functions
# are never called, nor imported: the stand-ins are.
_HARMLESS: dict[str, Any] = {
    **dict.fromkeys(
        (
            "argparse.Namespace",
            "builtins.dict",
            "builtins.float",
            "builtins.int",
            "builtins.list",
            "builtins.str",
            "jsonargparse._namespace.Namespace",
            "jsonargparse.namespace.Namespace",
            "mmengine.logging.history_buffer.HistoryBuffer",
            "numpy._core.multiarray._reconstruct",
            "numpy._core.multiarray.scalar",
            "numpy.core.multiarray._reconstruct",
            "numpy.core.multiarray.scalar",
            "numpy.dtype",
            "numpy.ndarray",
            "omegaconf.base.ContainerMetadata",
            "omegaconf.base.Metadata",
            "omegaconf.dictconfig.DictConfig",
            "omegaconf.listconfig.ListConfig",
            "omegaconf.nodes.AnyNode",
            "pathlib.Path",
            "pathlib.PosixPath",
            "pathlib.PurePosixPath",
            "pathlib.WindowsPath",
            "pathlib._local.PosixPath",
            "typing.Any",
        ),
        _Inert,
    ),
    # a dict's subclass is made by its class's __new__, and torch fills only plain dicts
    **dict.fromkeys(
        (
            "lightning.fabric.utilities.data.AttributeDict",
            "lightning_fabric.utilities.data.AttributeDict",
            "pytorch_lightning.utilities.parsing.AttributeDict",
        ),
        collections.OrderedDict,
    ),
    "collections.defaultdict": _plain_dict,
    "collections.deque": _plain_list,
}


@dataclass(frozen=True)
class TensorFile:
    """What a file holds.

    Attributes:
        path: The file.
        tensors: By their names in the file.
        extras: Everything else of a torch checkpoint: step, settings, ...
        metadata: Of a safetensors file.
    """

    path: Path
    tensors: State
    extras: Mapping[str, Any] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)


def read_tensors(path: Path) -> TensorFile:
    """Read all tensors of a file.

    Args:
        path: A safetensors file or a torch file; its content tells which.

    Returns:
        The tensors: those at the top, or those of the dictionaries below it, whatever they are called. Where several
        dictionaries have some, as the network and its moving average, their keys are part of the names.

    Raises:
        CheckpointError: If there is none, it is damaged, wants to run code, or holds no named tensors.
    """
    check_regular(path)
    told = tell(path)
    told.refuse(path, "safetensors file" if path.suffix == ".safetensors" else "checkpoint")
    if told.kind == "safetensors":
        tensors, metadata = read_safetensors(path)
        found = TensorFile(path, tensors, {}, metadata)
    else:
        # mapped, so that the parts of a large checkpoint that nobody wants take no memory
        checkpoint = read_checkpoint(path, mmap=told.kind == "zip")
        extras = {str(key): value for key, value in checkpoint.items() if not isinstance(value, Tensor)}
        found = TensorFile(path, _gather(checkpoint, 0, set()), extras)
        if not found.tensors and (_OPTIMISER in checkpoint or any("optim" in key.lower() for key in extras)):
            raise CheckpointError(
                f"'{path}' holds the state of an optimiser alone: give the file with the network, which was saved "
                "beside it."
            )
    if not found.tensors:
        raise CheckpointError(f"'{path}' holds no tensors: a file of weights is a dictionary of named tensors.")
    _check_storage(found)
    return found


def _gather(values: Mapping[Any, Any], depth: int, seen: set[int]) -> State:
    """The tensors of a dictionary, or of those below it, if these have more."""
    seen.add(id(values))
    own = {str(key): value.detach() for key, value in values.items() if isinstance(value, Tensor)}
    below: dict[str, State] = {}
    for key, value in values.items() if depth < _DEPTH else ():
        if not isinstance(value, Mapping) or id(value) in seen or _NO_NETWORK.search(str(key).lower()):
            continue
        if _OPTIMISER not in value and (inner := _gather(value, depth + 1, seen)):
            below[str(key)] = inner
    if _OPTIMISER in values or len(own) >= sum(map(len, below.values())):
        return own
    if len(below) == 1 and not is_average(key := next(iter(below))):
        return below[key]
    return {f"{key}.{name}": tensor for key, inner in below.items() for name, tensor in inner.items()}


def is_average(name: str) -> bool:
    """Whether what has this name is the moving average of a network: a teacher."""
    return _AVERAGE.search(name) is not None


def _check_storage(file: TensorFile) -> None:
    for name, tensor in file.tensors.items():
        kind = str(tensor.dtype).removeprefix("torch.")
        if tensor.layout != torch.strided or tensor.is_nested or tensor.is_quantized or _PACKED.match(kind):
            raise CheckpointError(
                f"'{file.path}': tensor '{name}' is sparse, nested or quantised ({kind}); {_PACKED_AWAY}"
            )
        if tensor.is_meta:
            raise CheckpointError(f"'{file.path}': tensor '{name}' has no numbers (it was on the meta device).")
        if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
            raise CheckpointError(f"'{file.path}': tensor '{name}' claims to be larger than the numbers stored for it.")


def read_safetensors(path: Path) -> tuple[State, dict[str, str]]:
    """Tensors and metadata of a safetensors file.

    Raises:
        CheckpointError: If it is missing or damaged.
    """
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except Exception as error:  # whatever stands in its header
        raise CheckpointError(f"'{path}' is not a readable safetensors file: {_header_fault(error)}.") from error


def _header_fault(error: Exception) -> str:
    """What the library finds wrong, in our words."""
    text = _first_line(error).removeprefix("Error while deserializing header: ")
    faults = {
        "not fully covered": "its size is not what its header says, so it is cut off; copy or download it again",
        "invalid header length": "it is cut off within its header; copy or download it again",
        "header too small": "it is cut off within its header; copy or download it again",
        "header too large": "its header claims to be larger than any is",
        "invalid offset": "tensors in it overlap or leave gaps",
        "invalid shape": "a tensor's shape does not fit the bytes stored for it",
    }
    fault = next((said for sign, said in faults.items() if sign in text), "")
    return f"{fault} ({text})" if fault else text


def read_checkpoint(path: Path, *, mmap: bool = False) -> dict[str, Any]:
    """Read a torch file without running any code that may hide in it.

    Args:
        path: The file.
        mmap: Read tensors only when they are used.

    Raises:
        CheckpointError: If it is not a torch file, is damaged, or wants to run code.
    """
    check_regular(path)
    told = tell(path)
    told.refuse(path)
    if told.kind == "safetensors":
        raise CheckpointError(f"'{path}' is a safetensors file: it holds tensors, and no state of a training.")
    if told.kind == "zip" and (wrong := wrong_checksum(path)):
        raise CheckpointError(f"'{path}' is damaged: {wrong}. Copy or download it again.")
    checkpoint = unpickle(path, mmap)
    if not isinstance(checkpoint, dict):
        raise CheckpointError(f"'{path}' holds a {type(checkpoint).__name__}, not a dictionary of named tensors.")
    return checkpoint


def damage(path: Path) -> str:
    """What is wrong with a file of weights, in words; empty if it is as it was written.

    Each entry of torch's zip has a checksum, and all are compared. A safetensors file tells by its header that it is
    whole; torch's old format has nothing to compare.

    Args:
        path: The file.

    Returns:
        The reason why it is not sound: it is cut off, cannot be read, or the checksum of an entry is wrong.
    """
    try:
        check_regular(path)
    except CheckpointError:
        return "it is no file that can be read"
    told = tell(path)
    if told.reason or told.kind == "pickle":
        return told.reason
    if told.kind == "zip":
        return wrong_checksum(path)
    try:
        with safe_open(path, framework="pt"):
            return ""
    except Exception as error:  # as above
        return _header_fault(error)


def unpickle(path: Path, mmap: bool) -> Any:
    """What a torch file holds, its checksums not compared.

    Raises:
        CheckpointError: If it wants to run code, or cannot be read.
    """
    asked = asked_for(path)
    if asked.greedy:
        raise CheckpointError(
            f"'{path}' is refused: it asks for {asked.greedy}, which could take any amount of memory. {_SAFE_WAY_OUT}"
        )
    try:
        return _load(path, mmap)
    except pickle.UnpicklingError as error:
        if asked.whole:
            raise CheckpointError(
                f"'{path}' holds a whole object of the class {asked.whole}, not its tensors. Reading it could run "
                f"code, so it is refused; nothing of it was run. {_SAFE_WAY_OUT}"
            ) from error
        wanted = re.search(r"GLOBAL (\S+)|reduce for unrecognized function (\S+)", str(error))
        what = f"it asks for {wanted[1] or wanted[2]}" if wanted else "it asks for more, or it is damaged"
        raise CheckpointError(
            f"'{path}' is not a readable checkpoint of tensors alone: {what}. "
            f"Reading it could run code, so it is refused; nothing of it was run. {_SAFE_WAY_OUT}"
        ) from error
    except Exception as error:  # a broken file makes the unpickler trip over anything
        raise CheckpointError(f"'{path}' is not a readable checkpoint: {_first_line(error)}.") from error


def _load(path: Path, mmap: bool) -> Any:
    try:
        return _torch_load(path, mmap)
    except pickle.UnpicklingError as error:
        if "GLOBAL" not in str(error):
            raise
    stand_ins: list[Callable[..., Any] | tuple[Callable[..., Any], str]] = [
        (stand_in, name) for name, stand_in in _HARMLESS.items()
    ]
    with torch.serialization.safe_globals(stand_ins):
        return _torch_load(path, mmap)


def _torch_load(path: Path, mmap: bool) -> Any:
    with warnings.catch_warnings(), contextlib.ExitStack() as stack:
        # of a pickle that torch did not write, or of quantised tensors; what is wrong is said in our words
        warnings.filterwarnings("ignore", message="Detected pickle protocol|.*quantized|TypedStorage is deprecated")
        if path.suffix == ".safetensors":  # torch goes by the name
            return torch.load(stack.enter_context(path.open("rb")), map_location="cpu", weights_only=True)
        return torch.load(path, map_location="cpu", weights_only=True, mmap=mmap)


def _first_line(error: Exception) -> str:
    lines = str(error).splitlines()
    return lines[0].rstrip(".") if lines else f"{type(error).__name__}, it is cut off or damaged"
