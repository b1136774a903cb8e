"""Backbones and heads of a user's own: named by their path, saved, and never imported because a file says so.

The classes are those of docs/extending.md.
"""

import json
import re
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from dsrnss.cli import main
from dsrnss.errors import CheckpointError, ConfigError
from dsrnss.experiment import cli as experiment
from dsrnss.experiment.files import split_arguments
from dsrnss.inference.segmenter import Segmenter
from dsrnss.models.config import NetworkConfig
from dsrnss.models.factory import build_segmentor
from dsrnss.models.weights import load_backbone, load_pretrained, save_pretrained
from dsrnss.models.weights.inspection import inspect_file

DOCS = Path(__file__).parents[2] / "docs" / "extending.md"
BACKBONE = {"class_path": "my_parts.StridedBackbone", "init_args": {"width": 4}}
OWN = NetworkConfig(BACKBONE, "my_parts.SumHead", 8)
MORE = """
class OneMap(nn.Module):
    channels = (6,)
    multiple = 14

    def __init__(self, drop_path, patch=14):
        super().__init__()
        self.rate = torch.linspace(0, drop_path, 3)[-1].item()
        self.scale = torch.ones(())
        self.patches = nn.Conv2d(3, 6, patch, patch)

    def forward(self, images):
        assert images.shape[-1] % 14 == images.shape[-2] % 14 == 0
        return (self.patches(images) * self.scale,)

class NoChannels(nn.Module): ...

class WrongMaps(StridedBackbone):
    def forward(self, images):
        return super().forward(images)[:2]

class WrongLogits(SumHead):
    def forward(self, features):
        return super().forward(features)[:, :3]

class Failing(nn.Module):
    def __init__(self, depth):
        raise ValueError("depth is odd")

class NoHead(nn.Module):
    def __init__(self, num_classes):
        super().__init__()

def function(): ...
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The current folder, with my_parts.py in it, not yet imported."""
    classes = re.findall(r"```python\n(import torch\n.*?|class .*?)```", DOCS.read_text(), flags=re.S)
    (tmp_path / "my_parts.py").write_text("\n\n".join(classes) + MORE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "my_parts", raising=False)
    yield tmp_path
    sys.modules.pop("my_parts", None)


@pytest.fixture
def saved(here: Path) -> Path:
    """A saved model of them, whose module has been forgotten again."""
    torch.manual_seed(0)
    save_pretrained(build_segmentor(OWN), "model")
    del sys.modules["my_parts"]
    return here / "model"


def in_fresh_process(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=False)


def _next(text: str) -> list[str]:
    return text.rpartition("Next: ")[2].splitlines()


@pytest.mark.parametrize("hrda", [False, True])
@pytest.mark.parametrize("backbone", ["my_parts.StridedBackbone", BACKBONE])
def test_trains(here: Path, backbone: Any, hrda: bool) -> None:
    network = build_segmentor(NetworkConfig(backbone, "my_parts.SumHead", hrda=hrda))
    output = network(torch.randn(2, 3, 64, 96))
    assert output.logits.shape == (2, 19, 16, 24)
    output.logits.square().mean().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())
    assert network.predict(torch.randn(1, 3, 33, 47)).shape == (1, 19, 33, 47)


@pytest.mark.parametrize("head", ["daformer", "deeplabv2", "fpn", "refinenet", "segformer", "my_parts.SumHead"])
def test_one_map_of_another_stride(here: Path, head: str) -> None:
    network = build_segmentor(NetworkConfig("my_parts.OneMap", head, 8)).eval()
    assert network.predict(torch.randn(1, 3, 45, 60)).shape == (1, 19, 45, 60)
    assert load_pretrained(save_pretrained(network, "m.safetensors")).account.complete


