"""The experiments that are written: each is one that `fit` takes."""

from dataclasses import replace

import pytest
import yaml
from pictures import write_day, write_night

from dsrnss.automation import experiments
from dsrnss.automation.plan import NETWORKS, choose
from dsrnss.automation.sets import joined, labelled_set, night_set
from dsrnss.experiment.cli import build
from dsrnss.training.callbacks.best_network import BestNetwork


@pytest.fixture
def sets(tmp_path):
    return labelled_set(write_day(tmp_path / "day")), night_set(write_night(tmp_path / "night"))


def built(content, tmp_path):
    file = experiments.write(content, tmp_path / "e.yaml")
    assert yaml.safe_load(file.read_text()) == content
    return build("fit", [file], ["--trainer.logger", "false", "--trainer.accelerator", "cpu"])


@pytest.mark.parametrize("name", NETWORKS)
def test_both_experiments_of_every_network(tmp_path, sets, name):
    plan, network = choose(*sets, {"network": name, "size": 0, "crop": (64, 96), "device": "cpu"})
    network = replace(network, backbone_weights="random")
    by_day = built(experiments.day_experiment(plan, network, sets[0], 3), tmp_path)
    at_night = built(experiments.night_experiment(plan, network, *sets, 3, "random"), tmp_path)
    for cli, steps in ((by_day, plan.day_steps), (at_night, plan.steps)):
        config = cli.model.student.config
        assert (config.backbone, config.head) == (network.parts.backbone, network.parts.head)
        assert config.num_classes == 3 and cli.trainer.max_steps == steps and cli.datamodule.seed == 3
    assert by_day.datamodule.target is None and not at_night.datamodule.target.labelled
    assert by_day.datamodule.source_batch_size == 2 * at_night.datamodule.source_batch_size


def test_labelled_nights_are_measured_at_the_size_of_their_labels(tmp_path, sets):
    plan, network = choose(*sets, {"network": "compact", "size": 48, "crop": (32, 32), "device": "cpu"})
    val = labelled_set(write_day(tmp_path / "val", 3))
    cli = built(experiments.night_experiment(plan, network, *sets, 0, "random", val), tmp_path)
    sample = cli.datamodule.val["night"][0]
    assert sample["image"].shape[1:] == (48, 64) and sample["label"].shape == (96, 128)


def test_several_sources(tmp_path, sets):
    day = joined(sets[0], ["synthnight=0.5"])
    plan, network = choose(day, sets[1], {"network": "compact", "size": 64, "crop": (32, 32), "device": "cpu"})
    cli = built(experiments.day_experiment(plan, network, day, 0), tmp_path)
    assert [one.sample_size() for one in cli.datamodule.source.sets] == [(64, 85), (64, 128)]


def test_relighting_stands_in_both_experiments(sets):
    plan, network = choose(*sets, {"network": "compact", "size": 48, "crop": (32, 32), "relighting": 0.3})
    day, night = (
        experiments.day_experiment(plan, network, sets[0], 0),
        experiments.night_experiment(plan, network, *sets, 0, "w"),
    )
    assert [one["model"]["source"]["relighting"] for one in (day, night)] == 2 * [{"probability": 0.3}]
    bright = experiments.day_experiment(replace(plan, relighting=0.0), network, sets[0], 0)
    assert "relighting" not in bright["model"]["source"]


@pytest.mark.parametrize("precision", ["64-true", "bf16-mixed"])
def test_all_parts_of_the_adaptation_take_other_precisions(tmp_path, sets, precision):
    given = {"network": "compact", "size": 96, "crop": (64, 96), "relighting": 1.0, "night_aware": 1.0, "steps": 2}
    plan, network = choose(*sets, given | {"batch": 4, "device": "cpu"})
    file = experiments.write(experiments.night_experiment(plan, network, *sets, 0, "random"), tmp_path / "e.yaml")
    words = ["--trainer.precision", precision, "--trainer.logger", "false", "--model.prototypes.start_step", "0"]
    cli = build("fit", [file], [*words, "--trainer.default_root_dir", str(tmp_path)])
    cli.trainer.fit(cli.model, datamodule=cli.datamodule)
    assert cli.trainer.global_step == 2 and all(p.isfinite().all() for p in cli.model.student.parameters())
    best = next(callback for callback in cli.trainer.callbacks if isinstance(callback, BestNetwork))
    assert [check.step for check in best.checks] == [0, 1, 2]


@pytest.mark.parametrize(("name", "frozen"), [("compact", None), ("lite0", True)])
def test_batch_norms_of_a_pretrained_network_rest_in_the_adaptation(sets, name, frozen):
    plan, network = choose(*sets, {"network": name, "size": 48, "crop": (32, 32)})
    assert experiments.night_experiment(plan, network, *sets, 0, "w")["model"].get("freeze_batch_norm") == frozen
    assert "freeze_batch_norm" not in experiments.day_experiment(plan, network, sets[0], 0)["model"]
