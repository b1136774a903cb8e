"""Golden vectors of the authors' code: weights filled by a rule of the key's name, inputs by a rule of a seed."""

import json
import math
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

HERE = Path(__file__).parent


def filled(shapes: Mapping[str, Sequence[int]]) -> dict[str, Tensor]:
    """A state dict whose every tensor follows from its key: name -> shape."""
    state = {}
    for key, shape in shapes.items():
        rng = np.random.default_rng(zlib.crc32(key.encode()))
        if len(shape) == 0:
            state[key] = torch.zeros((), dtype=torch.int64)
            continue
        if key.endswith("running_var"):
            values = 0.75 + 0.5 * rng.random(shape)
        elif key.endswith("running_mean"):
            values = 0.1 * rng.standard_normal(shape)
        elif len(shape) >= 2:
            values = rng.standard_normal(shape) / math.sqrt(math.prod(shape[1:]))
        else:
            values = float(key.endswith("weight")) + 0.1 * rng.standard_normal(shape)
        state[key] = torch.from_numpy(values.astype(np.float32))
    return state


def fill_(module: nn.Module) -> nn.Module:
    """Refill every tensor of a module by its key."""
    module.load_state_dict(filled({key: tuple(tensor.shape) for key, tensor in module.state_dict().items()}))
    return module


def randn(seed: int, *shape: int) -> Tensor:
    """Standard normal numbers."""
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape).astype(np.float32))


def smooth(seed: int, batch: int, height: int, width: int, rows: int, columns: int) -> Tensor:
    """Smooth images (B, 3, H, W): standard normal numbers on a coarse grid, resized bicubically."""
    return F.interpolate(randn(seed, batch, 3, rows, columns), (height, width), mode="bicubic", align_corners=True)


def labels(
    seed: int, batch: int, height: int, width: int, classes: Sequence[int], block: int, small: int = 8
) -> Tensor:
    """Label maps (B, H, W): one class a tile, 15 % of the small tiles drawn anew and 3 % of them 255."""
    rng = np.random.default_rng(seed)
    names = np.asarray(classes)

    def tiles(side: int) -> tuple[int, int, int]:
        return batch, -(-height // side), -(-width // side)

    def enlarge(values: np.ndarray, side: int) -> np.ndarray:
        return np.kron(values, np.ones((1, side, side), dtype=values.dtype))[:, :height, :width]

    coarse = enlarge(names[rng.integers(0, len(names), tiles(block))], block)
    fine = enlarge(names[rng.integers(0, len(names), tiles(small))], small)
    draw = enlarge(rng.random(tiles(small)), small)
    drawn = np.where(draw < 0.15, fine, coarse)
    return torch.from_numpy(np.where(draw > 1 - 0.03, 255, drawn).astype(np.int64))


class Golden:
    """One fixture: its description (`meta`) and its arrays."""

    def __init__(self, name: str) -> None:
        self.meta: dict[str, Any] = json.loads((HERE / f"{name}.json").read_text())
        self.arrays = dict(np.load(HERE / f"{name}.npz"))

    def tensor(self, key: str) -> Tensor:
        """An array stored whole."""
        return torch.from_numpy(self.arrays[key])

    def relative_error(self, key: str, value: Tensor) -> float:
        """Greatest difference over the greatest value, on the stored (strided) elements."""
        mine, theirs = value.detach().numpy(), self.arrays[key]
        outputs = self.meta["outputs"]
        if key in outputs:
            assert list(mine.shape) == outputs[key]["shape"]
            mine = mine.reshape(-1)[:: outputs[key]["stride"]]
        assert mine.shape == theirs.shape
        theirs = theirs.astype(np.float64)
        return float(np.abs(mine - theirs).max() / max(np.abs(theirs).max(), 1e-30))

    def keys(self) -> dict[str, list[int]]:
        """Names and shapes of the authors' state dict."""
        return dict(self.meta["state_dict"])
