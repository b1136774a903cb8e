"""Panels and loggers on the command line: what is there by default, and what a choice of one's own changes."""

import functools
import importlib
from pathlib import Path
from typing import Any

import pytest
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger

from dsrnss.errors import ConfigError, UsageError
from dsrnss.experiment import cli
from dsrnss.training.callbacks.panels import ImagePanels

EXPERIMENT = """\
trainer: {max_steps: 2, accelerator: cpu, log_every_n_steps: 1, enable_progress_bar: false, enable_model_summary: false}
data:
  source: {class_path: standins.Numbers, init_args: {length: 8}}
"""
OWN = """\
from lightning.pytorch.loggers.logger import DummyLogger


class Own(DummyLogger):
    seen: list = []

    def log_metrics(self, metrics, step=None):
        self.seen.append(step)
"""


@pytest.fixture
def build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Builds a fit of stand-ins in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    monkeypatch.syspath_prepend(str(tmp_path))
    Path("e.yaml").write_text(EXPERIMENT)
    Path("ownlog.py").write_text(OWN)
    standins = importlib.import_module("standins")
    return functools.partial(cli.build, model_class=standins.Task, data_class=standins.Data)


def panels(built: cli.ExperimentCLI) -> list[int]:
    return [c.every_n_steps for c in built.trainer.callbacks if isinstance(c, ImagePanels)]


def test_panels_are_on_for_training_only(build: Any) -> None:
    assert panels(build("fit", ["e.yaml"])) == [500]
    assert panels(build("fit", ["e.yaml"], ["--panels.every_n_steps=0"])) == [0]
    assert panels(build("validate", ["e.yaml"])) == []
    assert panels(build("fit", ["e.yaml"], ["--trainer.logger=false"])) == []
    with pytest.raises(UsageError, match=r"panels\.every_n_step"):
        build("fit", ["e.yaml"], ["--panels.every_n_step=3"])
    with pytest.raises(ConfigError, match=r"panels\.images: expected a number of 1 or more"):
        build("fit", ["e.yaml"], ["--panels.images=0"])


def test_weights_and_biases_must_be_installed(build: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dsrnss.experiment.loggers.installed", lambda module: False)
    with pytest.raises(ConfigError, match=r"trainer\.logger: WandbLogger needs .* not installed: pip install wandb$"):
        build("fit", ["e.yaml"], ["--trainer.logger=WandbLogger"])
    assert not Path("lightning_logs").exists()


def test_a_logger_of_ones_own_comes_on_top(build: Any) -> None:
    built = build("fit", ["e.yaml"], ["--trainer.logger=ownlog.Own"])
    built.run()
    assert [type(logger).__name__ for logger in built.trainer.loggers] == ["TensorBoardLogger", "CSVLogger", "Own"]
    assert sorted(set(built.trainer.loggers[-1].seen)) == [0, 1]
    assert built.last_checkpoint == Path("lightning_logs/e/version_0/checkpoints/last.ckpt")


def test_a_table_of_ones_own_is_the_only_one(build: Any) -> None:
    options = ["--trainer.logger=CSVLogger", "--trainer.logger.save_dir=own"]
    (logger,) = build("fit", ["e.yaml"], options).trainer.loggers
    assert isinstance(logger, CSVLogger) and not isinstance(logger, TensorBoardLogger)
    assert not Path("lightning_logs").exists()
