"""The long-tail memory bank: rare source objects of the last batches, pasted again (method section 4)."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from dsrnss.errors import check_range


@dataclass(frozen=True)
class MemoryBankConfig:
    """The bank and when it is used.

    Args:
        size: Batches kept; 0 switches the bank off.
        interval: Steps between two pastings.
        official: Keep empty entries and leave the pseudo-labels' weights under pasted pixels, like the authors' code.
    """

    size: int = 3
    interval: int = 5
    official: bool = False

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises:
            ConfigError: If a value is outside its range.
        """
        check_range("memory_bank.size", self.size, 0)
        check_range("memory_bank.interval", self.interval, 1)


class BankEntry(nn.Module):
    """Tail-class pixels of one source batch, as buffers: they follow the device and stand in the checkpoint.

    Args:
        images: (B, 3, H, W), zero outside the mask.
        labels: (B, H, W) train ids.
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

    def add(self, images: Tensor, labels: Tensor) -> None:
        """Remember the tail-class pixels of a source batch.

        Args:
            images: (B, 3, H, W) normalised RGB.
            labels: (B, H, W) train ids.
        """
        mask = torch.isin(labels, torch.tensor(self.classes, device=labels.device))
        if self.config.size == 0 or not (mask.any() or self.config.official):
            return
        entry = BankEntry(images * mask[:, None], labels * mask, mask)
        self.entries = nn.ModuleList([*self.entries, entry][-self.config.size :])

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
        for entry in self.entries:
            assert isinstance(entry, BankEntry)
            if entry.images.shape != images.shape:
                continue
            images = torch.where(entry.mask[:, None], entry.images, images)
            labels = torch.where(entry.mask, entry.labels, labels)
            if not self.config.official:
                weights = weights.masked_fill(entry.mask, 1.0)
        return images, labels, weights

    def shapes(self) -> list[tuple[int, ...]]:
        """(B, 3, H, W) of each entry's images, oldest first."""
        return [tuple(entry.get_buffer("images").shape) for entry in self.entries]

    def resize(self, shapes: Sequence[Sequence[int]]) -> None:
        """Make room for the entries of a checkpoint.

        Args:
            shapes: (B, 3, H, W) of each entry's images.
        """
        self.entries = nn.ModuleList(
            BankEntry(
                torch.zeros(tuple(shape)),
                torch.zeros((shape[0], *shape[2:]), dtype=torch.int64),
                torch.zeros((shape[0], *shape[2:]), dtype=torch.bool),
            )
            for shape in shapes
        )
