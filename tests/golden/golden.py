"""Golden vectors of the authors' code: weights filled by a rule of the key's name, inputs by a rule of a seed."""

import json
import math
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

HERE = Path(__file__).parent


def fill_(module: nn.Module) -> nn.Module:
    """Refill every tensor of a module by its key."""
    filled = {}
    for key, tensor in module.state_dict().items():
        shape = tuple(tensor.shape)
        rng = np.random.default_rng(zlib.crc32(key.encode()))
        if tensor.ndim == 0:
            filled[key] = torch.zeros_like(tensor)
            continue
        if key.endswith("running_var"):
            values = 0.75 + 0.5 * rng.random(shape)
        elif key.endswith("running_mean"):
            values = 0.1 * rng.standard_normal(shape)
        elif tensor.ndim >= 2:
            values = rng.standard_normal(shape) / math.sqrt(math.prod(shape[1:]))
        else:
            values = float(key.endswith("weight")) + 0.1 * rng.standard_normal(shape)
        filled[key] = torch.from_numpy(values.astype(np.float32))
    module.load_state_dict(filled)
    return module


def randn(seed: int, *shape: int) -> Tensor:
    """Standard normal numbers."""
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape).astype(np.float32))


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
