"""A thousand damaged, mistaken and hostile files of weights: each loads or is refused with words; nothing is run."""

import json
import os
import pickle
import struct
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from dsrnss.cli import main
from dsrnss.errors import DsrnssError
from dsrnss.labels import CITYSCAPES
from dsrnss.models.backbones.compact import CompactNet
from dsrnss.models.config import NetworkConfig
from dsrnss.models.factory import build_segmentor
from dsrnss.models.weights import (
    CARD_KEY,
    damage,
    describe,
    kind_of,
    load_backbone,
    load_pretrained,
    read_checkpoint,
    save_pretrained,
)
from dsrnss.models.weights.inspection import convert_file, inspect_file

Random = np.random.Generator
MUTATIONS = 1000
READERS: tuple[Callable[[Path, Path], object], ...] = (
    lambda path, _: load_pretrained(path),
    lambda path, _: load_pretrained(path, "teacher"),
    lambda path, _: load_pretrained(path, strict=False),
    lambda path, _: inspect_file(path),
    lambda path, _: load_backbone(CompactNet(), path),
    lambda path, _: kind_of(path),
    lambda path, _: damage(path),
    lambda path, _: read_checkpoint(path),
    lambda path, out: convert_file(path, out / "converted.safetensors"),
)
NASTY: tuple[Any, ...] = (
    None, True, -1, 0, 10**9, 10**30, 2**63, 1e308, float("nan"), float("inf"), "", "x" * 10_000, "../../evil",
    "/etc/passwd", "os.system", "__import__", "\ud800", "\0", [], {}, [[]], {"a": {"a": {"a": {}}}}, [None] * 50,
    "mit_b5", {"class_path": "os.system", "init_args": {"command": "touch ran"}},
    {"class_path": "subprocess.Popen", "init_args": {"args": ["touch", "ran"]}},
)  # fmt: skip


WIDE = torch.zeros(1).expand(10**10)


class Evil:
    """Asks whoever unpickles it to make a file."""

    def __init__(self, kind: int, trace: Path) -> None:
        code = f"open({str(trace)!r}, 'w')"
        self.call: tuple[Any, ...] = (
            (os.system, (f"touch {trace}",)),
            (eval, (code,)),
            (exec, (code,)),
            (Path.touch, (trace,)),
            (getattr, (Path(trace), "touch")),
            (bytearray, (10**11,)),
            (torch._utils._rebuild_device_tensor_from_cpu_tensor, (WIDE, torch.int8, "cpu", False)),
            (torch.empty, (10**12,)),
            (np.zeros, (10**12,)),
        )[kind % 9]  # fmt: skip

    def __reduce__(self) -> tuple[Any, ...]:
        return self.call


def mutate_bytes(content: bytes, rng: Random) -> bytes:
    """Flips, cuts, holes, doubles and insertions, more of them where headers and directories are."""
    data = bytearray(content)
    for _ in range(int(rng.integers(1, 4))):
        size = max(len(data), 1)
        near = int(
            rng.choice([rng.integers(size), rng.integers(min(size, 2000)), max(0, size - rng.integers(1, 6000))])
        )
        length = int(rng.integers(1, 200))
        match rng.integers(7):
            case 0:
                for position in rng.integers(near, min(near + 1000, size) + 1, 20):
                    if position < len(data):
                        data[position] = rng.integers(256)
            case 1:
                del data[near:]
            case 2:
                del data[near : near + length]
            case 3:
                data[near : near + length] = bytes(length)
            case 4:
                data[near:near] = rng.bytes(length)
            case 5:
                data[near:near] = data[near : near + length]
            case _:
                data[near : near + 8] = struct.pack("<Q", int(rng.choice([0, 1, 2**31, 2**32 - 1, 2**63 - 1])))
    return bytes(data)


def mutate_value(value: Any, rng: Random) -> Any:
    """Put something nasty somewhere into nested plain values."""
    if isinstance(value, dict) and value and rng.random() < 0.9:
        key = list(value)[rng.integers(len(value))]
        changed = dict(value)
        match rng.integers(8):
            case 0:
                del changed[key]
            case 1:
                changed[str(NASTY[rng.integers(len(NASTY))])[:50]] = changed.pop(key)
            case _:
                changed[key] = mutate_value(value[key], rng)
        return changed
    if isinstance(value, list) and value and rng.random() < 0.7:
        index = int(rng.integers(len(value)))
        return [*value[:index], mutate_value(value[index], rng), *value[index + 1 :]]
    return NASTY[rng.integers(len(NASTY))]


