"""Flows of aligned pairs as files: a few bits a pixel, whole or not there, and never those of another aligner."""

import hashlib
import inspect
import logging
import math
import pickle
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from dsrnss.data.boxes import Box
from dsrnss.writing import atomic

FINEST_STEP = 1 / 64
"""Pixels; the step of the flow files of KITTI."""
LARGEST = 2**15 - 1
CONFIDENCE_STEPS = 254
"""One less than a byte holds, so that 0, 1/2 and 1 are kept exactly."""
LAYOUT = 1
"""Changes with what the files hold."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PackedFlow:
    """A flow and its confidence in 5 bytes a pixel; on disk, compressed, in 1 to 2.

    Each component of the flow is at most `step / 2` off: 1/128 pixel where no displacement is above 511 pixels, else
    the step doubles until the largest fits. The confidence is at most 1/508 off.

    Attributes:
        flow: (2, H, W) int16, x first, in steps.
        step: Pixels.
        confidence: (H, W) uint8 in `CONFIDENCE_STEPS`.
    """

    flow: npt.NDArray[np.int16]
    step: float
    confidence: npt.NDArray[np.uint8]

    @classmethod
    def pack(cls, flow: npt.NDArray[np.floating[Any]], confidence: npt.NDArray[np.floating[Any]]) -> "PackedFlow":
        """Round an (H, W, 2) flow in pixels and its (H, W) confidence in 0..1; what is not finite has confidence 0."""
        finite = np.isfinite(flow).all(-1) & np.isfinite(confidence)
        flow = np.where(finite[..., None], flow, 0)
        largest = float(np.abs(flow).max(initial=0))
        step = FINEST_STEP * 2 ** max(0, math.ceil(math.log2(max(largest / FINEST_STEP / LARGEST, 1e-9))))
        steps = np.rint(np.where(finite, np.clip(confidence, 0, 1), 0) * CONFIDENCE_STEPS)
        return cls(np.rint(flow / step).astype(np.int16).transpose(2, 0, 1).copy(), step, steps.astype(np.uint8))

    @property
    def nbytes(self) -> int:
        """Bytes in memory."""
        return self.flow.nbytes + self.confidence.nbytes

    def tensors(self, box: Box) -> tuple[Tensor, Tensor]:
        """The (2, h, w) flow in pixels and the (1, h, w) confidence inside a box."""
        flow, confidence = (box.cut(torch.from_numpy(plane)) for plane in (self.flow, self.confidence[None]))
        return flow.float() * self.step, confidence.float() / CONFIDENCE_STEPS


class FlowStore:
    """A folder of flows, one file a pair; the files appear whole, so several processes may write at once.

    Args:
        folder: Where they lie; it may be deleted at any time.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def read(self, key: str) -> PackedFlow | None:
        """The flow of a pair, None: it is not there, or damaged."""
        path = self._path(key)
        try:
            with np.load(path) as file:
                flow, step, confidence = file["flow"], float(file["step"]), file["confidence"]
        except (FileNotFoundError, NotADirectoryError):
            return None
        except Exception as error:  # what damaged archives raise has no end
            _log.warning("The stored flow '%s' is damaged (%s): the pair is aligned again.", path, error)
            return None
        return PackedFlow(flow, step, confidence)

    def write(self, key: str, flow: PackedFlow) -> None:
        """Keep the flow of a pair.

        Raises:
            OutputError: If it cannot be written.
        """
        with atomic(self._path(key)) as draft:
            np.savez_compressed(draft, flow=flow.flow, step=np.float64(flow.step), confidence=flow.confidence)

    def size(self) -> tuple[int, int]:
        """Number of flows, and their bytes."""
        sizes = [path.stat().st_size for path in self.folder.glob("[!.]*.npz")]
        return len(sizes), sum(sizes)

    def _path(self, key: str) -> Path:
        return self.folder / f"{key}.npz"


def pair_key(target: npt.NDArray[np.uint8], reference: npt.NDArray[np.uint8]) -> str:
    """A hash of the pixels of two (H, W, 3) pictures."""
    digest = hashlib.blake2b(repr((target.shape, reference.shape)).encode(), digest_size=16)
    for picture in (target, reference):
        digest.update(np.ascontiguousarray(picture).data)
    return digest.hexdigest()


def aligner_folder(aligner: Callable[..., Any]) -> str | None:
    """The name of a folder that holds flows of this aligner alone, None: the aligner has no lasting name.

    It depends on the aligner's name and settings (its pickle), on the source text of its module and of the modules
    beside it that it uses, on the version of OpenCV, and, where it has the method `fingerprint`, on the words that this
    returns: of weights, say.
    """
    try:
        state = pickle.dumps(aligner, protocol=4)
    except (pickle.PicklingError, AttributeError, TypeError):
        return None
    own = getattr(aligner, "fingerprint", None)
    digest = hashlib.blake2b(state + f"{LAYOUT} {cv2.__version__}".encode(), digest_size=8)
    digest.update(_sources(aligner))
    digest.update(str(own() if own else "").encode())
    return f"{_kind(aligner).__qualname__}-{digest.hexdigest()}"


def _kind(aligner: Callable[..., Any]) -> Any:
    """The function, or the class, behind an aligner."""
    while isinstance(aligner, partial):
        aligner = aligner.func
    return aligner if inspect.isroutine(aligner) else type(aligner)


def _sources(aligner: Callable[..., Any]) -> bytes:
    """Source text of the modules of the aligner and of callables that it holds, and of what they use beside them."""
    inside = getattr(aligner, "__dict__", {}).values()
    waiting = [_kind(one).__module__ for one in (aligner, *filter(callable, inside))]
    folders = {_folder(name) for name in waiting} - {None}
    found: dict[str, bytes] = {}
    while waiting:
        name = waiting.pop()
        if name in found or _folder(name) not in folders:
            continue
        module = sys.modules[name]
        found[name] = Path(str(module.__file__)).read_bytes()
        for value in vars(module).values():
            home = value.__name__ if inspect.ismodule(value) else getattr(value, "__module__", None)
            waiting += [home] if isinstance(home, str) else []
    return b"".join(found[name] for name in sorted(found))


def _folder(module: str) -> Path | None:
    """Where the source file of a module lies, None: it has none."""
    path = Path(getattr(sys.modules.get(module), "__file__", None) or "")
    return path.parent if path.suffix == ".py" and path.is_file() else None
