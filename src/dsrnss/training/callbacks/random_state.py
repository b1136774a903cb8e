"""The random state of a run, so that a resumed one draws what the uninterrupted one would have drawn."""

import random
from typing import Any

import lightning as L
import numpy as np
import torch


class RandomState(L.Callback):
    """Keeps the global random states of torch, CUDA, numpy and Python in the checkpoint.

    They are restored when the next training step begins: whatever was drawn since the start of the process is undone.
    The method's own generator is a part of the method.
    """

    def __init__(self) -> None:
        self._pending: dict[str, Any] | None = None

    def state_dict(self) -> dict[str, Any]:
        """As tensors and plain values that a checkpoint can hold and `weights_only` can read."""
        name, keys, position, has_gauss, cached = np.random.get_state()
        version, internal, gauss = random.getstate()
        kept = torch.from_numpy(np.array(keys, np.int64))
        return {
            "torch": torch.get_rng_state(),
            "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
            "numpy": [str(name), kept, int(position), int(has_gauss), float(cached)],
            "python": [version, list(internal), gauss],
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Keep a state until the next step begins."""
        self._pending = state_dict

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Restore what was loaded."""
        if self._pending is not None:
            _restore(self._pending)
            self._pending = None


def _restore(state: dict[str, Any]) -> None:
    torch.set_rng_state(state["torch"].cpu())
    there = torch.cuda.device_count() if torch.cuda.is_available() else 0
    for number, one in enumerate(state["cuda"][:there]):  # also where more or fewer are seen than before
        torch.cuda.set_rng_state(one.cpu(), number)
    name, keys, position, has_gauss, cached = state["numpy"]
    np.random.set_state((name, keys.cpu().numpy().astype(np.uint32), position, has_gauss, cached))
    version, internal, gauss = state["python"]
    random.setstate((version, tuple(internal), gauss))