def mutate_tensor(tensor: Tensor, rng: Random) -> Any:
    choices: tuple[Callable[[], Any], ...] = (
        lambda: tensor.flatten(),
        lambda: tensor[None],
        lambda: torch.zeros(()),
        lambda: torch.zeros(0),
        lambda: torch.zeros(2**20, 0),
        lambda: torch.zeros(1).expand(10**9, 10**9),
        lambda: tensor.to(torch.int8),
        lambda: tensor.to(torch.complex64),
        lambda: tensor.to(torch.float8_e5m2) if tensor.is_floating_point() else tensor.bool(),
        lambda: torch.full_like(tensor, -1),
        lambda: tensor / 0,
        lambda: torch.zeros(tensor.shape).to_sparse(),
        lambda: torch.empty(tensor.shape, device="meta"),
        lambda: torch.sparse_coo_tensor(torch.zeros(1, 0, dtype=torch.int64), torch.zeros(0), (2**40,)),
        lambda: tensor.tolist(),
        lambda: NASTY[rng.integers(len(NASTY))],
        lambda: torch.nested.nested_tensor([torch.zeros(2), torch.zeros(3)]),
    )
    return choices[rng.integers(len(choices))]()


def mutate_checkpoint(content: dict[Any, Any], rng: Random, trace: Path) -> Any:
    """Keys renamed, shapes changed, garbage nested, and objects that ask for code."""
    state: dict[Any, Any] = dict(content["state_dict"])
    for _ in range(int(rng.integers(1, 4))):
        key = list(state)[rng.integers(len(state))]
        match rng.integers(8):
            case 0:
                del state[key]
            case 1:
                name = str(key)
                words = ["module", "model", "ema", "backbone", "", "m_backbone", "teacher", "../x", "\0", "layers.0.0"]
                state[str(rng.choice(words)) + "." + name] = state.pop(key)
            case 2:
                state = {f"net.{name}": value for name, value in state.items()}
            case 3:
                state[Evil] = 1
                del state[Evil]
                state[int(rng.integers(9))] = torch.zeros(1)
            case 4:
                state[key] = Evil(int(rng.integers(9)), trace)
            case _:
                if isinstance(state[key], Tensor) and state[key].layout == torch.strided and state[key].numel() < 10**6:
                    state[key] = mutate_tensor(state[key], rng)
    changed: Any = {**content, "state_dict": state}
    match rng.integers(8):
        case 0:
            changed = state
        case 1:
            changed = {"ema": changed, "model": {"net": state}}
        case 2:
            changed[CARD_KEY] = mutate_value(content.get(CARD_KEY) or {"format": 1}, rng)
        case 3:
            changed["more"] = Evil(int(rng.integers(9)), trace)
        case 4:
            knot: list[Any] = []
            for _ in range(100):
                knot = [knot, knot]
            changed |= {"knot": knot, "self": changed}
        case 5:
            changed = [changed, (changed,)][rng.integers(2)]
    return changed


def mutate_safetensors(content: bytes, rng: Random) -> bytes:
    length = struct.unpack("<Q", content[:8])[0]
    header = mutate_value(json.loads(content[8 : 8 + length]), rng)
    text = json.dumps(header).encode("utf-8", "replace")
    claimed = len(text) if rng.random() < 0.8 else int(rng.choice([0, 2**62, len(text) + 1, 99_000_000]))
    return struct.pack("<Q", claimed) + text + content[8 + length :]


