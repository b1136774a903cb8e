"""The cost of a training step: every part is a stage, and what is counted is what the machine then takes."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from dsrnss.experiment.measured import CountedCLI, build_counted, build_measured
from dsrnss.measuring import training
from dsrnss.measuring.made_up import training_batch
from dsrnss.measuring.training import STEP_STAGE

ROOT = Path(__file__).parents[2]
TINY: dict[str, Any] = {
    "trainer": {"accelerator": "cpu", "max_steps": 10},
    "model": {
        "network": {"backbone": "compact", "head": "fpn", "head_channels": 8, "hrda": True},
        "aligner": {"class_path": "dsrnss.adaptation.alignment.GivenAligner"},
        "priors": {"strength": 1.0},
        "source": {"class_balance": 0.5},
        "masking": {"weight": 1.0},
    },
    "data": {
        "source": {"class_path": "dsrnss.data.SynthNight", "init_args": {"split": "source", "size": [64, 128]}},
        "target": {"class_path": "dsrnss.data.SynthNight", "init_args": {"flow": "true", "size": [64, 128]}},
        "crop_size": [64, 96],
        "workers": 0,
    },
}
PARTS = ("teacher", "alignment", "refinement", "mixing", "student", "feature distance", "prototypes", "masked images")


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(TINY))
    yield "tiny.yaml"
    assert [path.name for path in tmp_path.iterdir()] == ["tiny.yaml"], "a measurement leaves nothing behind"


def count(cli: CountedCLI) -> training.Counted:
    return training.count(cli.model, cli.trainer, training_batch(cli.datamodule), cli.precision)


def test_every_part_of_a_step_is_measured(tiny: str) -> None:
    cli = build_measured([tiny])
    batches, made_up = training.batches(cli.datamodule, made_up=True)
    assert made_up
    before = [parameter.detach().clone() for parameter in cli.model.student.parameters()]
    stages = training.measure(cli.model, cli.trainer, batches, steps=2, warm_up=1)
    assert {*PARTS, "data", "backward", "optimiser", STEP_STAGE} <= set(stages)
    step = stages[STEP_STAGE]
    assert sum(cost["own_seconds"] for cost in stages.values()) == pytest.approx(step["seconds"])
    assert step["peak_bytes"] == max(cost["peak_bytes"] for cost in stages.values()) > 0
    moved = [not torch.equal(a, b) for a, b in zip(before, cli.model.student.parameters(), strict=True)]
    assert any(moved), "it trains"
    assert "forward" not in vars(cli.model.method.teacher), "the method is as it was"


def test_data_sets_that_are_there_are_used(tiny: str) -> None:
    cli = build_measured([tiny], ["--data.source.init_args.length=4", "--data.target.init_args.length=4"])
    batches, made_up = training.batches(cli.datamodule)
    assert not made_up
    batch = next(batches)
    assert batch["source"]["image"].shape == (2, 3, 64, 96) and len(batch["source"]["present"]) == 2


def test_absent_data_sets_are_made_up(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    options = ["--model.network.backbone=compact", "--model.network.head=fpn", "--trainer.accelerator=cpu"]
    cli = build_measured(["cityscapes_darkzurich/dsrnss_daformer.yaml"], [*options, "--data.crop_size=[64,96]"])
    batches, made_up = training.batches(cli.datamodule)
    assert made_up
    assert next(batches)["target"]["reference"].shape == (2, 3, 64, 96)


def test_counting_needs_no_weights_and_no_memory(tiny: str) -> None:
    large = "--data.crop_size=[256,256]"  # so that activations are more than weights
    whole = count(build_counted([tiny], [large]))
    half = count(build_counted([tiny], [large, "--trainer.precision=16"]))
    double = count(build_counted([tiny], [large, "--data.source_batch_size=4", "--data.target_batch_size=4"]))
    step = whole.stages[STEP_STAGE]
    assert set(PARTS) <= set(whole.stages)
    assert half.stages[STEP_STAGE]["operations"] == step["operations"]
    assert half.kept_bytes == whole.kept_bytes
    assert half.stages["student"]["peak_bytes"] < whole.stages["student"]["peak_bytes"]
    assert double.stages[STEP_STAGE]["operations"] == pytest.approx(2 * step["operations"], rel=0.01)


def test_fewer_teacher_views_and_recomputation_are_seen(tiny: str) -> None:
    options = ["--model.network.backbone=mit_b0", "--model.network.head=segformer", "--trainer.precision=16"]
    plain = count(build_counted([tiny], options)).stages
    tiles = count(build_counted([tiny], [*options, "--model.self_training.teacher_detail=tiles"])).stages
    again = count(build_counted([tiny], [*options, "--model.recompute_backbone=true"])).stages
    assert tiles["teacher"]["operations"] < 0.6 * plain["teacher"]["operations"]
    assert again["backward"]["operations"] > 1.2 * plain["backward"]["operations"]
    assert again[STEP_STAGE]["peak_bytes"] < plain[STEP_STAGE]["peak_bytes"]


def test_waits_name_their_line(tiny: str) -> None:
    cli = build_counted([tiny], ["--model.priors.strength=0"])
    batch = training_batch(cli.datamodule)
    (line,) = training.waits(cli.model, cli.trainer, batch, "16-mixed")
    assert line.startswith("training/guard.py")
    counted = training.count(cli.model, cli.trainer, batch)
    assert counted.stages[STEP_STAGE]["operations"] > 0, "one after the other"


def test_an_aligner_of_the_host_makes_a_gpu_wait(tiny: str) -> None:
    cli = build_counted([tiny], ["--model.aligner=dsrnss.adaptation.alignment.ClassicalAligner"])
    batch = training_batch(cli.datamodule)
    found = training.waits(cli.model, cli.trainer, batch)
    assert any(line.startswith("adaptation/alignment") for line in found)
    assert training.count(cli.model, cli.trainer, batch).stages["alignment"]["operations"] == 0


@pytest.mark.slow
def test_counted_memory_is_what_a_step_takes() -> None:
    options = ["model.network.backbone=mit_b0", "data.crop_size=[256,256]"]
    options += [f"data.{domain}_batch_size=1" for domain in ("source", "target")]
    words = [sys.executable, str(ROOT / "benchmarks" / "step_memory.py"), "check", *options]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    ratios = {stage: found["ratio"] for stage, found in yaml.safe_load(done.stdout).items()}
    assert all(0.75 < ratio < 1.05 for ratio in ratios.values()), ratios
