"""A file that is damaged, foreign or hostile is refused with words; nothing of it is run and nothing half loaded."""

import argparse
import collections
import os
import pathlib
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from dsrnss.errors import CheckpointError
from dsrnss.models.backbones.mit import MixTransformer
from dsrnss.models.config import NetworkConfig
from dsrnss.models.factory import build_segmentor
from dsrnss.models.segmentor import Segmentor
from dsrnss.models.weights import load_backbone, load_pretrained, load_state, read_checkpoint, resolve

State = dict[str, Tensor]


@pytest.fixture(scope="module")
def network() -> Segmentor:
    torch.manual_seed(0)
    return build_segmentor(NetworkConfig("mit_b0", "daformer", 8)).eval()


@pytest.fixture
def state(network: Segmentor) -> State:
    return {key: value.clone() for key, value in network.state_dict().items()}


def save(state: Any, path: Path) -> Path:
    torch.save({"state_dict": state}, path)
    return path


@pytest.mark.parametrize("ending", ["ckpt", "safetensors"])
@pytest.mark.parametrize("share", [0.0, 0.0001, 0.01, 0.3, 0.7, 0.99, 0.99999])
def test_truncated(state: State, tmp_path: Path, ending: str, share: float) -> None:
    from safetensors.torch import save_file

    path = tmp_path / f"cut.{ending}"
    if ending == "ckpt":
        save(state, path)
    else:
        save_file(state, path)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(CheckpointError, match=f"cut.{ending}"):
        load_pretrained(path)


@pytest.mark.parametrize("ending", ["ckpt", "safetensors", "pth"])
@pytest.mark.parametrize("content", [b"", b"<html>404 not found</html>", b"\x80\x02broken", b"PK\x03\x04", b"\0" * 64])
def test_no_file_of_tensors(tmp_path: Path, ending: str, content: bytes) -> None:
    path = tmp_path / f"odd.{ending}"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=f"odd.{ending}"):
        load_pretrained(path)


@pytest.mark.parametrize("seed", range(8))
def test_flipped_bytes_never_end_in_a_traceback(state: State, tmp_path: Path, seed: int) -> None:
    small = {key: value for key, value in state.items() if value.numel() < 100}
    content = bytearray(save(small, tmp_path / "flipped.ckpt").read_bytes())
    rng = np.random.default_rng(seed)
    for position in rng.integers(0, len(content), 200):
        content[position] = rng.integers(0, 256)
    (tmp_path / "flipped.ckpt").write_bytes(bytes(content))
    with pytest.raises(CheckpointError):
        load_pretrained(tmp_path / "flipped.ckpt")


class _Malicious:
    def __init__(self, function: Callable[..., object], *args: object) -> None:
        self.call = (function, args)

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return self.call


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("kind", ["eval", "path", "hidden"])
def test_a_malicious_pickle_runs_nothing(tmp_path: Path, legacy: bool, kind: str) -> None:
    trace = tmp_path / "ran"
    evil = {
        "eval": _Malicious(eval, f"open({str(trace)!r}, 'w')"),
        "path": _Malicious(pathlib.Path.touch, trace),
        "hidden": argparse.Namespace(inner=_Malicious(exec, f"open({str(trace)!r}, 'w')")),
    }[kind]
    torch.save(
        {"state_dict": {"a": torch.zeros(1)}, "x": evil},
        tmp_path / "evil.ckpt",
        _use_new_zipfile_serialization=not legacy,
    )
    with pytest.raises(CheckpointError, match=r"(?s)could run code.*nothing of it was run.*safetensors"):
        load_pretrained(tmp_path / "evil.ckpt")
    with pytest.raises(CheckpointError):
        load_backbone(MixTransformer("mit_b0"), tmp_path / "evil.ckpt")
    assert not trace.exists()


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("protocol", [2, 4])
def test_a_bare_pickle_is_refused_without_torchs_advice_to_run_it(tmp_path: Path, protocol: int) -> None:
    (tmp_path / "evil.pth").write_bytes(pickle.dumps({"a": _Malicious(print, "ran")}, protocol))
    with pytest.raises(
        CheckpointError, match=r"(?s)evil\.pth.*could run code.*nothing of it was run.*safetensors"
    ) as error:
        load_pretrained(tmp_path / "evil.pth")
    assert "weights_only=False" not in str(error.value)


@pytest.mark.parametrize("name", ["pipe.ckpt", "pipe.safetensors"])
def test_a_pipe_or_device_is_refused_instead_of_waited_for(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / name)
    (tmp_path / f"link_{name}").symlink_to(tmp_path / name)
    for path in (tmp_path / name, tmp_path / f"link_{name}", Path("/dev/zero")):
        with pytest.raises(CheckpointError, match="is not a regular file"):
            load_pretrained(path)
    with pytest.raises(CheckpointError, match="is not a regular file"):
        read_checkpoint(tmp_path / name)


