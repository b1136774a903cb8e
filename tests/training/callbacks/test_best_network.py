"""Which network is kept, and when training stops."""

import pytest
import torch
from runs import EXPERIMENT

from dsrnss.errors import ConfigError
from dsrnss.experiment.cli import build
from dsrnss.models.weights import load_pretrained
from dsrnss.training.callbacks import best_network
from dsrnss.training.callbacks.best_network import BestNetwork, Check

BASE = EXPERIMENT.replace("checkpoint: {every_n_train_steps: 1}", "")


def fit(folder, callback, *more, val=False):
    text = BASE if val else BASE[: BASE.index("  val:")] + "  crop_size: [64, 96]\n  workers: 0\n"
    (folder / "e.yaml").write_text(text)
    words = ["--trainer.default_root_dir", str(folder), "--trainer.logger", "false", "--trainer.enable_checkpointing"]
    cli = build("fit", [folder / "e.yaml"], [*words, "false", *more])
    cli.trainer.callbacks.append(callback)
    cli.trainer.fit(cli.model, datamodule=cli.datamodule)
    return cli


@pytest.fixture
def scores(monkeypatch):
    """The scores that are found, one after the other."""
    found = []

    def say(*_):
        return type("Found", (), {"score": found.pop(0)})()

    monkeypatch.setattr(best_network, "label_free", say)
    return found


def test_the_network_of_the_best_look_is_kept(tmp_path, scores):
    scores += [0.3, 0.5, 0.4, 0.5, 0.2]
    seen = {}
    callback = BestNetwork(every=2, margin=0)
    take = callback._take
    callback._take = lambda trainer, module, score: (  # type: ignore[method-assign]
        seen.update({trainer.global_step: {k: v.clone() for k, v in module.student.state_dict().items()}}),
        take(trainer, module, score),
    )
    fit(tmp_path, callback)
    assert callback.checks == [Check(0, 0.3), Check(2, 0.5), Check(4, 0.4), Check(6, 0.5), Check(8, 0.2)]
    assert callback.best == Check(2, 0.5) and callback.kept is not None
    kept = load_pretrained(callback.kept).segmentor.state_dict()
    assert all(torch.equal(value, seen[2][key]) for key, value in kept.items())


@pytest.mark.parametrize(
    "margin, step, given", [(0.01, 6, [0.5, 0.49, 0.499, 0.496, 0.494]), (0, 0, [0.5, 0.49, 0.499, 0.5, 0.4])]
)
def test_of_networks_that_hardly_differ_the_later_one_is_kept(tmp_path, scores, margin, step, given):
    scores += given
    callback = BestNetwork(every=2, margin=margin)
    fit(tmp_path, callback)
    assert callback.best is not None and callback.best.step == step


def test_a_collapse_ends_training(tmp_path, scores):
    scores += [0.3, 0.5, 0.44, 0.46, 0.44, 0.4, 0.3]
    callback = BestNetwork(every=1, patience=3, tolerance=0.1)
    cli = fit(tmp_path, callback)
    assert cli.trainer.global_step == 6 and callback.collapsed and callback.best == Check(1, 0.5)


def test_looking_changes_no_step(tmp_path):
    def trained(name, *callbacks):
        (tmp_path / name).mkdir()
        cli = fit(tmp_path / name, *callbacks, "--trainer.max_steps", "4")
        return cli.model.student.state_dict()

    looked = trained("looked", BestNetwork(every=1, pictures=2, patience=None))
    never = trained("never", BestNetwork(every=100, pictures=1))
    assert all(torch.equal(value, never[key]) for key, value in looked.items())


def test_labels_decide_where_there_are_some(tmp_path):
    callback = BestNetwork(every=1)
    cli = fit(tmp_path, callback, val=True)
    assert [check.step for check in callback.checks] == [3, 6]
    assert callback.checks[-1].score == pytest.approx(cli.model.results["night"].mean_iou)


def test_it_goes_on_from_a_checkpoint():
    one, other = BestNetwork(), BestNetwork()
    one.checks, one.kept = [Check(0, 0.25), Check(5, 0.5)], __import__("pathlib").Path("best.safetensors")
    other.load_state_dict(one.state_dict())
    assert other.checks == one.checks and other.kept == one.kept


def test_without_a_target_there_is_nothing_to_look_at(tmp_path):
    with pytest.raises(ConfigError, match="looks at the target set"):
        fit(tmp_path, BestNetwork(), "--data.target", "null")


@pytest.mark.parametrize("wrong", [{"every": 0}, {"pictures": 0}, {"tolerance": 2}])
def test_ranges(wrong):
    with pytest.raises(ConfigError):
        BestNetwork(**wrong)
