import importlib
import os
import pickle

import numpy as np
import pytest
import torch

from dsrnss.adaptation.alignment import ClassicalAligner, PairwiseAligner, UAWarpCAligner
from dsrnss.adaptation.alignment.classical import align_pair
from dsrnss.data import AdaptationDataModule, AlignedPairs, Folder, SynthNight
from dsrnss.data.boxes import Box
from dsrnss.data.flow_store import aligner_folder
from dsrnss.errors import ConfigError, DataError, OutputError

CALLS = []


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("DSRNSS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "alignments"


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
    pairs = AlignedPairs(toy(length=200, size=(40, 60), references=True), shift, megabytes=1, store=None)
    for _ in range(2):
        for i in range(200):
            pairs[i]
    kept = 2**20 // (40 * 60 * 5)
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


class Noisy:
    """An aligner with a setting, whose results no rounding leaves as they are."""

    def __init__(self, scale):
        self.scale = scale

    def __call__(self, target, reference):
        CALLS.append("noisy")
        rng = np.random.default_rng(int(target[0, 0, 0]))
        flow = rng.normal(0, self.scale, (*target.shape[:2], 2)).astype(np.float32)
        return flow, rng.random(target.shape[:2]).astype(np.float32)


def files(folder):
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_a_run_does_not_depend_on_what_is_stored(toy):
    dataset = toy(length=4, references=True)
    fresh, stored = AlignedPairs(dataset, Noisy(9)), AlignedPairs(dataset, Noisy(9))
    memory = AlignedPairs(dataset, Noisy(9), store=None)
    CALLS.clear()
    fresh.prepare(workers=2)
    memory.prepare(workers=0)
    assert CALLS == ["noisy"] * 4, "those of the two processes are not counted here"
    for index in range(4):
        for key in ("flow", "confidence"):
            assert torch.equal(fresh[index][key], memory[index][key])
            assert torch.equal(fresh[index][key], stored[index][key])
    assert len(CALLS) == 4


def test_crops_hold_the_flow_of_their_place(toy):
    for store in ("cache", None):
        pairs = AlignedPairs(toy(length=1, references=True), Noisy(9), store=store)
        whole = pairs[0]
        for _ in range(2):  # first looked up, then known
            cut = pairs.cropped(0, lambda size, label, name: Box(3, 5, 20, 30))
            for key in ("image", "reference", "label", "flow", "confidence"):
                assert torch.equal(cut[key], whole[key][..., 3:23, 5:35])
            pairs = AlignedPairs(pairs.dataset, Noisy(9), store=store)


@pytest.fixture
def own_pictures(tmp_path, write_png):
    rng = np.random.default_rng(0)
    for folder in ("images", "refs"):
        for name in "ab":
            write_png(tmp_path / "own" / folder / f"{name}.png", rng.integers(0, 255, (40, 60, 3)))
    return tmp_path / "own"


@pytest.mark.parametrize("which", ["images", "refs"])
def test_a_changed_picture_is_aligned_again(own_pictures, write_png, which):
    pairs = AlignedPairs(Folder(own_pictures), Noisy(9))
    before = pairs[0]["flow"]
    CALLS.clear()
    write_png(own_pictures / which / "a.png", np.full((40, 60, 3), 7))
    os.utime(own_pictures / which / "a.png", ns=(1, 1))
    assert which == "refs" or not torch.equal(pairs[0]["flow"], before)
    assert torch.equal(AlignedPairs(Folder(own_pictures), Noisy(9))[0]["flow"], pairs[0]["flow"])
    assert len(CALLS) == 1, "noticed in the running process, and right for the next"


def test_another_size_or_setting_is_another_flow(own_pictures, cache):
    for aligner, size in ((Noisy(9), None), (Noisy(8), None), (Noisy(9), (20, 30))):
        CALLS.clear()
        AlignedPairs(Folder(own_pictures, size=size), aligner)[0]
        assert len(CALLS) == 1
    assert len(files(cache)) == 3 and len([*cache.iterdir()]) == 2


def test_a_changed_aligner_is_noticed(tmp_path, monkeypatch):
    """Its module, and one beside it that it uses."""
    (tmp_path / "halving.py").write_text("def half(a):\n    return a / 2\n")
    (tmp_path / "mine.py").write_text("from halving import half\ndef align(a, b):\n    return half(a), b\n")
    monkeypatch.syspath_prepend(tmp_path)
    align = importlib.import_module("mine").align
    first = aligner_folder(align)
    assert aligner_folder(align) == first and first.startswith("align-")
    (tmp_path / "halving.py").write_text("def half(a):\n    return a / 3\n")
    assert aligner_folder(align) not in (first, None)


def test_a_damaged_file_is_aligned_again_with_a_note(pairs, toy, cache, caplog):
    for index in range(3):
        pairs[index]
    whole = [path.read_bytes() for path in files(cache)]
    files(cache)[0].write_bytes(whole[0][:-100])
    files(cache)[1].write_bytes(b"")
    files(cache)[2].write_bytes(whole[2][:150] + bytes([whole[2][150] ^ 4]) + whole[2][151:])
    again = AlignedPairs(pairs.dataset, shift)
    assert [int(again[index]["flow"][1, 0, 0]) for index in range(3)] == [0, 1, 2]
    assert caplog.text.count("is damaged") == 3
    assert [path.read_bytes() for path in files(cache)] == whole


def test_a_store_that_cannot_be_written_is_memory_with_a_note(toy, tmp_path, caplog):
    (tmp_path / "taken").write_text("")
    pairs = AlignedPairs(toy(length=3, references=True), shift, store=tmp_path / "taken")
    CALLS.clear()
    pairs.prepare(workers=0)
    assert [int(pairs[index]["flow"][1, 0, 0]) for index in range(3)] == [0, 1, 2]
    assert len(CALLS) == 3 and caplog.text.count("in memory alone") == 1
    with pytest.raises(OutputError):
        pairs.fill_store()


def test_an_aligner_without_a_name_is_kept_in_memory(toy, cache, caplog):
    pairs = AlignedPairs(toy(length=1, references=True), lambda a, b: shift(a, b))
    CALLS.clear()
    assert torch.equal(pairs[0]["flow"], pairs[0]["flow"]) and CALLS == [0]
    assert "in memory alone" in caplog.text and not cache.exists()
    with pytest.raises(ConfigError, match="function of a module"):
        pairs.fill_store()


def test_what_is_not_finite_is_not_aligned(toy):
    pairs = AlignedPairs(toy(length=1, references=True), nowhere)
    sample = pairs[0]
    assert torch.isfinite(sample["flow"]).all() and float(sample["confidence"].max()) == 0


def nowhere(target, reference):
    return np.full((*target.shape[:2], 2), np.nan, np.float32), np.ones(target.shape[:2], np.float32)


def test_the_networks_aligner_is_stored_like_the_classical_one():
    scenes = SynthNight(length=1, size=(64, 128))
    image, reference = (scenes[0][key].permute(1, 2, 0).contiguous().numpy() for key in ("image", "reference"))
    both = PairwiseAligner(ClassicalAligner())(image, reference), align_pair(image, reference)
    assert all(np.array_equal(*planes) for planes in zip(*both, strict=True))
    aligner = PairwiseAligner(UAWarpCAligner("random", "random"))
    pairs = AlignedPairs(scenes, aligner)
    assert pairs.fill_store(workers=1) == 1
    flow = torch.from_numpy(aligner(image, reference)[0]).permute(2, 0, 1)
    assert (pairs[0]["flow"] - flow).abs().max() <= 1 / 128
    other = PairwiseAligner(UAWarpCAligner("random", "random", radius=2.0))
    assert AlignedPairs(scenes, other).fill_store(workers=1) == 1
    assert AlignedPairs(scenes, pickle.loads(pickle.dumps(aligner))).fill_store(workers=1) == 0
    with torch.no_grad():
        next(other.aligner.network.parameters()).add_(1)
    assert AlignedPairs(scenes, other).fill_store(workers=1) == 1, "other weights"
