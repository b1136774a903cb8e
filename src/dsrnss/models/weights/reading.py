"""Reading files of tensors, torch's or safetensors, without running any code that may hide in them."""

import collections
import pickle
import re
import warnings
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from dsrnss.errors import CheckpointError

State = dict[str, Tensor]

_SAFE_WAY_OUT = (
    "Convert it where it comes from and where you trust it: torch.save(model.state_dict(), FILE), or "
    "safetensors.torch.save_file(model.state_dict(), FILE)."
)
_ZIP = b"PK\x03\x04"
_STATE_KEYS = ("state_dict", "model_state_dict", "model")
"""Under these keys training programs put the tensors, beside what else they save."""


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
        path: A safetensors file (by its ending) or a torch file.

    Raises:
        CheckpointError: If there is none, it is damaged, wants to run code, or holds no named tensors.
    """
    if path.is_dir():
        raise CheckpointError(f"'{path}' is a folder: give the file with the weights that is in it.")
    check_regular(path)
    if path.suffix == ".safetensors":
        tensors, metadata = read_safetensors(path)
        found = TensorFile(path, tensors, {}, metadata)
    else:
        # mapped, so that the parts of a large checkpoint that nobody wants take no memory
        checkpoint = read_checkpoint(path, mmap=_begins_with(path, _ZIP))
        inner = next((checkpoint[key] for key in _STATE_KEYS if isinstance(checkpoint.get(key), Mapping)), checkpoint)
        extras = {key: value for key, value in checkpoint.items() if value is not inner and key not in inner}
        found = TensorFile(path, _only_tensors(inner), extras)
    if not found.tensors:
        raise CheckpointError(f"'{path}' holds no tensors: a file of weights is a dictionary of named tensors.")
    _check_storage(found)
    return found


def check_regular(path: Path) -> None:
    """Refuse pipes and devices, which may never end.

    Raises:
        CheckpointError: If it is there and, behind links, no regular file.
    """
    if path.exists() and not path.is_file():
        raise CheckpointError(f"'{path}' is not a regular file: copy what it gives to a file, and give that.")


def _only_tensors(values: Mapping[Any, Any]) -> State:
    return {str(key): value.detach() for key, value in values.items() if isinstance(value, Tensor)}


def _check_storage(file: TensorFile) -> None:
    for name, tensor in file.tensors.items():
        if tensor.layout != torch.strided or tensor.is_quantized:
            raise CheckpointError(f"'{file.path}': tensor '{name}' is sparse or quantised; expected plain numbers.")
        if not tensor.is_meta and tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
            raise CheckpointError(f"'{file.path}': tensor '{name}' claims to be larger than the numbers stored for it.")


def read_safetensors(path: Path) -> tuple[State, dict[str, str]]:
    """Tensors and metadata of a safetensors file.

    Raises:
        CheckpointError: If it is missing or damaged.
    """
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError, RuntimeError) as error:
        raise CheckpointError(f"'{path}' is not a readable safetensors file: {error}.") from error


def read_checkpoint(path: Path, *, mmap: bool = False) -> dict[str, Any]:
    """Read a torch file without running any code that may hide in it.

    Args:
        path: The file.
        mmap: Read tensors only when they are used.

    Raises:
        CheckpointError: If it is not a torch file, is cut off, or wants to run code.
    """
    try:
        _check_kind(path)
        checkpoint = _load(path, mmap)
    except CheckpointError:
        raise
    except pickle.UnpicklingError as error:
        wanted = re.search(r"GLOBAL (\S+)|reduce for unrecognized function (\S+)", str(error))
        what = f"it asks for {wanted[1] or wanted[2]}" if wanted else "it asks for more, or it is damaged"
        raise CheckpointError(
            f"'{path}' is not a readable checkpoint of tensors alone: {what}. "
            f"Reading it could run code, so it is refused; nothing of it was run. {_SAFE_WAY_OUT}"
        ) from error
    except Exception as error:  # a broken file makes the unpickler trip over anything
        raise CheckpointError(f"'{path}' is not a readable checkpoint: {_first_line(error)}.") from error
    if not isinstance(checkpoint, dict):
        raise CheckpointError(f"'{path}' holds a {type(checkpoint).__name__}, not a dictionary of named tensors.")
    return checkpoint


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
    with warnings.catch_warnings():
        # of a pickle that torch did not write; what is wrong with it is said in our words
        warnings.filterwarnings("ignore", message="Detected pickle protocol")
        return torch.load(path, map_location="cpu", weights_only=True, mmap=mmap)


def _begins_with(path: Path, start: bytes) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(len(start)) == start
    except OSError:
        return False


def _check_kind(path: Path) -> None:
    """Tell what a file is that torch would only stumble over."""
    check_regular(path)
    with path.open("rb") as file:
        start = file.read(16)
    if not start:
        raise CheckpointError(f"'{path}' is empty (0 bytes): copy or download it again.")
    if not start.startswith((_ZIP, b"\x80")):
        raise CheckpointError(
            f"'{path}' is not a readable checkpoint: it begins with {start!r}, not as torch files do."
        )
    if start.startswith(_ZIP):
        if not zipfile.is_zipfile(path):
            raise CheckpointError(f"'{path}' is not a readable checkpoint: it is cut off. Copy or download it again.")
        with zipfile.ZipFile(path) as archive:
            # torch stores its tensors as they are: a compressed entry may unpack to any size
            if any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
                raise CheckpointError(
                    f"'{path}' is refused: it is a compressed archive, which torch.save never writes."
                )


def _first_line(error: Exception) -> str:
    lines = str(error).splitlines()
    return lines[0].rstrip(".") if lines else f"{type(error).__name__}, it is cut off or damaged"
