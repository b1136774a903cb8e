"""A config.json that somebody changed by hand is refused with words, whatever stands in it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dsrnss.errors import CheckpointError
from dsrnss.inference.segmenter import Segmenter
from dsrnss.labels import CITYSCAPES
from dsrnss.models.config import NetworkConfig
from dsrnss.models.factory import build_segmentor
from dsrnss.models.weights import load_pretrained, save_pretrained
from dsrnss.models.weights.inspection import inspect_file

Description = dict[str, Any]


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    folder = save_pretrained(
        build_segmentor(NetworkConfig("compact", "fpn", 8)), tmp_path_factory.mktemp("model") / "saved"
    )
    return folder, (folder / "config.json").read_text()


@pytest.fixture
def tamper(saved: tuple[Path, str]) -> Callable[[Callable[[Description], object]], Path]:
    """Write the config.json anew, with a change."""
    folder, text = saved

    def write(change: Callable[[Description], object]) -> Path:
        description = json.loads(text)
        change(description)
        (folder / "config.json").write_text(json.dumps(description))
        return folder

    return write


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("num_classes", 10**9),
        ("num_classes", "19"),
        ("num_classes", 0),
        ("num_classes", True),
        ("head_channels", -4),
        ("head_channels", 16.0),
        ("head_channels", 10**30),
        ("dropout", 2),
        ("dropout", "x"),
        ("drop_path", float("nan")),
        ("backbone", ["a"]),
        ("backbone", None),
        ("backbone", "mit_b9"),
        ("head", {}),
        ("hrda", "no"),
        ("strides", [1, 2]),
        ("strides", [1, 2, 2, 0]),
        ("dilations", "1111"),
        ("zz", 1),
    ],
)
def test_network(tamper: Callable[..., Path], key: str, value: object) -> None:
    folder = tamper(lambda description: description["network"].update({key: value}))
    for read in (load_pretrained, inspect_file):
        with pytest.raises(CheckpointError, match=value if value == "mit_b9" else key):
            read(folder)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda d: d.update(network=[1]), "JSON object, not a list"),
        (lambda d: d.update(format=99), "newer dsrnss"),
        (lambda d: d.update(format="1"), "format '1'; expected 1"),
        (lambda d: d.update(label_space=[]), "palette"),
        (lambda d: d.update(card=[1]), "is wrong"),
        (lambda d: d.update(card="x"), "is wrong"),
        (lambda d: d["label_space"].update(palette=[[999, 0, 0]] * 19), "0 to 255"),
        (lambda d: d["label_space"].update(palette="abc"), "palette"),
        (lambda d: d["label_space"].update(names=["a", "b"]), "2 class names but 19 colours"),
        (lambda d: d["label_space"].update(tail=[99]), "'tail'"),
        (lambda d: d["label_space"].update(raw_ids={"700": 1}), "raw_ids"),
    ],
)
def test_the_rest(tamper: Callable[..., Path], change: Callable[[Description], None], said: str) -> None:
    with pytest.raises(CheckpointError, match=said):
        load_pretrained(tamper(change))


@pytest.mark.parametrize("value", ["abc", -5, 10**5, 1.5, True])
@pytest.mark.parametrize("key", ["image_height", "image_width"])
def test_sizes_on_the_card(tamper: Callable[..., Path], key: str, value: object) -> None:
    folder = tamper(lambda description: description["card"].update({key: value}))
    segmenter = Segmenter.from_pretrained(folder, device="cpu")
    with pytest.raises(CheckpointError, match=key):
        segmenter.working_size((40, 50))


def test_without_a_network_the_files_own_description_serves(tamper: Callable[..., Path]) -> None:
    read = load_pretrained(tamper(lambda description: description.pop("network")))
    assert (read.segmentor.config.backbone, read.label_space) == ("compact", CITYSCAPES)
