"""The long-tail memory bank: rare source objects of the last batches, pasted again (method section 4)."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from dsrnss.errors import check_range
from dsrnss.labels import LabelSpace

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


class BankEntry(nn.Module):
    """Tail-class pixels of one source batch, as buffers: they follow the device and stand in the checkpoint.

    Args:
        images: (B, 3, H, W), zero outside the mask.
        labels: (B, H, W) uint8 train ids, zero outside the mask.
        mask: (B, H, W) bool, where the label is a tail class.
    """

    images: Tensor
    labels: Tensor
    mask: Tensor

    def __init__(self, images: Tensor, labels: Tensor, mask: Tensor) -> None:
        super().__init__()
        self.register_buffer("images", images)
        self.register_buffer("labels", labels)
        self.register_buffer("mask", mask)

    @property
    def bytes(self) -> int:
        """Memory of the buffers."""
        return sum(buffer.nbytes for buffer in self.buffers())


class MemoryBank(nn.Module):
    """First in, first out.

    Args:
        classes: Train ids of the tail classes.
        config: Size and interval.
    """

    def __init__(self, classes: Sequence[int], config: MemoryBankConfig | None = None) -> None:
        super().__init__()
        self.config = config or MemoryBankConfig()
        self.classes = tuple(classes)
        self.entries = nn.ModuleList()
        self._warned = False

    def add(self, images: Tensor, labels: Tensor) -> None:
        """Remember the tail-class pixels of a source batch.

        Args:
            images: (B, 3, H, W) normalised RGB.
            labels: (B, H, W) train ids.
        """
        mask = torch.isin(labels, torch.tensor(self.classes, device=labels.device))
        if self.config.size == 0 or not (mask.any() or self.config.official):
            return
        entry = BankEntry(images * mask[:, None], (labels * mask).to(torch.uint8), mask)
        self.entries = nn.ModuleList(self._within_bound([*self._list(), entry][-self.config.size :]))

    def _list(self) -> list[BankEntry]:
        return [entry for entry in self.entries if isinstance(entry, BankEntry)]

    def _within_bound(self, entries: list[BankEntry]) -> list[BankEntry]:
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
        """Whether this 0-based step pastes."""
        return self.config.size > 0 and step % self.config.interval == 0

    def paste(self, images: Tensor, labels: Tensor, weights: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Paste all entries over a mixed batch, the oldest first.

        Args:
            images: (B, 3, H, W) mixed images, after the strong augmentation.
            labels: (B, H, W) mixed labels.
            weights: (B, H, W) pixel weights.

        Returns:
            The three, with the pasted pixels; these carry true labels, so their weight is 1 (officially it is left).
        """
        for entry in self._list():
            if entry.images.shape != images.shape:
                continue
            images = torch.where(entry.mask[:, None], entry.images, images)
            labels = torch.where(entry.mask, entry.labels.to(labels.dtype), labels)
            if not self.config.official:
                weights = weights.masked_fill(entry.mask, 1.0)
        return images, labels, weights

    def shapes(self) -> list[tuple[int, ...]]:
        """(B, 3, H, W) of each entry's images, oldest first."""
        return [tuple(entry.images.shape) for entry in self._list()]

    def resize(self, shapes: Sequence[Sequence[int]]) -> None:
        """Make room for the entries of a checkpoint.

        Args:
            shapes: (B, 3, H, W) of each entry's images.
        """
        self.entries = nn.ModuleList(
            BankEntry(
                torch.zeros(tuple(shape)),
                torch.zeros((shape[0], *shape[2:]), dtype=torch.uint8),
                torch.zeros((shape[0], *shape[2:]), dtype=torch.bool),
            )
            for shape in shapes
        )