@pytest.mark.parametrize(
    ("name", "said"),
    [("", "empty"), ("x" * 5000, r"No model at 'x{60}\.\.\.'"), ("~nosuchuser/x.ckpt", "no such user")],
)
def test_names_that_are_no_names(name: str, said: str) -> None:
    with pytest.raises(CheckpointError, match=said):
        resolve(name)


def test_harmless_settings_beside_the_tensors_are_passed_over(state: State, tmp_path: Path) -> None:
    extras = {
        "hyper_parameters": argparse.Namespace(lr=6e-4, root=pathlib.PurePosixPath("data")),
        "best": np.float64(0.5),
        "history": np.arange(3),
        "scores": collections.defaultdict(list, {"miou": [1, 2]}),
    }
    torch.save({"state_dict": state, **extras}, tmp_path / "lightning.ckpt")
    assert load_pretrained(tmp_path / "lightning.ckpt").account.complete
    assert not isinstance(read_checkpoint(tmp_path / "lightning.ckpt")["hyper_parameters"], argparse.Namespace)


def test_an_archive_that_unpacks_to_more_is_refused(state: State, tmp_path: Path) -> None:
    source = save(state, tmp_path / "plain.ckpt")
    with zipfile.ZipFile(source) as plain, zipfile.ZipFile(tmp_path / "bomb.ckpt", "w", zipfile.ZIP_DEFLATED) as bomb:
        for name in plain.namelist():
            bomb.writestr(name, plain.read(name))
    with pytest.raises(CheckpointError, match="compressed archive"):
        load_pretrained(tmp_path / "bomb.ckpt")


def test_a_tensor_that_claims_more_than_is_stored_is_refused(state: State, tmp_path: Path) -> None:
    state["head.conv_seg.weight"] = torch.zeros(1, 1, 1, 1).expand(10**6, 10**6, 1, 1)
    with pytest.raises(CheckpointError, match="claims to be larger"):
        load_pretrained(save(state, tmp_path / "huge.ckpt"))


def test_shapes_of_nonsense_take_no_memory(state: State, tmp_path: Path) -> None:
    state["head.embed_layers.0.proj.weight"] = torch.zeros(10**6, 1)
    with pytest.raises(CheckpointError, match="of another shape"):
        load_pretrained(save(state, tmp_path / "wide.ckpt"))


def test_shapes_of_nonsense_take_no_memory_either_if_not_all_must_fit(state: State, tmp_path: Path) -> None:
    state["head.embed_layers.0.proj.weight"] = torch.zeros(10**6, 1)
    with pytest.raises(CheckpointError, match="it is not made"):
        load_pretrained(save(state, tmp_path / "wide.ckpt"), strict=False)


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("kind", ["bytearray", "convert"])
def test_a_few_bytes_that_ask_for_much_memory_are_refused(tmp_path: Path, legacy: bool, kind: str) -> None:
    greedy = {
        "bytearray": _Malicious(bytearray, 10**11),
        "convert": _Malicious(
            torch._utils._rebuild_device_tensor_from_cpu_tensor,
            *(torch.zeros(1).expand(10**11), torch.float64, "cpu", False),
        ),
    }[kind]
    torch.save({"a": greedy}, tmp_path / "greedy.pth", _use_new_zipfile_serialization=not legacy)
    assert (tmp_path / "greedy.pth").stat().st_size < 3000
    with pytest.raises(CheckpointError, match="could take any amount of memory"):
        load_pretrained(tmp_path / "greedy.pth")


@pytest.mark.filterwarnings("ignore:.*nested tensors:UserWarning")
@pytest.mark.parametrize(
    ("tensor", "said"),
    [
        (torch.nested.nested_tensor([torch.zeros(2), torch.zeros(3)]), "sparse, nested or quantised"),
        (torch.zeros(19).to_sparse(), "sparse, nested or quantised"),
        (torch.empty(19, device="meta"), "has no numbers"),
    ],
)
def test_tensors_that_are_no_plain_numbers(state: State, tmp_path: Path, tensor: Tensor, said: str) -> None:
    for strict in (True, False):
        with pytest.raises(CheckpointError, match=f"'head.conv_seg.bias'.*{said}"):
            load_pretrained(save({**state, "head.conv_seg.bias": tensor}, tmp_path / "odd.ckpt"), strict=strict)


def test_entries_that_share_their_bytes_are_refused(state: State, tmp_path: Path) -> None:
    """An archive of a megabyte whose entries, all in the same place, are a terabyte to read."""
    path = save(state, tmp_path / "plain.ckpt")
    with zipfile.ZipFile(path, "a") as archive:
        entry = max(archive.infolist(), key=lambda entry: entry.file_size)
        archive.filelist += [entry] * 1000
        archive._didModify = True
    with pytest.raises(CheckpointError, match="overlap"):
        load_pretrained(path)


def without_head(state: State) -> State:
    return {key: value for key, value in state.items() if not key.startswith("head.")}


