"""Panels: what is on them, where they are written, and that they change nothing."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from lightning.pytorch.callbacks import LearningRateMonitor
from matplotlib.figure import Figure
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from dsrnss.adaptation.prototypes import PrototypeConfig
from dsrnss.adaptation.records import StepRecord
from dsrnss.adaptation.teacher import SelfTrainingConfig
from dsrnss.errors import ConfigError
from dsrnss.experiment.loggers import check_installed, default_loggers
from dsrnss.labels import CITYSCAPES
from dsrnss.training.callbacks.panels import ImagePanels, panels_of
from dsrnss.training.callbacks.pseudo_accuracy import PseudoAccuracy

Make = Callable[..., Any]
GROUPS = ("head_weight", "head_bias", "backbone_weight", "backbone_bias")


class Losses(L.Callback):
    def __init__(self) -> None:
        self.values: list[float] = []

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: Any, outputs: Any, *_: Any) -> None:
        self.values.append(float(outputs["loss"]))


@pytest.fixture
def titles(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The titles of each picture that would be drawn; in their place an empty file is written, which is faster."""
    found: list[list[str]] = []

    def watched(*given: Any) -> Any:
        panels = panels_of(*given)
        found.append([title for title, _ in panels])
        return panels

    monkeypatch.setattr("dsrnss.training.callbacks.panels.panels_of", watched)
    monkeypatch.setattr("dsrnss.training.callbacks.panels.draw", lambda *_: Figure((1, 1)))
    return found


def test_files_appear_when_due_and_the_losses_stay(
    task: Make, batches: Make, fit: Make, tmp_path: Path, titles: list[list[str]]
) -> None:
    without, within = Losses(), Losses()
    fit(task(), batches(4), without)
    state = torch.random.get_rng_state()
    model = task()
    fit(model, batches(4), within, ImagePanels(every_n_steps=2))
    assert without.values == within.values
    assert torch.equal(torch.random.get_rng_state(), state)
    assert sorted(path.name for path in (tmp_path / "panels").iterdir()) == ["step_000002.png", "step_000004.png"]
    assert titles[2:] == [
        [
            f"source: {source}",
            "source label",
            f"target: {target}",
            "target label (never learnt from)",
            "day reference",
            "reference, warped to the target",
            "confidence of the alignment",
            "pseudo-label, before refinement",
            "pseudo-label, refined",
            "mixed image",
            "mixed label",
            "student on the mixed image",
        ]
        for source, target in (("a3", "c3"), ("b3", "d3"))
    ]


def test_parts_that_are_not_there_are_left_out(task: Make, batches: Make, fit: Make, titles: list[list[str]]) -> None:
    fit(task(), batches(1, target=False), ImagePanels(every_n_steps=1, images=1))
    fit(task(aligner=None), batches(1), ImagePanels(every_n_steps=1, images=1))
    fit(task(self_training=SelfTrainingConfig(adapt_to_reference=True)), batches(6), ImagePanels(1, images=1))
    assert titles[0] == ["source: a0", "source label"]
    assert "pseudo-label, not refined" in titles[1]
    kinds = {title for panels in titles[2:] for title in panels if title.startswith("pseudo-label, ")}
    assert kinds == {"pseudo-label, before refinement", "pseudo-label, refined", "pseudo-label, of the day reference"}


@pytest.mark.usefixtures("titles")
def test_once_a_step_where_batches_are_accumulated(task: Make, batches: Make, fit: Make, tmp_path: Path) -> None:
    drawn = ImagePanels(every_n_steps=1, images=1)
    fit(task(), batches(4), drawn, accumulate_grad_batches=2)
    assert sorted(path.name for path in (tmp_path / "panels").iterdir()) == ["step_000001.png", "step_000002.png"]


@pytest.mark.usefixtures("titles")
def test_a_full_disk_is_one_warning_and_no_end(task: Make, batches: Make, fit: Make, tmp_path: Path) -> None:
    (tmp_path / "panels").write_text("in the way")
    with pytest.warns(RuntimeWarning, match=r"Cannot write '.*step_000001\.png'") as told:
        trainer = fit(task(), batches(3), ImagePanels(every_n_steps=1, images=1))
    assert trainer.global_step == 3
    assert len([one for one in told if "Cannot write" in str(one.message)]) == 1


def test_off_and_out_of_range(task: Make, batches: Make, fit: Make, tmp_path: Path) -> None:
    fit(task(), batches(1), ImagePanels(every_n_steps=0))
    assert not (tmp_path / "panels").exists()
    with pytest.raises(ConfigError, match=r"panels\.every_n_steps: expected a number of 0 or more"):
        ImagePanels(every_n_steps=-1)


def test_labels_have_the_colours_of_the_label_space() -> None:
    label = torch.tensor([[[10, 13], [255, 0]]])
    sample = {"image": torch.zeros(1, 3, 2, 2), "label": label, "name": ["one"]}
    panels = dict(panels_of(StepRecord(), {"source": sample}, 0, CITYSCAPES))
    assert panels["source label"].reshape(-1, 3).tolist() == [
        [70, 130, 180],
        [0, 0, 142],
        [0, 0, 0],
        [128, 64, 128],
    ]
    assert panels["source: one"][0, 0].tolist() == [123, 116, 103], "the mean of ImageNet"


def test_large_crops_are_shrunk() -> None:
    sample = {"image": torch.zeros(1, 3, 512, 1024), "label": torch.zeros(1, 512, 1024).long(), "name": ["one"]}
    shapes = {pixels.shape for _, pixels in panels_of(StepRecord(), {"source": sample}, 0, CITYSCAPES)}
    assert shapes == {(256, 512, 3)}


def test_everything_is_in_tensorboard(task: Make, batches: Make, fit: Make, tmp_path: Path) -> None:
    model = task(prototypes=PrototypeConfig(start_epoch=None))
    loggers = default_loggers(tmp_path, "logs/night", "version_0")
    fit(
        model,
        batches(2),
        ImagePanels(every_n_steps=2, images=1),
        LearningRateMonitor("step"),
        PseudoAccuracy(CITYSCAPES, every=2),
        logger=loggers,
        log_every_n_steps=1,
    )
    folder = tmp_path / "logs/night/version_0"
    assert (folder / "panels/step_000002.png").is_file() and (folder / "metrics.csv").is_file()
    events = EventAccumulator(str(folder)).Reload()
    tags = set(events.Tags()["scalars"])
    terms = ("", "_source", "_mixed", "_prototypes_target", "_prototypes_mixed")
    assert {f"train/loss{term}" for term in terms} <= tags
    assert {f"lr-AdamW/{group}" for group in GROUPS} <= tags
    assert {"pseudo/share", "pseudo/accuracy_teacher", "pseudo/accuracy_refined"} <= tags
    assert {f"pseudo/{stage}_class/{name}" for stage in ("teacher", "refined") for name in ("road", "bicycle")} <= tags
    assert events.Tags()["images"] == ["panels"]
    assert [event.step for event in events.Images("panels")] == [2]
    assert [event.step for event in events.Scalars("train/loss")] == [0, 1]


def test_a_logger_that_is_not_installed_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dsrnss.experiment.loggers.installed", lambda module: False)
    for wanted in ({"class_path": "lightning.pytorch.loggers.WandbLogger"}, [{"class_path": "WandbLogger"}]):
        with pytest.raises(ConfigError, match="WandbLogger needs a package that is not installed: pip install wandb"):
            check_installed(wanted)
    check_installed([{"class_path": "lightning.pytorch.loggers.CSVLogger"}])
    check_installed(True)
