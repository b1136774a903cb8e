"""What a file is, told by its content: names lie, and torch only stumbles over what it does not know."""

import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from dsrnss.downloading import BLANK, is_page
from dsrnss.errors import CheckpointError

Kind = Literal["zip", "pickle", "safetensors"]

WEIGHTS = (".ckpt", ".safetensors", ".pth", ".pt", ".bin", ".tar")
"""How the names of files of weights end."""

_AGAIN = "Copy or download it again."
_START = 512
_LARGEST_HEADER = 100_000_000
"""Bytes of a safetensors header, the limit of its format."""
_MARKS: tuple[tuple[bytes, str, str], ...] = (
    (
        b"version https://git-lfs",
        "it is a Git LFS pointer, a few lines in the place of the file",
        "Run `git lfs pull` in its repository, or download the file itself.",
    ),
    (
        b"\x89HDF\r\n",
        "it is an HDF5 file, as Keras writes them (.h5)",
        "Networks of Keras are not read: give the weights of a PyTorch network.",
    ),
    (b"\x93NUMPY", "it is one array of numpy (.npy)", "Give a file of named tensors."),
    (b"GGUF", "it is a GGUF file, for language models", "Give a file of PyTorch or safetensors."),
    (b"\x1f\x8b", "it is compressed (gzip)", "Unpack it, and give what is in it."),
    (b"BZh", "it is compressed (bzip2)", "Unpack it, and give what is in it."),
    (b"\xfd7zXZ", "it is compressed (xz)", "Unpack it, and give what is in it."),
    (b"\x28\xb5\x2f\xfd", "it is compressed (zstandard)", "Unpack it, and give what is in it."),
    (b"7z\xbc\xaf", "it is an archive (7-Zip)", "Unpack it, and give what is in it."),
    (b"Rar!", "it is an archive (RAR)", "Unpack it, and give what is in it."),
)
_PAGE = (
    "it is a web page (HTML), not the file",
    "Download it again by the address of the file itself (on Hugging Face .../resolve/..., not .../blob/...).",
)
_ONNX = (
    "it is an ONNX file, a network to run and not to load",
    "Give the PyTorch file that it was exported from.",
)


@dataclass(frozen=True)
class Told:
    """What a file is.

    Attributes:
        kind: How it is read; None if it is not.
        reason: Why it is not read, in words that follow "because"; empty if it is.
        cure: A sentence on what to do.
    """

    kind: Kind | None
    reason: str = ""
    cure: str = ""

    def refuse(self, path: Path, what: str = "checkpoint") -> None:
        """Say what it is, unless it can be read.

        Raises:
            CheckpointError: If it cannot.
        """
        if self.reason:
            raise CheckpointError(f"'{path}' is not a readable {what}: {self.reason}. {self.cure}".rstrip())


def check_regular(path: Path) -> None:
    """Refuse folders, and pipes and devices, which may never end.

    Raises:
        CheckpointError: If it is there and, behind links, no regular file, or its folder cannot be opened.
    """
    try:
        if path.is_dir():
            raise CheckpointError(f"'{path}' is a folder: give the file with the weights that is in it.")
        if path.exists() and not path.is_file():
            raise CheckpointError(f"'{path}' is not a regular file: copy what it gives to a file, and give that.")
    except OSError as error:
        raise CheckpointError(f"'{path}' cannot be opened ({(error.strerror or str(error)).lower()}).") from error


def tell(path: Path) -> Told:
    """Tell what a regular file is by how it begins, and whether its archive is whole; no number in it is looked at."""
    try:
        with path.open("rb") as file:
            start = file.read(_START)
    except OSError as error:
        cure = "Ask its owner for it, or make it readable (chmod)." if isinstance(error, PermissionError) else ""
        return Told(None, f"it cannot be opened ({(error.strerror or str(error)).lower()})", cure)
    if not start:
        return Told(None, "it is empty (0 bytes)", _AGAIN)
    # first, because the length of its header may be any number, also one that looks like the mark of a pickle
    if start[8:9] == b"{" and (int.from_bytes(start[:8], "little") <= _LARGEST_HEADER or path.suffix == ".safetensors"):
        return Told("safetensors")
    if start.startswith(b"PK\x03\x04"):
        return _tell_zip(path)
    if start.startswith(b"\x80"):
        return Told("pickle")
    return _tell_foreign(path, start)


def _tell_foreign(path: Path, start: bytes) -> Told:
    for mark, reason, cure in _MARKS:
        if start.startswith(mark):
            return Told(None, reason, cure)
    text = start.lstrip(BLANK)
    if is_page(start):
        return Told(None, *_PAGE)
    if start[257:262] == b"ustar":
        return _tell_tar(path)
    if start[:1] == b"\x08" and (path.suffix == ".onnx" or b"pytorch" in start[:32] or b"onnx" in start[:32]):
        return Told(None, *_ONNX)
    if start[4:8] == b"TFL3":
        return Told(None, "it is a TensorFlow Lite file", "Give the weights of a PyTorch network.")
    if text.startswith((b"{", b"[")):
        return Told(None, "it is a text in JSON, not tensors", "Give the file of weights beside it.")
    return Told(None, f"it begins with {start[:16]!r}, not as torch files do")