def without_a_block(state: State) -> State:
    return {key: value for key, value in state.items() if not key.startswith("backbone.block3.1.")}


def with_nan(state: State) -> State:
    state["backbone.norm1.weight"][3] = float("nan")
    return state


def with_infinity(state: State) -> State:
    state["head.conv_seg.bias"][3] = float("inf")
    return state


def beyond_float32(state: State) -> State:
    return {**state, "head.conv_seg.bias": torch.full((19,), 1e300, dtype=torch.float64)}


def with_negative_variance(state: State) -> State:
    key = next(key for key in state if key.endswith("running_var"))
    return {**state, key: -state[key]}


def with_integers(state: State) -> State:
    return {**state, "head.conv_seg.bias": torch.zeros(19, dtype=torch.int8)}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (without_head, "backbone mit_b0 and no head"),
        (without_a_block, "MiT of 32-64-160-256 channels and 2-2-1-2 blocks"),
        (with_nan, "1 with NaN or infinite values: backbone.norm1.weight"),
        (with_infinity, "1 with NaN or infinite values: head.conv_seg.bias"),
        (beyond_float32, "1 with NaN or infinite values: head.conv_seg.bias. So nothing was loaded"),
        (with_negative_variance, "1 with negative variances: head.*running_var"),
        (with_integers, "1 of another shape: head.conv_seg.bias .*int8"),
        (lambda state: {**state, "head.more": torch.zeros(1)}, "1 unexpected: head.more"),
        (lambda state: {**state, "optimizer.x": torch.zeros(1)}, "1 unexpected: optimizer.x"),
        (
            lambda state: {k: v for k, v in state.items() if k != "backbone.norm4.bias"},
            "1 missing: backbone.norm4.bias",
        ),
        (lambda state: {"weird.weight": torch.zeros(1)}, "layout of no network"),
        (lambda state: {}, "holds no tensors"),
        (lambda state: [torch.zeros(1)], "broken.ckpt"),
    ],
)
def test_what_is_wrong_is_named(state: State, tmp_path: Path, change: Callable[[State], Any], said: str) -> None:
    path = save(change(state), tmp_path / "broken.ckpt")
    with pytest.raises(CheckpointError, match=said):
        load_pretrained(path)


def test_one_missing_counter_starts_at_zero(state: State, tmp_path: Path) -> None:
    key = next(key for key in state if key.endswith("num_batches_tracked"))
    del state[key]
    read = load_pretrained(save(state, tmp_path / "old.ckpt"))
    assert read.account.complete
    assert "1 batch counters are not in the file" in str(read.account)
    assert read.segmentor.state_dict()[key] == 0


def test_many_wrong_keys_are_summed_up_without_losing_any(network: Segmentor) -> None:
    with pytest.raises(CheckpointError) as error:
        load_state(network, {}, "nothing")
    assert f"{len(network.state_dict())} missing: " in str(error.value)
    assert "backbone.block1.* (" in str(error.value) or "backbone.* (176)" in str(error.value)
    assert len(str(error.value)) < 1000


@pytest.mark.parametrize("change", [with_nan, without_a_block, lambda s: {**s, "backbone.x": torch.zeros(1)}])
def test_a_refused_file_changes_nothing(state: State, tmp_path: Path, change: Callable[[State], State]) -> None:
    backbone = MixTransformer("mit_b0")
    before = {key: value.clone() for key, value in backbone.state_dict().items()}
    with pytest.raises(CheckpointError, match="nothing was loaded"):
        load_backbone(backbone, save(change(state), tmp_path / "broken.ckpt"))
    assert all(torch.equal(value, before[key]) for key, value in backbone.state_dict().items())


def test_another_backbone_is_named(state: State, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="does not fit the backbone mit_b1, because it holds mit_b0"):
        load_backbone(MixTransformer("mit_b1"), save(state, tmp_path / "b0.ckpt"))


def test_not_strict_loads_what_fits_and_says_the_rest(
    state: State, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "dsrnss")
    del state["backbone.norm4.bias"]
    read = load_pretrained(save({**state, "head.more": torch.zeros(1)}, tmp_path / "odd.ckpt"), strict=False)
    assert (read.account.missing, read.account.unexpected) == (("backbone.norm4.bias",), ("head.more",))
    assert torch.equal(read.segmentor.state_dict()["head.conv_seg.weight"], state["head.conv_seg.weight"])
    assert "head.more" in caplog.text
    account = load_backbone(MixTransformer("mit_b0"), tmp_path / "odd.ckpt", strict=False)
    assert (account.loaded, account.total) == (175, 176)


def test_folders_that_are_no_models(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"no config\.json"):
        load_pretrained(tmp_path)
    (tmp_path / "config.json").write_text("[]")
    with pytest.raises(CheckpointError, match=r"no model\.safetensors"):
        load_pretrained(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"x")
    with pytest.raises(CheckpointError, match="JSON object"):
        load_pretrained(tmp_path)
