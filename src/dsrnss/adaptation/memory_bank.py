"""The long-tail memory bank: rare source objects of the last batches, pasted again (method section 4)."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from dsrnss.constants import constant
from dsrnss.errors import check_range
from dsrnss.labels import LabelSpace
from dsrnss.presence import Present, classes_present

MIB = 2**20


@dataclass(frozen=True)
class MemoryBankConfig:
    """The bank and when it is used.

    Args:
        size: Batches kept; 0 switches the bank off.
        interval: Steps between two pastings.
        official: Keep empty entries, leave the pseudo-labels' weights under pasted pixels and count the interval in
            batches of an epoch, like the authors' code.
        extra_classes: Names of classes kept beside the tail classes of the label space, such as `train`.
        max_bytes: Bound of the bank's memory, and of its part of a checkpoint. Beyond it the oldest entries go first,
            with one warning; a batch that is larger than the bound alone is not stored. The paper's 3 batches of two
            1024 x 1024 images take 84 MiB.
    """

    size: int = 3
    interval: int = 5
    official: bool = False
    extra_classes: tuple[str, ...] = ()
    max_bytes: int = 512 * MIB

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises:
            ConfigError: If a value is outside its range.
        """
        check_range("memory_bank.size", self.size, 0)
        check_range("memory_bank.interval", self.interval, 1)
        check_range("memory_bank.max_bytes", self.max_bytes, 1)

    def classes(self, label_space: LabelSpace) -> tuple[int, ...]:
        """Train ids of the classes to keep: the tail of a label space and the extra ones.

        Raises:
            ConfigError: If an extra class is none of the label space.
        """
        extra = {label_space.index(name) for name in self.extra_classes}
        return tuple(sorted({*label_space.tail, *extra}))


class BankEntry(NamedTuple):
    """Tail-class pixels of one source batch.

    Attributes:
        images: (B, 3, H, W), zero outside the mask.
        labels: (B, H, W) uint8 train ids, zero outside the mask.
        mask: (B, H, W) bool, where the label is a tail class.
    """

    images: Tensor
    labels: Tensor
    mask: Tensor

    @property
    def bytes(self) -> int:
        """Memory of the tensors."""
        return sum(tensor.nbytes for tensor in self)


class MemoryBank(nn.Module):
    """First in, first out; its entries are state of the training and stand in the checkpoint.

    Args:
        classes: Train ids of the tail classes.
        config: Size and interval.

    Attributes:
        entries: What it holds, oldest first; a tuple that is replaced and never changed.
    """

    def __init__(self, classes: Sequence[int], config: MemoryBankConfig | None = None) -> None:
        super().__init__()
        self.config = config or MemoryBankConfig()
        self.classes = tuple(classes)
        self.entries: tuple[BankEntry, ...] = ()
        self._batch_of_epoch = (-1, -1)
        self._warned = False

    def add(self, images: Tensor, labels: Tensor, epoch: int = 0, present: Present | None = None) -> None:
        """Remember the tail-class pixels of a source batch.

        Args:
            images: (B, 3, H, W) normalised RGB.
            labels: (B, H, W) train ids.
            epoch: 0-based epoch of the batch; officially the interval begins anew with each.
            present: The classes of each label map, if they are known.
        """
        last, batch = self._batch_of_epoch
        self._batch_of_epoch = (epoch, batch + 1 if epoch == last else 0)
        present = classes_present(labels) if present is None else present
        stored = self.config.official or any(not set(self.classes).isdisjoint(classes) for classes in present)
        if self.config.size == 0 or not stored:
            return
        mask = torch.isin(labels, constant(self.classes, labels.device, labels.dtype))
        entry = BankEntry(images * mask[:, None], (labels * mask).to(torch.uint8), mask)
        self.entries = self._within_bound((*self.entries, entry)[-self.config.size :])

    def _within_bound(self, entries: tuple[BankEntry, ...]) -> tuple[BankEntry, ...]:
        kept, used = len(entries), sum(entry.bytes for entry in entries)
        for entry in entries:
            if used <= self.config.max_bytes:
                break
            used -= entry.bytes
            kept -= 1
        if kept < len(entries) and not self._warned:
            warnings.warn(
                f"The memory bank holds {kept} instead of {len(entries)} batches: one takes "
                f"{entries[-1].bytes / MIB:.1f} MiB and memory_bank.max_bytes allows "
                f"{self.config.max_bytes / MIB:.1f} MiB. Raise it to keep more.",
                stacklevel=3,
            )
            self._warned = True
        return entries[len(entries) - kept :]

    def is_due(self, step: int) -> bool:
        """Whether the batch that was added last is pasted over, at this 0-based optimiser step."""
        count = self._batch_of_epoch[1] if self.config.official else step
        return self.config.size > 0 and count % self.config.interval == 0

    def paste(self, images: Tensor, labels: Tensor, weights: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Paste all entries over a mixed batch, the oldest first.

        Args:
            images: (B, 3, H, W) mixed images, after the strong augmentation.
            labels: (B, H, W) mixed labels.
            weights: (B, H, W) pixel weights.

        Returns:
            The three, with the pasted pixels; these carry true labels, so their weight is 1 (officially it is left).
        """
        for entry in self.entries:
            if entry.images.shape != images.shape:
                continue
            entry = BankEntry(*(tensor.to(images.device) for tensor in entry))  # a restored one is on the CPU
            images = torch.where(entry.mask[:, None], entry.images, images)
            labels = torch.where(entry.mask, entry.labels.to(labels.dtype), labels)
            if not self.config.official:
                weights = weights.masked_fill(entry.mask, 1.0)
        return images, labels, weights

    def get_extra_state(self) -> dict[str, Any]:
        """Entries and position, for the checkpoint: tensors and plain values."""
        return {"entries": [tuple(entry) for entry in self.entries], "batch_of_epoch": self._batch_of_epoch}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Take back what `get_extra_state` gave."""
        self.entries = tuple(BankEntry(*entry) for entry in state["entries"])
        self._batch_of_epoch = (state["batch_of_epoch"][0], state["batch_of_epoch"][1])