def _tell_tar(path: Path) -> Told:
    try:
        with tarfile.open(path, "r:") as archive:
            names = [member.name for member, _ in zip(archive, range(1000), strict=False)]
    except (tarfile.TarError, OSError, ValueError, EOFError) as error:
        return Told(None, f"it is a damaged tar archive ({error})", _AGAIN)
    if {"pickle", "storages", "tensors"} <= set(names):
        return Told(
            None,
            "it has the format of torch before 0.2, which cannot be read without running code",
            "Where you trust it, read it with torch.load(FILE, weights_only=False) and save its state dict anew.",
        )
    return _archive("tar", names)


def _archive(what: str, names: list[str]) -> Told:
    inside = [name for name in names if PurePosixPath(name).suffix in WEIGHTS]
    shown = ", ".join(f"'{name}'" for name in inside[:5])
    if inside:
        return Told(None, f"it is a {what} archive of files of weights ({shown})", "Unpack it, and give one of them.")
    listed = ", ".join(f"'{name}'" for name in names[:5])
    return Told(None, f"it is a {what} archive without tensors of torch ({listed or 'empty'})")


def _tell_zip(path: Path) -> Told:
    try:
        if not zipfile.is_zipfile(path):
            return Told(None, "it is cut off", _AGAIN)
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except Exception as error:  # a damaged archive makes zipfile trip over anything
        return Told(None, f"its archive cannot be read ({error})", _AGAIN)
    names = [entry.filename for entry in entries]
    files = {name.partition("/")[2] for name in names}
    if "data.pkl" not in files and "data.pkl" not in names:
        return _foreign_zip(names)
    if "constants.pkl" in files:
        return Told(
            None,
            "it is a TorchScript archive, a program and not tensors alone, so reading it could run code",
            "Where you trust it: torch.save(torch.jit.load(FILE).state_dict(), NEW).",
        )
    # torch stores its tensors as they are: a compressed entry may unpack to any size
    if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
        return Told(None, "it is a compressed archive, which torch.save never writes", "Zip it without compression.")
    if sum(entry.file_size for entry in entries) > path.stat().st_size:
        return Told(None, "the entries of its archive overlap or reach beyond its end", _AGAIN)
    return Told("zip")


def _foreign_zip(names: list[str]) -> Told:
    if any(name.endswith(".npy") for name in names):
        return Told(None, "it holds arrays of numpy (.npz)", "Save them as tensors, by safetensors.numpy.save_file.")
    if any(name.endswith(".weights.h5") for name in names):
        return Told(None, "it is a model of Keras", "Give the weights of a PyTorch network.")
    return _archive("zip", names)


def wrong_checksum(path: Path) -> str:
    """The entry of a torch zip whose numbers are not those that were written, or why it cannot be read; else empty."""
    try:
        with zipfile.ZipFile(path) as archive:
            # torch.serialization.set_crc32_options(False) writes 0 for all: there is nothing to compare
            if not any(entry.CRC for entry in archive.infolist()):
                return ""
            entry = archive.testzip()
    except Exception as error:  # as above
        return f"its archive cannot be read ({error})"
    return f"the checksum of '{entry}' in it is wrong" if entry else ""


def describe_folder(path: Path) -> str:
    """What a folder is that is no saved model, in a sentence or two with the cure; empty if it is nothing known."""
    try:
        names = sorted(entry.name for entry in path.iterdir())
    except OSError as error:
        return f"It cannot be opened ({(error.strerror or str(error)).lower()})."
    if ".metadata" in names and any(name.endswith(".distcp") for name in names):
        return (
            "It is a distributed checkpoint: `python -m torch.distributed.checkpoint.format_utils dcp_to_torch "
            "FOLDER FILE` makes one file of it."
        )
    if "zero_to_fp32.py" in names:
        return "It is a checkpoint of DeepSpeed: `python zero_to_fp32.py . FILE` in it makes one file of it."
    if "data.pkl" in names and "data" in names:
        return "It is a torch file that a browser or a program has unpacked: download the file again."
    if "saved_model.pb" in names:
        return "It is a model of TensorFlow: give the weights of a PyTorch network."
    files = [name for name in names if Path(name).suffix in WEIGHTS]
    files += sorted(f"checkpoints/{file.name}" for file in path.glob("checkpoints/*.ckpt"))
    return f"It holds {', '.join(map(repr, files[:5]))}: give one of them." if files else ""
