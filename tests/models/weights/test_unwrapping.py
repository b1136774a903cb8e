"""A network loads under whatever name a training program put it, and whatever wrapped it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from dsrnss.errors import CheckpointError
from dsrnss.models.backbones.compact import CompactNet
from dsrnss.models.backbones.mit import MixTransformer
from dsrnss.models.config import NetworkConfig
from dsrnss.models.factory import build_segmentor
from dsrnss.models.weights import load_backbone, load_pretrained, save_pretrained

State = dict[str, Tensor]
Change = Callable[[State], Any]


def _network(seed: int, backbone: str = "mit_b0", head: str = "daformer") -> State:
    torch.manual_seed(seed)
    return build_segmentor(NetworkConfig(backbone, head, 8)).state_dict()


STUDENT, TEACHER = _network(0), _network(1)


def under(prefix: str, state: State) -> State:
    return {f"{prefix}{key}": value for key, value in state.items()}


def loaded(path: Path, **options: Any) -> State:
    read = load_pretrained(path, **options)
    assert read.account.complete
    return dict(read.segmentor.state_dict())


def equal(one: State, other: State) -> bool:
    return one.keys() == other.keys() and all(torch.equal(value, other[key]) for key, value in one.items())


OPTIMISER = {"state": {0: {"exp_avg": torch.zeros(3)}}, "param_groups": [{"lr": 0.1}]}


@pytest.mark.parametrize(
    "name",
    [
        "state_dict", "model_state_dict", "model_state", "model", "net", "network", "weights", "params", "student",
        "generator", "module", "segmentor", "anything", "optimized_model",
        "ema_state_dict", "model_ema", "ema", "teacher", "params_ema",
        "averaging_state",
    ],
)  # fmt: skip
@pytest.mark.parametrize("levels", [1, 2])
def test_nested_under_any_name(tmp_path: Path, name: str, levels: int) -> None:
    content: dict[str, Any] = {name: STUDENT, "epoch": 3, "optimizer": OPTIMISER, "best": torch.tensor(0.5)}
    if levels == 2:
        content = {"checkpoint": content, "args": {"lr": torch.tensor(0.1)}}
    torch.save(content, tmp_path / "nested.pth")
    assert equal(loaded(tmp_path / "nested.pth"), STUDENT)


@pytest.mark.parametrize(
    ("plain", "average"),
    [
        ("state_dict", "ema_state_dict"),
        ("state_dict", "state_dict_ema"),
        ("model", "model_ema"),
        ("model", "ema"),
        ("net", "net_ema"),
        ("params", "params_ema"),
        ("student", "teacher"),
        ("weights", "shadow"),
        ("network", "swa_network"),
    ],
)
@pytest.mark.parametrize("depth", [0, 1])
def test_which_chooses_between_a_network_and_its_average(tmp_path: Path, plain: str, average: str, depth: int) -> None:
    content: dict[str, Any] = {average: under("module.", TEACHER) | {"n_averaged": torch.tensor(7)}, plain: STUDENT}
    for _ in range(depth):
        content = {"models": content}
    torch.save(content, tmp_path / "both.pth")
    assert equal(loaded(tmp_path / "both.pth"), STUDENT)
    assert equal(loaded(tmp_path / "both.pth", which="teacher"), TEACHER)
    read = load_pretrained(tmp_path / "both.pth", which="teacher")
    assert "moving average" in read.card["format"]
    assert read.account.left_out["n_averaged of the average"] == 1
    assert sum(read.account.left_out.values()) == len(STUDENT) + 1


def test_an_average_alone_is_either(tmp_path: Path) -> None:
    torch.save({"ema_state_dict": TEACHER}, tmp_path / "ema.pth")
    for which in ("student", "teacher"):
        assert equal(loaded(tmp_path / "ema.pth", which=which), TEACHER)
    torch.save({"state_dict": STUDENT}, tmp_path / "plain.pth")
    with pytest.raises(CheckpointError, match="only a student"):
        load_pretrained(tmp_path / "plain.pth", which="teacher")


@pytest.mark.parametrize(
    "rename",
    [
        lambda key: f"module.{key}",
        lambda key: f"_orig_mod.{key}",
        lambda key: f"model.{key}",
        lambda key: f"module.model._orig_mod.{key}",
        lambda key: f"student._orig_mod.{key}",
        lambda key: f"student.module.{key}",
        lambda key: f"net.segmentor.module.{key}",
        lambda key: f"_forward_module.model.{key}",
        lambda key: key.replace("backbone.", "backbone._orig_mod.").replace("head.", "head.module."),
        lambda key: key.replace("backbone.", "backbone.module.model."),
        lambda key: key.replace(".block", "._checkpoint_wrapped_module.block"),
    ],
)
def test_wrappers_anywhere_in_a_name(tmp_path: Path, rename: Callable[[str], str]) -> None:
    torch.save({"state_dict": {rename(key): value for key, value in STUDENT.items()}}, tmp_path / "wrapped.pth")
    assert equal(loaded(tmp_path / "wrapped.pth"), STUDENT)


def test_half_of_the_names_wrapped(tmp_path: Path) -> None:
    state = {f"_orig_mod.{key}" if key.startswith("backbone.") else key: value for key, value in STUDENT.items()}
    torch.save(state, tmp_path / "half.pth")
    assert equal(loaded(tmp_path / "half.pth"), STUDENT)


def test_what_compile_and_parallel_and_averages_of_torch_write(tmp_path: Path) -> None:
    network = build_segmentor(NetworkConfig("mit_b0", "daformer", 8))
    for name, wrapped in {
        "compiled": torch.compile(network),
        "parallel": nn.DataParallel(network),
        "averaged": torch.optim.swa_utils.AveragedModel(network),
        "both": torch.compile(nn.DataParallel(network)),
    }.items():
        torch.save(wrapped.state_dict(), tmp_path / name)
        assert equal(loaded(tmp_path / name), dict(network.state_dict()))


def test_a_stranger_beside_the_networks_is_accounted_for(tmp_path: Path) -> None:
    state = under("net.", STUDENT) | under("net_ema.", TEACHER) | {"loss.weight": torch.zeros(3)}
    torch.save({"state_dict": state}, tmp_path / "trainer.ckpt")
    assert equal(loaded(tmp_path / "trainer.ckpt"), STUDENT)
    account = load_pretrained(tmp_path / "trainer.ckpt", "teacher").account
    assert account.left_out == {"net": len(STUDENT), "loss": 1}


def test_parts_in_dictionaries_of_their_own(tmp_path: Path) -> None:
    parts: dict[str, State] = {"backbone": {}, "head": {}}
    for key, value in STUDENT.items():
        part, _, name = key.partition(".")
        parts[part][name] = value
    torch.save({"model": parts, "optimizer": OPTIMISER}, tmp_path / "parts.pth")
    assert equal(loaded(tmp_path / "parts.pth"), STUDENT)


def test_two_networks_of_equal_rights_are_refused_and_the_advice_loads(tmp_path: Path) -> None:
    state = under("branch1.", STUDENT) | under("branch2.", TEACHER)
    torch.save(state, tmp_path / "two.pth")
    with pytest.raises(CheckpointError, match=r"2 networks, 'branch1\.\*' and 'branch2\.\*'") as error:
        load_pretrained(tmp_path / "two.pth")
    code = str(error.value).partition("Save one alone: ")[2].rstrip(".")
    exec(code, {"torch": torch, "state": state, "PREFIX": "branch2.", "FILE": tmp_path / "one.pth"})
    assert equal(loaded(tmp_path / "one.pth"), TEACHER)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (OPTIMISER, "optimiser alone"),
        ({"optimizer": OPTIMISER, "epoch": 3}, "optimiser alone"),
        ({"optimizer_states": [OPTIMISER], "lr_schedulers": []}, "optimiser alone"),
        ({"ema": {"shadow_params": [torch.zeros(1)], "decay": 0.9}}, "no tensors"),
        ([STUDENT], "holds a list"),
        (torch.zeros(3), "holds a Tensor"),
        ({}, "no tensors"),
    ],
)
def test_no_network_in_it(tmp_path: Path, content: object, said: str) -> None:
    torch.save(content, tmp_path / "x.pth")
    with pytest.raises(CheckpointError, match=said):
        load_pretrained(tmp_path / "x.pth")


def test_dictionaries_that_hold_each_other_end(tmp_path: Path) -> None:
    content: dict[str, Any] = {"state_dict": STUDENT}
    content["self"] = content
    wide = {str(index): content for index in range(1000)}
    torch.save({**content, **wide}, tmp_path / "knot.pth")
    assert equal(loaded(tmp_path / "knot.pth"), STUDENT)


@pytest.mark.parametrize(
    "change", [lambda s: s, lambda s: under("encoder.", s), lambda s: {"net": under("module.", s)}]
)
def test_a_backbone_under_wrappers(tmp_path: Path, change: Change) -> None:
    backbone = MixTransformer("mit_b0")
    torch.save(change(backbone.state_dict()), tmp_path / "mit.pth")
    assert load_backbone(MixTransformer("mit_b0"), tmp_path / "mit.pth").complete


def test_the_compact_network_without_its_description(tmp_path: Path) -> None:
    state = _network(0, "compact", "fpn")
    torch.save(state, tmp_path / "compact.pth")
    assert equal(loaded(tmp_path / "compact.pth"), state)
    torch.save(CompactNet().state_dict(), tmp_path / "backbone.pth")
    assert load_backbone(CompactNet(), tmp_path / "backbone.pth").complete


def test_names_of_ones_own_are_kept(tmp_path: Path) -> None:
    """A described network is read by its description: nothing within its parts is taken for a wrapper."""
    network = build_segmentor(NetworkConfig("compact", "fpn", 8))
    network.backbone.module = nn.Linear(2, 2)  # as a backbone of the user's own may have it
    save_pretrained(network, tmp_path / "own.safetensors")
    with pytest.raises(CheckpointError, match=r"2 unexpected: backbone\.module\.bias, backbone\.module\.weight"):
        load_pretrained(tmp_path / "own.safetensors")