def test_settings_reach_the_class(here: Path) -> None:
    config = NetworkConfig(
        "my_parts.OneMap", {"class_path": "my_parts.SumHead", "init_args": {"bias": False}}, 24, drop_path=0.5
    )
    network = build_segmentor(config)
    assert network.backbone.rate == 0.5
    assert (network.head.classifier.in_channels, network.head.classifier.bias) == (24, None)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"backbone": "no_such.Thing"}, "'no_such.Thing': There is no module 'no_such'"),
        ({"backbone": "my_parts.StridedBackbon"}, "no class 'StridedBackbon'. Did you mean 'StridedBackbone'"),
        ({"head": "my_parts.function"}, "derived from torch.nn.Module"),
        ({"head": "os.system"}, "derived from torch.nn.Module"),
        ({"backbone": {"class_path": "my_parts.StridedBackbone", "init_args": {"widht": 4}}}, "argument 'widht'"),
        ({"backbone": "my_parts.Failing"}, "missing a required argument: 'depth'"),
        ({"backbone": {"class_path": "my_parts.Failing", "init_args": {"depth": 3}}}, "depth=3.*depth is odd"),
        ({"backbone": {"class_path": "my_parts.StridedBackbone", "init_args": {"width": 1j}}}, "JSON"),
        ({"backbone": {"class_path": "my_parts.StridedBackbone", "width": 4}}, "backbone: expected .*init_args"),
        ({"backbone": "my_parts."}, "backbone: expected"),
        ({"backbone": 5}, "backbone: expected"),
        ({"backbone": "my_parts.NoChannels"}, "NoChannels has no `channels`"),
        ({"head": "my_parts.NoHead"}, "'in_channels'"),
        ({"head": "sumhead"}, "Unknown head 'sumhead'.*my_module.MyHead"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(here: Path, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        build_segmentor(NetworkConfig(**{"backbone": BACKBONE, "head": "my_parts.SumHead", **changes}))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"backbone": "my_parts.WrongMaps"}, r"WrongMaps returned a list of a tensor \(1, 32, 16, 16\), .* 128, 256"),
        ({"head": "my_parts.WrongLogits"}, r"WrongLogits returned a tensor \(1, 3, 16, 16\): expected logits \(B, 19"),
        ({"backbone": "my_parts.OneMap", "head": "fpn", "hrda": True}, "HRDA needs a head whose logits have stride 4"),
    ],
)
def test_wrong_outputs_are_named(here: Path, changes: dict[str, Any], said: str) -> None:
    network = build_segmentor(
        NetworkConfig(**{"backbone": "my_parts.StridedBackbone", "head": "my_parts.SumHead"} | changes)
    )
    with pytest.raises(ConfigError, match=said):
        network.predict(torch.zeros(1, 3, 64, 64))


def test_a_module_that_fails_is_named(here: Path) -> None:
    (here / "broken_parts.py").write_text("1 / 0")
    (here / "needy_parts.py").write_text("import no_such_library")
    with pytest.raises(ConfigError, match="'broken_parts' fails when imported: ZeroDivisionError"):
        build_segmentor(NetworkConfig("broken_parts.Thing"))
    with pytest.raises(ConfigError, match="needs 'no_such_library', which is not installed"):
        build_segmentor(NetworkConfig("needy_parts.Thing"))


