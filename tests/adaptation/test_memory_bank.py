"""The memory bank's bound and its classes."""

import warnings

import pytest
import torch

from dsrnss.adaptation.memory_bank import MemoryBank, MemoryBankConfig
from dsrnss.errors import ConfigError
from dsrnss.labels import CITYSCAPES

ENTRY = 2 * 8 * 10 * (3 * 4 + 1 + 1)
"""Bytes of an entry of two 8 x 10 images: float32 pixels, uint8 labels, mask."""


def _fill(bank: MemoryBank, batches: int) -> None:
    for i in range(batches):
        bank.add(torch.full((2, 3, 8, 10), float(i)), torch.full((2, 8, 10), 12))


@pytest.mark.parametrize(("max_bytes", "kept"), [(3 * ENTRY, 3), (3 * ENTRY - 1, 2), (ENTRY, 1), (ENTRY - 1, 0)])
def test_the_oldest_entries_go_first_with_one_warning(max_bytes: int, kept: int) -> None:
    bank = MemoryBank((12,), MemoryBankConfig(max_bytes=max_bytes))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        _fill(bank, 5)
    assert [entry.images.max().item() for entry in bank.entries] == [4 - i for i in reversed(range(kept))]
    assert sum(entry.bytes for entry in bank.entries) <= max_bytes
    assert len(caught) == (kept < 3)
    assert all("memory_bank.max_bytes" in str(warning.message) for warning in caught)


def test_a_restored_bank_pastes_the_same() -> None:
    bank, other = MemoryBank((12,)), MemoryBank((12,))
    _fill(bank, 2)
    other.load_state_dict(bank.state_dict())
    batch = torch.zeros(2, 3, 8, 10), torch.zeros(2, 8, 10).long(), torch.zeros(2, 8, 10)
    for mine, theirs in zip(other.paste(*batch), bank.paste(*batch), strict=True):
        assert torch.equal(mine, theirs)
        assert mine.dtype == theirs.dtype
    assert other.paste(*batch)[1].dtype == torch.int64


def test_extra_classes_join_the_tail() -> None:
    assert MemoryBankConfig().classes(CITYSCAPES) == (12, 14, 15, 17, 18)
    assert MemoryBankConfig(extra_classes=("train",)).classes(CITYSCAPES) == (12, 14, 15, 16, 17, 18)
    with pytest.raises(ConfigError, match="Did you mean 'train'"):
        MemoryBankConfig(extra_classes=("trian",)).classes(CITYSCAPES)
