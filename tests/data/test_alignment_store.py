import numpy as np
import pytest

from dsrnss.data import AdaptationDataModule, AlignedPairs
from dsrnss.errors import ConfigError, DataError

CALLS = []


def shift(target, reference):
    """A flow that says which pair it belongs to."""
    CALLS.append(int(target[0, 0, 0]))
    assert target.dtype == np.uint8 and target.shape == reference.shape == (40, 60, 3)
    flow = np.full((*target.shape[:2], 2), float(target[0, 0, 0]), np.float32)
    return flow + np.float32([0.25, 0]), np.full(target.shape[:2], 0.5, np.float32)


def wrong(target, reference):
    return np.zeros((2, 3, 2), np.float32), np.zeros((2, 3), np.float32)


@pytest.fixture
def pairs(toy):
    CALLS.clear()
    return AlignedPairs(toy(length=3, labelled=False, references=True), shift)


def test_each_pair_is_aligned_once(pairs):
    for _ in range(2):
        sample = pairs[2]
        assert sample["flow"].shape == (2, 40, 60) and str(sample["flow"].dtype) == "torch.float32"
        assert sample["flow"][:, 0, 0].tolist() == [2.25, 2.0]
        assert sample["confidence"].shape == (1, 40, 60) and float(sample["confidence"].max()) == 0.5
    assert CALLS == [2]
    assert len(pairs) == 3 and pairs.references and not pairs.labelled


@pytest.mark.parametrize("workers", [0, 2])
def test_pairs_can_be_aligned_ahead(pairs, workers):
    done = []
    pairs.prepare(workers, lambda i, n: done.append(i))
    CALLS.clear()
    assert [int(pairs[i]["flow"][1, 0, 0]) for i in range(3)] == [0, 1, 2]
    assert CALLS == [] and done == [1, 2, 3]


def test_memory_is_bounded(toy):
    CALLS.clear()
    pairs = AlignedPairs(toy(length=200, size=(40, 60), references=True), shift, megabytes=1)
    for _ in range(2):
        for i in range(200):
            pairs[i]
    kept = 2**20 // (40 * 60 * 6)
    assert len(CALLS) == 200 + 200 - kept


def test_batches_carry_the_flow(pairs, toy):
    data = AdaptationDataModule(toy(), pairs, crop_size=(16, 16), workers=0, rare_class_sampling=None, flip=0)
    batch, _, _ = next(iter(data.train_dataloader()))
    numbers = [int(name.removeprefix("toy_")) for name in batch["target"]["name"]]
    assert batch["target"]["flow"][:, 1, 0, 0].tolist() == numbers


def test_what_cannot_be_aligned_is_refused(toy):
    with pytest.raises(ConfigError, match="references"):
        AlignedPairs(toy(), shift)
    with pytest.raises(DataError, match="shape"):
        AlignedPairs(toy(references=True), wrong)[0]
