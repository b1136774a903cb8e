"""A folder in which the commands of the pages can be run: everything that they name, as small as it can be."""

import re
import shutil
from pathlib import Path
from typing import Any

import torch
import yaml
from pages import DOCS, blocks
from pictures import write_day, write_night
from PIL import Image
from videos import encode

from dsrnss.cli import main
from dsrnss.data.synthnight import generate
from dsrnss.experiment import files as experiments
from dsrnss.models.config import NetworkConfig
from dsrnss.models.factory import build_segmentor
from dsrnss.models.weights import DEMO_MODEL, resolve, save_pretrained

SIZE = [64, 128]
SHORT: dict[str, Any] = {
    "trainer": {"max_steps": 1, "val_check_interval": 1, "accelerator": "cpu", "enable_progress_bar": False},
    "checkpoint": {"every_n_train_steps": 1},
    "panels": {"every_n_steps": 0},
}
NETWORK = {"backbone": "mit_b0", "head": "daformer", "head_channels": 8}
ADAPT = {"--steps": ["2"], "--day-steps": ["2"], "--crop": ["64", "64"], "--batch": ["2"], "--size": ["96"]}
ADAPT |= {"--network": ["compact"], "--threads": ["1"]}
SYNTHESIZE = {"--source": ["4"], "--target": ["4"], "--val": ["2"], "--test": ["1"], "--workers": ["1"]}
SYNTHESIZE |= {"--size": list(map(str, SIZE))}
"""What is put in place of the values that a command of a page gives."""
PLACES = ("DAY", "NIGHT", "RUN")
"""Folders of the reader's, which are here in small letters."""


def write(folder: Path) -> None:
    """Write everything; the current folder is that one."""
    for name in ("photo.jpg", "street.jpg", "photos/a.jpg", "photos/b.jpg", "more/one.png", "photos/2024-01/c.jpg"):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(generate("target", len(name), size=(64, 128), reference=False).image).save(path)
    for name in ("clip.mp4", "drive/1.mp4"):
        encode(folder / name, [0, 40, 80])
    write_day(folder / "day")
    write_day(folder / "night_val", 2)
    write_night(folder / "night" / "images")
    shutil.copytree(folder / "night" / "images", folder / "night" / "refs")
    shutil.copy(folder / "night" / "images" / "0.jpg", folder / "night" / "0001.jpg")
    (folder / "own.yaml").write_text(_own_experiment())
    write_modules(folder)
    for name in experiments.packaged_names():
        if name.startswith(("synthnight/", "cityscapes_")) and "dino" not in name:
            path = folder / "configs" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(yaml.safe_dump(_shortened(experiments.PACKAGED / name)))
    network = build_segmentor(NetworkConfig("mit_b0", "daformer", 8, hrda=True))
    for name in ("dsrnss_hrda.ckpt", "old.ckpt"):
        torch.save({"state_dict": network.state_dict()}, folder / name)
    torch.save(network, folder / "whole.pth")
    (folder / "demo").mkdir()
    shutil.copy(resolve(DEMO_MODEL), folder / "demo" / "adapted.safetensors")
    save_pretrained(build_segmentor(NetworkConfig("compact", "fpn", 8)), folder / "night-model")
    assert main(words_of(["fit", "--config", "synthnight/adapt.yaml"])) == 0
    run = folder / "lightning_logs" / "synthnight" / "adapt" / "version_0"
    shutil.copy(run / "checkpoints" / "last.ckpt", folder / "last.ckpt")


def write_modules(folder: Path) -> None:
    """Write the modules that a reader is told to write."""
    for module, page in (("my_parts", "extending.md"), ("my_losses", "loss.md")):
        parts = [block.text for block in blocks(DOCS / page, "python") if "(nn.Module)" in block.text]
        (folder / f"{module}.py").write_text("\n\n".join(parts))


def _own_experiment() -> str:
    (text,) = (block.text for block in blocks(DOCS / "own_data.md", "yaml") if "val_check_interval" in block.text)
    content = yaml.safe_load(text)
    content["data"] |= {"crop_size": [64, 64], "workers": 0}
    content["model"]["schedule"]["warmup_steps"] = 0
    return yaml.safe_dump(_merged(content, SHORT))


def _shortened(path: Path) -> dict[str, Any]:
    """A packaged experiment with few small scenes and a small network."""
    content = _merged(yaml.safe_load(path.read_text()), SHORT)
    content["data"] |= {"crop_size": [64, 64], "workers": 0}
    content["data"] |= dict.fromkeys(("source_batch_size", "target_batch_size", "eval_batch_size"), 2)
    content["model"]["schedule"] = {"warmup_steps": 0}
    if path.parent.name != "synthnight":
        content["model"] |= {"network": {**content["model"]["network"], **NETWORK}, "backbone_weights": "random"}
        content["model"]["aligner"] = {"class_path": "dsrnss.adaptation.alignment.ClassicalAligner"}
    _shrink(content["data"])
    return content


def _shrink(value: Any) -> None:
    """Few small samples in every data set below a part of an experiment."""
    for inner in value.values() if isinstance(value, dict) else ():
        if isinstance(inner, dict) and str(inner.get("class_path", "")).endswith("SynthNight"):
            inner["init_args"] |= {"length": 4, "size": SIZE}
        elif isinstance(inner, dict) and inner.get("init_args", {}).get("size"):
            inner["init_args"]["size"] = SIZE
        _shrink(inner)


def _merged(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    merged = dict(one)
    for key, value in other.items():
        merged[key] = _merged(one.get(key) or {}, value) if isinstance(value, dict) else value
    return merged


def words_of(words: list[str]) -> list[str]:
    """A command of a page, made short."""
    words = [word.lower() if word in PLACES else word for word in words]
    words = [f"configs/{word.removeprefix('configs/')}" if _short(word) else word for word in words]
    if words[0] == "adapt":
        words = _with(words, ADAPT)
    if words[:2] == ["data", "synthesize"]:
        words = _with(words, SYNTHESIZE)
    if "--trainer.max_steps" in words:
        words[words.index("--trainer.max_steps") + 1] = "1"
    return words


def _short(word: str) -> bool:
    return re.fullmatch(r"(configs/)?(synthnight|cityscapes_\w+)/\w+\.yaml", word) is not None and "dino" not in word


def _with(words: list[str], values: dict[str, list[str]]) -> list[str]:
    for option, value in values.items():
        if option in words:
            start = words.index(option)
            del words[start : start + 1 + len(value)]
        words = [*words, option, *value]
    return words