def bomb(path: Path, rng: Random) -> None:
    """An archive that unpacks to much more than it is."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb/data.pkl", pickle.dumps({"a": 1}, 2))
        archive.writestr("bomb/data/0", bytes(int(rng.integers(1, 50)) * 10**6))
        archive.writestr("bomb/version", "3")


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, dict[Any, Any]], bytes, dict[str, Any]]:
    """What our runs and the authors save, a safetensors file, and a config.json."""
    torch.manual_seed(0)
    config = NetworkConfig("compact", "fpn", 8)
    network = build_segmentor(config)
    state = network.state_dict()
    small = {key: value for key, value in state.items() if value.numel() < 30_000 or key.endswith("0.0.weight")}
    ours = {f"student.{key}": value for key, value in state.items()}
    ours |= {f"method.teacher.network.{key}": value for key, value in state.items()}
    authors = small | {f"m_{key}": value for key, value in small.items()}
    folder = tmp_path_factory.mktemp("original")
    save_pretrained(network, folder / "one.safetensors")
    description = describe(config, CITYSCAPES, {"steps": 3})
    checkpoints: dict[str, dict[Any, Any]] = {
        "ours": {"state_dict": ours, "global_step": 3, CARD_KEY: description},
        "authors": {"state_dict": authors, "epoch": 1, "hyper_parameters": {"lr": 6e-5}},
    }
    return checkpoints, (folder / "one.safetensors").read_bytes(), description


@pytest.fixture
def sample(originals: tuple[dict[str, dict[Any, Any]], bytes, dict[str, Any]], tmp_path: Path) -> Callable[[int], Path]:
    """Write the mutation of a number."""
    checkpoints, tensors, description = originals
    trace = tmp_path / "ran"
    plain: dict[tuple[str, bool], bytes] = {}
    for name, content in checkpoints.items():
        for legacy in (False, True):
            torch.save(content, tmp_path / "plain", _use_new_zipfile_serialization=not legacy)
            plain[name, legacy] = (tmp_path / "plain").read_bytes()
    (tmp_path / "plain").unlink()
    place = tmp_path / "given"
    place.mkdir()

    def write(number: int) -> Path:
        rng = np.random.default_rng(number)
        path = place / ("x.ckpt", "x.safetensors", "x.pth", "x")[rng.integers(4)]
        name, legacy = ("ours", "authors")[rng.integers(2)], bool(rng.integers(3) == 0)
        match number % 10:
            case 0 | 1 | 2:
                path.write_bytes(mutate_bytes(plain[name, legacy], rng))
            case 3 | 4 | 5:
                changed = mutate_checkpoint(checkpoints[name], rng, trace)
                torch.save(changed, path, _use_new_zipfile_serialization=not legacy)
            case 6:
                path.write_bytes(mutate_safetensors(tensors, rng))
            case 7:
                path.write_bytes(mutate_bytes(tensors, rng))
            case 8:
                path = place / "folder"
                path.mkdir(exist_ok=True)
                (path / "model.safetensors").write_bytes(tensors)
                text = json.dumps(mutate_value(description, rng)).encode("utf-8", "replace")
                (path / "config.json").write_bytes(text if rng.random() < 0.8 else mutate_bytes(text, rng))
            case _:
                if rng.random() < 0.3:
                    bomb(path, rng)
                elif rng.random() < 0.5:
                    path.write_bytes(pickle.dumps({"a": Evil(int(rng.integers(9)), trace)}, int(rng.integers(6))))
                else:
                    path.write_bytes(rng.bytes(int(rng.integers(1, 3000))))
        return path

    return write


@pytest.fixture
def watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, peak_memory: Callable) -> Iterator[Path]:
    """A working folder and an output folder; afterwards nothing was run, written elsewhere, or took memory."""
    (tmp_path / "here").mkdir()
    (tmp_path / "out").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    yield tmp_path / "out"
    assert not (tmp_path / "ran").exists()
    assert not list((tmp_path / "here").iterdir())
    assert {path.name for path in tmp_path.iterdir()} == {"here", "out", "given"}
    assert peak_memory() < 2**30


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("part", range(10))
def test_every_file_loads_or_is_refused_with_words(sample: Callable[[int], Path], watched: Path, part: int) -> None:
    loaded = 0
    for number in range(part * MUTATIONS // 10, (part + 1) * MUTATIONS // 10):
        path = sample(number)
        reader = READERS[number // 10 % len(READERS)]
        try:
            reader(path, watched)
            loaded += 1
        except DsrnssError as error:
            assert str(error)
            assert len(str(error)) < 20_000
        except BaseException as error:
            raise AssertionError(f"mutation {number}: {type(error).__name__}: {error}") from error
        for file in (path, *watched.iterdir()):
            if file.is_file():
                file.unlink()
    assert loaded < 0.09 * MUTATIONS


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_no_command_calls_it_a_bug(
    sample: Callable[[int], Path], watched: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photo = watched / "photo.png"
    Image.new("RGB", (64, 48)).save(photo)
    codes = []
    for number in range(0, MUTATIONS, 23):
        path = str(sample(number))
        codes.append(main(["weights", "inspect", path]))
        codes.append(main(["segment", str(photo), "--model", path, "--out", str(watched / "segmented")]))
        assert "Traceback" not in capsys.readouterr().err
    assert set(codes) <= {0, 1, 2}
    assert codes.count(1) + codes.count(2) > len(codes) // 2
