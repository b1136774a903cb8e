"""A file whose numbers changed since they were written is not read as if nothing had happened."""

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from dsrnss.errors import CheckpointError
from dsrnss.models.config import NetworkConfig
from dsrnss.models.factory import build_segmentor
from dsrnss.models.weights import damage, load_pretrained, read_checkpoint
from dsrnss.models.weights.reading import read_tensors

State = dict[str, Tensor]


@pytest.fixture(scope="module")
def state() -> State:
    torch.manual_seed(0)
    return build_segmentor(NetworkConfig("compact", "fpn", 8)).state_dict()


def flip(path: Path, position: int) -> None:
    content = bytearray(path.read_bytes())
    content[position] ^= 0x10
    path.write_bytes(bytes(content))


def inside(path: Path, tensor: Tensor) -> int:
    """Where in a file the numbers of a tensor are."""
    return path.read_bytes().index(tensor.numpy().tobytes()) + 5


def test_one_flipped_bit_among_the_numbers(state: State, tmp_path: Path) -> None:
    path = tmp_path / "run.ckpt"
    torch.save({"state_dict": state}, path)
    assert damage(path) == ""
    flip(path, inside(path, state["head.conv_seg.weight"]))
    assert damage(path).startswith("the checksum of 'run/data/")
    for read in (load_pretrained, read_checkpoint, read_tensors):
        with pytest.raises(CheckpointError, match=r"run\.ckpt' is damaged: the checksum of .* is wrong\. Copy or down"):
            read(path)


def test_a_flip_anywhere_is_told_or_changes_nothing(state: State, tmp_path: Path) -> None:
    small = {key: value for key, value in state.items() if value.numel() < 50}
    path = tmp_path / "run.ckpt"
    torch.save(small, path)
    whole, rng = path.read_bytes(), np.random.default_rng(0)
    refused = 0
    # the directory and the headers of the entries are between the numbers and after them
    for position in rng.choice(len(whole), 300, replace=False):
        path.write_bytes(whole)
        flip(path, int(position))
        if reason := damage(path):
            assert not reason.endswith(".")
        try:
            read = read_tensors(path).tensors
        except CheckpointError:
            refused += 1
            continue
        assert read.keys() == small.keys()
        assert all(torch.equal(value, small[key]) for key, value in read.items())
    assert refused > 50


def test_without_checksums_nothing_is_claimed(state: State, tmp_path: Path) -> None:
    path = tmp_path / "run.ckpt"
    before = torch.serialization.get_crc32_options()
    torch.serialization.set_crc32_options(False)
    try:
        torch.save(state, path)
    finally:
        torch.serialization.set_crc32_options(before)
    assert damage(path) == ""
    assert load_pretrained(path).account.complete
    path.write_bytes(path.read_bytes()[:-100])
    assert damage(path) == "it is cut off"


@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.999])
@pytest.mark.parametrize("ending", ["ckpt", "safetensors"])
def test_what_is_cut_off_is_damaged(state: State, tmp_path: Path, share: float, ending: str) -> None:
    path = tmp_path / f"cut.{ending}"
    torch.save(state, path) if ending == "ckpt" else save_file(state, path)
    assert damage(path) == ""
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    assert "cut off" in damage(path) or "empty" in damage(path)
    with pytest.raises(CheckpointError, match=r"cut off|empty"):
        load_pretrained(path)


def test_what_is_no_file(tmp_path: Path) -> None:
    assert damage(tmp_path)
    assert damage(tmp_path / "missing.ckpt")
    (tmp_path / "zeros.ckpt").write_bytes(bytes(1000))  # as after a power failure
    assert "begins with" in damage(tmp_path / "zeros.ckpt")


def test_the_old_format_has_no_checksum(state: State, tmp_path: Path) -> None:
    torch.save(state, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    assert damage(tmp_path / "old.pth") == ""


def header(path: Path, change: dict[str, Any]) -> None:
    """Write the header of a safetensors file anew, its numbers as they are."""
    content = path.read_bytes()
    length = struct.unpack("<Q", content[:8])[0]
    values = json.loads(content[8 : 8 + length])
    for key, value in change.items():
        values[key].update(value)
    text = json.dumps(values).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + content[8 + length :])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"b": {"data_offsets": [0, 16]}}, "overlap or leave gaps"),
        ({"b": {"data_offsets": [8, 24]}}, "overlap or leave gaps"),
        ({"b": {"data_offsets": [16, 64]}}, "shape does not fit|cut off"),
        ({"b": {"shape": [2**40]}}, "shape does not fit"),
        ({"b": {"shape": [2**40, 2**40]}}, "safetensors file"),
        ({"b": {"dtype": "I99"}}, "unknown variant `I99`"),
    ],
)
def test_headers_that_are_wrong(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    save_file({"a": torch.ones(4), "b": torch.ones(4)}, tmp_path / "x.safetensors")
    header(tmp_path / "x.safetensors", change)
    assert damage(tmp_path / "x.safetensors")
    with pytest.raises(CheckpointError, match=said):
        load_pretrained(tmp_path / "x.safetensors")


def test_a_header_that_claims_any_size(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(struct.pack("<Q", 2**62) + b"{}")
    with pytest.raises(CheckpointError, match="header claims to be larger"):
        load_pretrained(path)