class TestSaved:
    def test_in_a_fresh_process(self, saved: Path) -> None:
        done = in_fresh_process("""
            import torch, my_parts
            from dsrnss import Segmenter
            network = Segmenter.from_pretrained("model", device="cpu").segmentor
            torch.manual_seed(0)
            torch.save(network.predict(torch.randn(1, 3, 40, 50)).detach(), "logits.pth")
        """)
        assert done.returncode == 0, done.stderr
        torch.manual_seed(0)
        network = build_segmentor(OWN).eval()
        torch.manual_seed(0)
        with torch.no_grad():
            torch.testing.assert_close(torch.load("logits.pth"), network.predict(torch.randn(1, 3, 40, 50)))

    def test_not_without_the_import(self, saved: Path) -> None:
        for read in (load_pretrained, inspect_file, Segmenter.from_pretrained):
            with pytest.raises(
                CheckpointError, match=r"'my_parts.StridedBackbone', code that is not.*`import my_parts`"
            ):
                read(saved)
        assert "my_parts" not in sys.modules

    def test_commands(self, saved: Path, capsys: pytest.CaptureFixture[str]) -> None:
        Image.fromarray(np.zeros((40, 50, 3), np.uint8)).save("photo.png")
        segment = ["segment", "photo.png", "--out", "out", "--model", "model"]
        for command in (segment, ["weights", "inspect", "model"], ["weights", "convert", "model", "m.safetensors"]):
            sys.modules.pop("my_parts", None)
            assert main(command) == 1
            assert "--import my_parts" in capsys.readouterr().err
            assert main([*command, "--import", "my_parts"]) == 0, capsys.readouterr().err
            if command[0] == "weights":
                assert all("--import my_parts" in line for line in _next(capsys.readouterr().out))
        assert main([*segment, "--import", "no_such_module"]) == 1
        assert "There is no module 'no_such_module'" in capsys.readouterr().err

    def test_modules_of_the_current_folder_are_found(self, saved: Path) -> None:
        code = "import sys; sys.path.remove(''); from dsrnss.cli import main; sys.exit(main(sys.argv[1:]))"
        command = [sys.executable, "-c", code, "weights", "inspect", "model", "--import", "my_parts"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert "my_parts.SumHead" in done.stdout

    def test_card_and_backbone(self, saved: Path) -> None:
        network = build_segmentor(OWN)
        assert "backbone `my_parts.StridedBackbone`" in (saved / "README.md").read_text()
        assert load_backbone(network.backbone, saved).complete


@pytest.mark.parametrize(
    "part",
    [
        "os.system",
        {"class_path": "subprocess.Popen", "init_args": {"args": ["touch", "ran"]}},
        "with_effects.Backbone",
        "dsrnss.__main__.Thing",
        "dsrnss.models.with_effects.Backbone",
        {"class_path": "dsrnss.models.heads.fpn.FPNHead", "init_args": {"no": 1}},
        "torch.nn.no_such",
        {"class_path": "a..b"},
        {"class_path": "with_effects.Backbone\n"},
        {"class_path": "dsrnss.models.\0.X"},
        {"class_path": ["with_effects"]},
        {"class_path": "torch.nn.Linear", "init_args": [1]},
        {"class_path": "torch.nn.Linear", "init_args": {"in_features": 10**18, "out_features": 10**18}},
    ],
)
@pytest.mark.parametrize("kind", ["backbone", "head"])
def test_a_file_chooses_no_code(here: Path, kind: str, part: Any) -> None:
    (here / "with_effects.py").write_text("open('ran', 'w')")
    save_pretrained(build_segmentor(NetworkConfig("compact", "fpn", 8)), "model")
    description = json.loads(Path("model/config.json").read_text())
    description["network"][kind] = part
    Path("model/config.json").write_text(json.dumps(description))
    for read in (load_pretrained, inspect_file):
        with pytest.raises(CheckpointError, match="model"):
            read(Path("model"))
    assert not Path("ran").exists()
    assert "with_effects" not in sys.modules


def test_a_module_is_not_asked_for_what_it_would_import(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A module's `__getattr__` may import others when it is asked for a name that it has not."""
    monkeypatch.setitem(sys.modules, "lazy_parts", lazy := type(sys)("lazy_parts"))
    lazy.__getattr__ = lambda name: pytest.fail(name)  # type: ignore[method-assign]
    save_pretrained(build_segmentor(NetworkConfig("compact", "fpn", 8)), "model")
    text = Path("model/config.json").read_text().replace('"compact"', '"lazy_parts.Backbone"')
    Path("model/config.json").write_text(text)
    with pytest.raises(CheckpointError, match="no backbone of your own"):
        load_pretrained("model")


@pytest.mark.parametrize(
    ("words", "backbone"),
    [
        (["--model.network.backbone", "my_parts.StridedBackbone"], "my_parts.StridedBackbone"),
        (["--model.network.backbone.class_path", "my_parts.OneMap"], {"class_path": "my_parts.OneMap"}),
        (["--model.network.backbone", json.dumps(BACKBONE)], BACKBONE),
        (["--config", "own.yaml"], BACKBONE),
        (["--config", "own.yaml", "--model.network.backbone", "my_parts.OneMap"], "my_parts.OneMap"),
    ],
)
def test_in_an_experiment(here: Path, words: list[str], backbone: Any) -> None:
    Path("own.yaml").write_text(f"model:\n  network:\n    backbone: {json.dumps(BACKBONE)}\n")
    quiet = ["--trainer.logger=false", "--trainer.enable_checkpointing=false", "--trainer.accelerator=cpu"]
    random = ["--model.weights=random", "--model.network.head=my_parts.SumHead"]
    files, options = split_arguments(["--config", "synthnight/adapt.yaml", *words, *quiet, *random])
    student = experiment.build("fit", files, options).model.student
    assert (student.config.backbone, student.config.head) == (backbone, "my_parts.SumHead")
    assert type(student.backbone).__module__ == type(student.head).__module__ == "my_parts"
    assert student(torch.zeros(1, 3, 56, 56)).logits.shape[:2] == (1, 19)
