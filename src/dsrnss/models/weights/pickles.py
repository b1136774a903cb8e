"""What a pickle asks for, told without running it."""

import pickletools
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

_BEFORE = 3
"""In torch's old format its magic number, its version and the system stand before what was saved."""

_TAKE_MEMORY = ("builtins.bytearray", "__builtin__.bytearray", "torch._utils._rebuild_device_tensor_from_")
"""torch allows them, but a file of a few bytes can ask them for any number of bytes; networks have none."""

_PLAIN = ("collections.", "torch._utils.", "torch.Size", "builtins.", "__builtin__.")


@dataclass
class Asked:
    """What a torch file names.

    Attributes:
        names: Classes and functions, in their order, as far as the file can be read.
        whole: The class of the object, where a whole one was saved in the place of its tensors; else empty.
    """

    names: list[str] = field(default_factory=list)
    whole: str = ""

    @property
    def greedy(self) -> str:
        """The first that could take any amount of memory, or an empty text."""
        return next((name for name in self.names if name.startswith(_TAKE_MEMORY)), "")


def asked_for(path: Path) -> Asked:
    """Look through a torch file, zip or old."""
    asked = Asked()
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                name = next(name for name in archive.namelist() if name.rpartition("/")[2] == "data.pkl")
                with archive.open(name) as file:
                    _look(file, asked, main=True)
        else:
            with path.open("rb") as file:
                for number in range(_BEFORE + 1):
                    _look(file, asked, main=number == _BEFORE)
    except Exception:  # what is damaged is told by whoever reads it
        return asked
    return asked


def _look(file: IO[bytes], asked: Asked, *, main: bool) -> None:
    texts: list[str] = []
    nothing_yet = main
    for opcode, argument, _ in pickletools.genops(file):
        if opcode.name in ("GLOBAL", "STACK_GLOBAL"):
            name = str(argument).replace(" ", ".") if opcode.name == "GLOBAL" else ".".join(texts[-2:])
            asked.names.append(name)
            if nothing_yet and not name.startswith(_PLAIN):
                asked.whole = name
            nothing_yet = False
        elif isinstance(argument, str):
            texts = [*texts[-1:], argument]
        elif opcode.name not in ("PROTO", "FRAME", "MEMOIZE", "MARK", "BINPUT", "LONG_BINPUT"):
            nothing_yet = False
