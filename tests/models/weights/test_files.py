"""Checkpoints of our own runs, old and new, and models in several files."""

import json
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from dsrnss.errors import CheckpointError
from dsrnss.labels import CITYSCAPES
from dsrnss.models.config import NetworkConfig
from dsrnss.models.factory import build_segmentor
from dsrnss.models.weights import CARD_KEY, describe, kind_of, load_pretrained, save_pretrained

State = dict[str, Tensor]
CONFIG = NetworkConfig("compact", "fpn", 8)


@pytest.fixture(scope="module")
def networks() -> tuple[State, State]:
    """Student and teacher."""
    torch.manual_seed(0)
    return build_segmentor(CONFIG).state_dict(), build_segmentor(CONFIG).state_dict()


def run(networks: tuple[State, State], teacher: str = "method.teacher.network.", wrapper: str = "") -> dict[str, Any]:
    """What `dsrnss fit` saves."""
    student = {f"student.{wrapper}{key}": value for key, value in networks[0].items()}
    averaged = {f"{teacher}{key}": value for key, value in networks[1].items()}
    rest = {f"{teacher.partition('teacher')[0]}bank": torch.zeros(3)}
    return {
        "state_dict": student | averaged | rest,
        "global_step": 7,
        "optimizer_states": [{"state": {0: {"exp_avg": torch.zeros(3)}}, "param_groups": []}],
        "callbacks": {"RandomState": {"torch": torch.zeros(5, dtype=torch.uint8)}},
        "AdaptationDataModule": {"positions": torch.arange(4)},
        CARD_KEY: describe(CONFIG, CITYSCAPES, {"steps": 7}),
    }


@pytest.mark.parametrize("teacher", ["method.teacher.network.", "teacher.network."])
@pytest.mark.parametrize("wrapper", ["", "_orig_mod.", "module."])
@pytest.mark.parametrize("described", [True, False])
def test_runs_old_and_new_are_read_as_weights(
    networks: tuple[State, State], tmp_path: Path, teacher: str, wrapper: str, described: bool
) -> None:
    content = run(networks, teacher, wrapper)
    if not described:  # as docs/weights.md advises for a file that is refused
        content = content["state_dict"]
    torch.save(content, tmp_path / "run.ckpt")
    for index, which in enumerate(("student", "teacher")):
        read = load_pretrained(tmp_path / "run.ckpt", which)
        state = read.segmentor.state_dict()
        assert read.account.complete
        assert torch.equal(state["head.conv_seg.weight"], networks[index]["head.conv_seg.weight"])
        assert torch.equal(state["backbone.stages.0.0.0.weight"], networks[index]["backbone.stages.0.0.0.weight"])
        assert read.card.get("steps") == (7 if described else None)


def test_what_a_training_can_go_on_from(networks: tuple[State, State], tmp_path: Path) -> None:
    kinds = {
        "run": run(networks),
        "old": run(networks, "teacher.network."),
        "no description": {key: value for key, value in run(networks).items() if key != CARD_KEY},
        "authors": {"state_dict": networks[0], "optimizer_states": [], "global_step": 4},
        "plain": networks[0],
        "list": [1],
    }
    for name, content in kinds.items():
        torch.save(content, tmp_path / name)
    torch.save(run(networks), tmp_path / "old format", _use_new_zipfile_serialization=False)
    save_file(networks[0], tmp_path / "tensors")
    save_pretrained(build_segmentor(CONFIG), tmp_path / "folder")
    (tmp_path / "page").write_text("<html>")
    found = {path.name for path in tmp_path.iterdir() if kind_of(path) == "run"}
    assert found == {"run"}


def test_the_kind_of_a_large_run_is_told_without_reading_its_tensors(
    networks: tuple[State, State], tmp_path: Path, peak_memory: Any
) -> None:
    content = run(networks)
    content["state_dict"]["method.bank"] = torch.zeros(50_000_000)
    torch.save(content, tmp_path / "large.ckpt")
    del content
    peak_memory.forget()
    began = time.process_time()
    assert kind_of(tmp_path / "large.ckpt") == "run"
    assert time.process_time() - began < 1
    assert peak_memory() < 50 * 2**20  # of 200 MB


def sharded(state: State, folder: Path, ending: str = "safetensors") -> dict[str, str]:
    """Write a model in two files with their list, as on the Hugging Face hub."""
    stem = "model" if ending == "safetensors" else "pytorch_model"
    folder.mkdir(exist_ok=True)
    keys, places = list(state), {}
    for number, part in enumerate((keys[::2], keys[1::2]), 1):
        name = f"{stem}-{number:05}-of-00002.{ending}"
        places |= dict.fromkeys(part, name)
        tensors = {key: state[key] for key in part}
        save_file(tensors, folder / name) if ending == "safetensors" else torch.save(tensors, folder / name)
    (folder / f"{stem}.{ending}.index.json").write_text(json.dumps({"weight_map": places}))
    return places


@pytest.fixture
def segformer() -> State:
    torch.manual_seed(0)
    state = build_segmentor(NetworkConfig("mit_b0", "segformer", 32)).state_dict()
    return {key.replace("head.", "decode_head.", 1): value for key, value in state.items()}


@pytest.mark.parametrize("ending", ["safetensors", "bin"])
def test_a_model_in_several_files(segformer: State, tmp_path: Path, ending: str) -> None:
    places = sharded(segformer, tmp_path, ending)
    index = next(tmp_path.glob("*.index.json"))
    assert load_pretrained(index).account.complete
    (tmp_path / "config.json").write_text("{}")
    for path in (tmp_path, index):
        read = load_pretrained(path)
        assert read.account.complete
        assert torch.equal(
            read.segmentor.state_dict()["head.linear_pred.weight"], segformer["decode_head.linear_pred.weight"]
        )
    for name in set(places.values()):
        with pytest.raises(CheckpointError, match=r"one of several files.*folder"):
            load_pretrained(tmp_path / name)


def test_lists_of_files_that_are_wrong(segformer: State, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    places = sharded(segformer, folder)
    (folder / "config.json").write_text("{}")
    index = folder / "model.safetensors.index.json"
    save_file(segformer, tmp_path / "outside.safetensors")
    for content, said in (
        ({"weight_map": {**places, "x": "../outside.safetensors"}}, "names the file '../outside.safetensors'"),
        ({"weight_map": {**places, "x": str(tmp_path / "outside.safetensors")}}, "not beside it"),
        ({"weight_map": {**places, "x": next(iter(places.values()))}}, "1 tensors that its files lack, such as 'x'"),
        ({"weight_map": [1]}, "no weight_map"),
        ({"weight_map": {"x": 3}}, "no weight_map"),
        ([], "not a JSON object"),
    ):
        index.write_text(json.dumps(content))
        with pytest.raises(CheckpointError, match=said):
            load_pretrained(folder)
    index.write_text(json.dumps({"weight_map": places}))
    (folder / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"'model-00002-of-00002\.safetensors', which is not beside it"):
        load_pretrained(folder)
