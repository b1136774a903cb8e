"""A backbone, a head and a loss of a user's own, named in an experiment: trained, saved, loaded, segmented."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from dsrnss import cli
from dsrnss.errors import UsageError
from dsrnss.experiment.cli import build

PARTS = """
import torch
from torch import nn
from torch.nn import functional as F

class Backbone(nn.Module):
    def __init__(self, width=4, drop_path=0.0):
        super().__init__()
        self.channels = (width, 2 * width)
        self.fine = nn.Conv2d(3, width, 7, stride=4, padding=3)
        self.coarse = nn.Conv2d(width, 2 * width, 3, stride=2, padding=1)

    def forward(self, images):
        fine = F.gelu(self.fine(images))
        return [fine, F.gelu(self.coarse(fine))]

class Head(nn.Module):
    def __init__(self, in_channels, num_classes):
        super().__init__()
        self.classifier = nn.Conv2d(in_channels[0], num_classes, 1)

    def forward(self, features):
        return self.classifier(features[0])

class Focal(nn.Module):
    def __init__(self, gamma=2.0):
        super().__init__()
        self.gamma, self.scale = gamma, nn.Parameter(torch.ones(1))

    def forward(self, logits, labels, pixel_weights=None, class_weights=None):
        loss = F.cross_entropy(logits, labels, class_weights, ignore_index=255, reduction="none")
        loss = self.scale * (1 - (-loss).exp()) ** self.gamma * loss
        return (loss if pixel_weights is None else loss * pixel_weights).mean()
"""
EXPERIMENT = """
trainer: {max_steps: 2, accelerator: cpu, limit_val_batches: 0, log_every_n_steps: 1}
model:
  network:
    backbone: {class_path: users_parts.Backbone, init_args: {width: 6}}
    head: users_parts.Head
  criterion: {class_path: users_parts.Focal, init_args: {gamma: 3}}
  aligner: dsrnss.adaptation.alignment.ClassicalAligner
data:
  workers: 0
  crop_size: [64, 64]
  source: {class_path: dsrnss.data.SynthNight, init_args: {split: source, length: 2, size: [64, 128]}}
  target: {class_path: dsrnss.data.SynthNight, init_args: {split: target, length: 2, size: [64, 128], references: true}}
  test: {night: {class_path: dsrnss.data.SynthNight, init_args: {split: test, length: 1, size: [64, 128]}}}
"""
BACKBONE = {"class_path": "users_parts.Backbone", "init_args": {"width": 5}}
LAST = Path("lightning_logs/own/version_0/checkpoints/last.ckpt")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The current folder, with the user's module, not yet imported, and experiment."""
    (tmp_path / "users_parts.py").write_text(PARTS)
    (tmp_path / "own.yaml").write_text(EXPERIMENT)
    Image.fromarray(np.zeros((40, 50, 3), np.uint8)).save(tmp_path / "photo.png")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    sys.modules.pop("users_parts", None)


def _python(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *words], capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_from_training_to_a_segmented_photograph(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["fit", "--config", "own.yaml"]) == 0
    segment = ["segment", "photo.png", "--model", str(LAST), "--import", "users_parts", "--out", "out"]
    assert f"dsrnss segment PHOTO.jpg --model {LAST} --import users_parts --out out" in capsys.readouterr().out
    trained = torch.load(LAST, weights_only=True)["state_dict"]
    assert trained["student.backbone.fine.weight"].shape[0] == 6
    assert trained["method.criterion.scale"] != 1, "the parameters of a loss are trained"

    assert cli.main(["test", "--config", "own.yaml", "--ckpt_path", "last"]) == 0
    assert [path.stem for path in here.rglob("last_test/*.json")] == ["night"]

    forgotten = _python("-m", "dsrnss", *segment[:4], "--out", "out")
    assert forgotten.returncode == 1
    assert "`--import users_parts`" in forgotten.stderr
    done = _python("-m", "dsrnss", *segment)
    assert done.returncode == 0, done.stderr
    labels = np.asarray(Image.open(next(here.glob("out/**/*label*.png"))))
    assert labels.shape == (40, 50)

    script = f"import users_parts; from dsrnss import Segmenter; Segmenter.from_pretrained('{LAST}')('photo.png')"
    done = _python("-c", f"{script}.save('python', 'photo')")
    assert done.returncode == 0, done.stderr
    assert (np.asarray(Image.open(next(here.glob("python/**/*label*.png")))) == labels).all()


@pytest.mark.parametrize(
    ("words", "backbone"),
    [
        (["--model.network.backbone", json.dumps(BACKBONE)], BACKBONE),
        ([f"--model.network.backbone={json.dumps(BACKBONE)}"], BACKBONE),
        (["--model.network.backbone.class_path", "users_parts.Backbone"], {"class_path": "users_parts.Backbone"}),
        (["--model.network.backbone", "compact", "--model.network.backbone", json.dumps(BACKBONE)], BACKBONE),
    ],
)
def test_an_option_replaces_a_mapping_of_the_file(here: Path, words: list[str], backbone: Any) -> None:
    config = build("validate", ["own.yaml"], words).model.student.config
    assert (config.backbone, config.head) == (backbone, "users_parts.Head")


def test_init_args_alone_are_refused(here: Path) -> None:
    with pytest.raises(UsageError, match=r"backbone.init_args.width: init_args are given together with their class"):
        build("validate", ["own.yaml"], ["--model.network.backbone.init_args.width", "4"])
