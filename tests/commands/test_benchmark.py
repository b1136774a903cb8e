"""`dsrnss benchmark`: tables for people, JSON for programs, mistakes answered before torch is there."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from dsrnss import cli

SIZES = {"length": 4, "size": [64, 128]}


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    data = "dsrnss.data"
    target = {"class_path": f"{data}.SynthNight", "init_args": {"split": "target", **SIZES}}
    content: dict[str, Any] = {
        "trainer": {"accelerator": "cpu"},
        "model": {
            "network": {"backbone": "compact", "head": "fpn", "head_channels": 8},
            "aligner": {"class_path": "dsrnss.adaptation.alignment.GivenAligner"},
            "inference": {"mode": "slide", "window": [64, 64]},
        },
        "data": {
            "source": {"class_path": f"{data}.SynthNight", "init_args": {"split": "source", **SIZES}},
            "target": {
                "class_path": f"{data}.AlignedPairs",
                "init_args": {"dataset": target, "aligner": "dsrnss.adaptation.alignment.classical.align_pair"},
            },
            "val": {"night": {"class_path": f"{data}.SynthNight", "init_args": {"split": "val", **SIZES}}},
            "crop_size": [64, 96],
            "workers": 0,
        },
    }
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(content))
    return "tiny.yaml"


def found(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    assert cli.main(["benchmark", *words, "--json", "-"]) == 0
    content: dict[str, Any] = json.loads(capsys.readouterr().out)
    return content


def test_train_tells_stages_rate_and_waits(tiny: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["benchmark", "train", "--config", tiny, "--steps", "1", "--warm-up", "0", "--json", "found.json"]
    assert cli.main(words) == 0
    said = capsys.readouterr().out
    for word in ("teacher", "backward", "optimiser", "step", "pictures a second", "waits for a GPU in a step: 1"):
        assert word in said
    content = json.loads(Path("found.json").read_text())
    assert content["pictures"] == "of the data sets"
    step = content["stages"]["step"]
    assert step["seconds"] > 0 and step["operations"] > 0 and step["peak_bytes"] > step["counted_bytes"] > 0
    assert content["pictures_a_second"] == pytest.approx(4 / step["seconds"])


def test_a_dry_run_runs_nothing(tiny: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    from dsrnss.measuring import training

    monkeypatch.delattr(training, "measure")
    content = found(capsys, "train", "-c", tiny, "--dry-run", "--trainer.precision=16", "--data.crop_size=[96,96]")
    assert content["precision"] == "16-mixed" and content["crop_size"] == [96, 96]
    assert set(content["stages"]["step"]) == {"operations", "own_operations", "counted_bytes"}


def test_infer(tiny: str, capsys: pytest.CaptureFixture[str]) -> None:
    real = found(capsys, "infer", "--config", tiny, "--steps", "1", "--warm-up", "0")
    assert real["picture"]["size"] == [64, 128] and real["pictures"] == "of the data sets"
    larger = found(capsys, "infer", "--config", tiny, "--steps", "1", "--warm-up", "0", "--size", "64", "256")
    assert larger["pictures"] == "made up"
    windows = [one["stages"]["network"]["operations"] for one in (larger, real)]
    assert windows[0] == pytest.approx(7 / 3 * windows[1])


def test_data_tells_reading_from_augmentation(tiny: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["benchmark", "data", "--config", tiny, "--steps", "2", "--warm-up", "0"]) == 0
    said = capsys.readouterr().out
    for word in ("source", "target", "reading", "choosing the crop", "augmentation", "pictures a second"):
        assert word in said


def test_data_needs_the_data(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["benchmark", "data", "--config", "cityscapes_darkzurich/dsrnss_refinenet.yaml"]) == 1
    assert "Data set Cityscapes not found" in capsys.readouterr().err


def test_align(tiny: str, capsys: pytest.CaptureFixture[str]) -> None:
    stored = found(capsys, "align", "--config", tiny, "--steps", "1", "--warm-up", "0")
    (name,) = stored["pairs_a_second"]
    assert "64 x 128" in name and stored["pictures"] == "of the data sets"
    words = ["--model.aligner=dsrnss.adaptation.alignment.ClassicalAligner", "--data.target", "dsrnss.data.SynthNight"]
    each = found(capsys, "align", "--config", tiny, "--steps", "1", "--size", "64", "128", *words)
    assert list(each["pairs_a_second"]) == [
        "a crop of 64 x 96, as in each step",
        "a picture of 64 x 128, as dsrnss data align",
    ]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("train", "Missing: -c/--config"),
        ("train --config synthnight/adpat.yaml", "Did you mean 'synthnight/adapt.yaml'?"),
        ("train --config synthnight/adapt.yaml --stpes 3", "unknown option '--stpes'. Did you mean '--steps'?"),
        ("train --config synthnight/adapt.yaml --steps 0", "--steps: expected a whole number of 1 or more, not '0'"),
        ("train --config synthnight/adapt.yaml --trainer.max_step 3", "trainer.max_step"),
        ("align --config synthnight/source.yaml", "has no pairs to align"),
        ("infr --config synthnight/source.yaml", "Did you mean 'infer'?"),
    ],
)
def test_mistakes(line: str, expected: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["benchmark", *line.split()]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ") and expected in said
