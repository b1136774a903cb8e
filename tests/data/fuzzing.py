"""Damage as disks, downloads, editors and enemies do it: mutations of files, the same in every run."""

import copy
import json
import os
from collections.abc import Iterator
from typing import Any

import numpy as np

MUTATIONS = int(os.environ.get("DSRNSS_FUZZ", "40"))
"""Mutations of each file; `DSRNSS_FUZZ=1000 pytest tests/data/test_fuzz.py` is the long version."""

LIES = (0, 1, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 100_000, 0x7FFFFFFF, 0xFFFFFFFF)
"""What headers say of sizes."""

HOSTILE: tuple[Any, ...] = (
    None, True, 0, -1, 7, 255, 256, 2**31, 2**63, -(2**70), 10**400, 1e308, -1e308, float("inf"), float("nan"), 0.5,
    "", "road", "x", "\0", "\ud800", "../../x", "~", "ü", "x" * 300, [], {}, [[]], [None], [[1, 2], [3]], {"a": 1},
    [1e30] * 2,
)  # fmt: skip


def damaged(data: bytes, seed: int, words: tuple[bytes, ...] = (), number: int = MUTATIONS) -> Iterator[bytes]:
    """Mutations of a file.

    Args:
        data: Its content.
        seed: Sets these mutations apart.
        words: Pieces that belong into a file of its kind, right or wrong.
        number: How many.
    """
    rng = np.random.default_rng([seed, len(data)])
    for _ in range(number):
        mutant = bytearray(data)
        for _ in range(int(rng.integers(1, 4))):
            _damage(mutant, rng, words)
        yield bytes(mutant)


def _damage(data: bytearray, rng: np.random.Generator, words: tuple[bytes, ...]) -> None:
    # headers are short, and what stands in them does the most harm
    early = rng.random() < 0.5
    at = int(rng.integers(min(len(data), 128) if early else len(data))) if data else 0
    end = at + int(rng.integers(1, 33))
    kind = int(rng.integers(8 if words else 7))
    if kind == 0:
        data[at : at + 1] = bytes([data[at] ^ 1 << int(rng.integers(8))]) if data else b""
    elif kind == 1:
        del data[at:]
    elif kind == 2:
        del data[at:end]
    elif kind == 3:
        data[at:at] = data[at:end]
    elif kind == 4:
        data[at:end] = data[at:end][::-1]
    elif kind == 5:
        data[at:end] = rng.bytes(end - at)
    elif kind == 6:
        size, order = ((2, "big"), (2, "little"), (4, "big"), (4, "little"))[int(rng.integers(4))]
        lie = LIES[int(rng.integers(len(LIES)))]
        data[at : at + size] = (lie & (256**size - 1)).to_bytes(size, order)
    else:
        word = words[int(rng.integers(len(words)))]
        data[at : at + int(rng.integers(2)) * len(word)] = word


def distorted(content: Any, seed: int, number: int = MUTATIONS) -> Iterator[bytes]:
    """JSON in which one or two values are of another kind or size, or missing.

    Args:
        content: What is right.
        seed: Sets these distortions apart.
        number: How many.
    """
    rng = np.random.default_rng([seed, number])
    for _ in range(number):
        mutant = copy.deepcopy({"": content})
        for _ in range(int(rng.integers(1, 3))):
            places = list(_places(mutant))
            holder, key = places[int(rng.integers(len(places)))]
            if rng.random() < 0.1 and holder is not mutant:
                del holder[key]
            else:
                holder[key] = copy.deepcopy(HOSTILE[int(rng.integers(len(HOSTILE)))])
        yield json.dumps(mutant[""]).encode()


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield value, key
        yield from _places(inner)
