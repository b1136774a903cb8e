"""Packed flows: their error is bounded, and no damage to their files gives a wrong one."""

import numpy as np
import pytest
import torch

from dsrnss.data.boxes import Box
from dsrnss.data.flow_store import FlowStore, PackedFlow
from dsrnss.data.synthnight import generate


def unpacked(packed):
    return packed.tensors(Box(0, 0, *packed.confidence.shape))


@pytest.mark.parametrize(("reach", "bound"), [(0, 0), (3, 1 / 128), (511, 1 / 128), (3000, 3000 / 32767), (1e7, 306)])
def test_the_error_is_bounded(reach, bound):
    rng = np.random.default_rng(0)
    flow = rng.uniform(-reach, reach, (31, 47, 2)).astype(np.float32)
    confidence = rng.random((31, 47)).astype(np.float32)
    packed = PackedFlow.pack(flow, confidence)
    read, sure = unpacked(packed)
    assert np.abs(read.numpy() - flow.transpose(2, 0, 1)).max() <= bound * (1 + 1e-5)
    assert np.abs(sure.numpy() - confidence).max() <= 1 / 508 + 1e-6
    again = PackedFlow.pack(read.permute(1, 2, 0).numpy(), sure[0].numpy())
    assert np.array_equal(again.confidence, packed.confidence) and torch.equal(unpacked(again)[0], read)


def test_no_half_and_whole_confidence_are_exact():
    values = np.array([[0, 0.5, 1, -1, 2]], np.float32)
    assert unpacked(PackedFlow.pack(np.zeros((1, 5, 2), np.float32), values))[1].tolist() == [[[0, 0.5, 1, 0, 1]]]


def test_a_street_takes_a_few_bits_a_pixel(tmp_path):
    scene = generate("target", 0, size=(192, 384), reference=True)
    store = FlowStore(tmp_path)
    store.write("pair", PackedFlow.pack(np.nan_to_num(scene.flow), scene.flow_valid.astype(np.float32)))
    count, size = store.size()
    assert count == 1 and size < 3 * 192 * 384


def test_no_damage_gives_another_flow(tmp_path):
    rng = np.random.default_rng(0)
    flow = PackedFlow.pack(rng.normal(0, 9, (8, 9, 2)), rng.random((8, 9)))
    store = FlowStore(tmp_path)
    store.write("pair", flow)
    path = tmp_path / "pair.npz"
    whole = path.read_bytes()
    for place in range(0, len(whole), 3):
        for data in (whole[:place], whole[:place] + bytes([whole[place] ^ (1 << place % 8)]) + whole[place + 1 :]):
            path.write_bytes(data)
            read = store.read("pair")
            assert read is None or all(torch.equal(a, b) for a, b in zip(unpacked(read), unpacked(flow), strict=True))
    assert store.read("other") is None
