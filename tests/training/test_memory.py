"""A long training takes no more memory at its end than at its beginning."""

import gc
import os
import weakref
from collections.abc import Callable
from pathlib import Path

import lightning as L
import pytest
import torch

from dsrnss.adaptation.feature_distance import FeatureDistanceConfig
from dsrnss.adaptation.masking import MaskingConfig
from dsrnss.adaptation.prototypes import PrototypeConfig

STEPS, BEGUN, EVERY = 500, 100, 20
BOUND = 8 * 2**20
"""Bytes by which the process may grow in 400 steps: what the allocator of the system keeps between its blocks."""


def living() -> list[torch.Tensor]:
    return [one for one in gc.get_objects() if issubclass(type(one), torch.Tensor)]


def nothing() -> None:
    """What a weak reference to nothing gives."""


class Watch(L.Callback):
    """Writes down resident bytes and living tensors, without those of tests before, which may go at any time."""

    def __init__(self) -> None:
        self.of_others = {id(one): weakref.ref(one) for one in living()}
        self.resident: list[int] = []
        self.tensors: list[int] = []

    def on_train_batch_end(self, trainer: L.Trainer, *_: object) -> None:
        if trainer.global_step >= BEGUN and trainer.global_step % EVERY == 0:
            gc.collect()
            pages = int(Path("/proc/self/statm").read_text().split()[1])
            self.resident.append(pages * os.sysconf("SC_PAGE_SIZE"))
            self.tensors.append(sum(self.of_others.get(id(one), nothing)() is not one for one in living()))


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs Linux")
def test_memory_is_flat_over_500_steps(task: Callable, batches: Callable, fit: Callable) -> None:
    parts = {"feature_distance": FeatureDistanceConfig(weight=0.1), "prototypes": PrototypeConfig(start_epoch=None)}
    watch = Watch()
    fit(task(masking=MaskingConfig(weight=1.0), **parts), batches(10) * (STEPS // 10), watch)
    assert len(watch.resident) == 1 + (STEPS - BEGUN) // EVERY
    assert len(set(watch.tensors)) == 1, watch.tensors
    assert max(watch.resident) - watch.resident[0] < BOUND, [size / 2**20 for size in watch.resident]
