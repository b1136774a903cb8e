"""A three-class own data set, with references and without: the files of docs/own_data.md, through the command line."""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dsrnss import cli
from dsrnss.data import AdaptationDataModule, Folder, RareClassSampling

PAGE = Path(__file__).parents[3] / "docs" / "own_data.md"
TINY = ["--trainer.max_steps", "2", "--trainer.val_check_interval", "2", "--trainer.accelerator", "cpu"]
TINY += ["--data.crop_size", "[32, 48]", "--data.workers", "0", "--checkpoint.every_n_train_steps", "2"]
TINY += ["--trainer.enable_progress_bar", "false", "--model.schedule.warmup_steps", "0"]


def block(language, number=0):
    """A code block of the page."""
    return re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(), re.DOTALL)[number]


@pytest.fixture
def pictures(tmp_path, monkeypatch):
    """Eight labelled pictures by day, eight pairs and two labelled ones by night; the two files of the page."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for root, number, light, folders in (
        ("day", 8, 1.0, ("images", "labels")),
        ("night", 8, 0.3, ("images", "refs")),
        ("night_val", 2, 0.3, ("images", "labels")),
    ):
        for n in range(number):
            label = np.zeros((48, 64), np.uint8)
            label[:20] = 2
            top, left = rng.integers(5, 35, 2)
            label[top : top + 10, left : left + 14] = 1
            day = np.array([[90, 90, 90], [200, 60, 40], [120, 170, 220]])[label] + rng.normal(0, 8, (48, 64, 3))
            kinds = {"images": (day * light).clip(0, 255), "refs": day.clip(0, 255), "labels": label}
            for folder in folders:
                (tmp_path / root / folder).mkdir(parents=True, exist_ok=True)
                Image.fromarray(kinds[folder].astype(np.uint8)).save(tmp_path / root / folder / f"{n}.png")
        if "labels" in folders:
            (tmp_path / root / "labels.yaml").write_text(block("yaml"))
    (tmp_path / "own.yaml").write_text(block("yaml", 2))
    return tmp_path


def test_the_experiment_of_the_page_is_short():
    assert len(block("yaml", 2).splitlines()) <= 20


@pytest.mark.parametrize("references", [True, False])
def test_batches_hold_the_own_classes(pictures, references):
    data = AdaptationDataModule(
        Folder("day"),
        Folder("night", references=references),
        val={"night": Folder("night_val")},
        crop_size=(32, 48),
        workers=0,
        rare_class_sampling=RareClassSampling(),
    )
    data.setup("fit")
    loader = data.train_dataloader()
    batch = next(iter(loader))[0]
    assert set(batch["source"]["label"].unique().tolist()) <= {0, 1, 2}
    assert ("reference" in batch["target"]) == references and "label" not in batch["target"]
    assert data.source.label_space.tail == (1,)


@pytest.mark.parametrize("extra", [[], ["--data.target.references", "false", "--model.aligner", "null"]])
def test_it_adapts_is_measured_and_predicts_from_the_command_line(pictures, capfd, extra):
    assert cli.main(["fit", "--config", "own.yaml", *TINY, *extra]) == 0
    assert "no group 'feature_distance'" in capfd.readouterr().err
    if extra:
        return  # what follows does not look at references
    assert cli.main(["validate", "--config", "own.yaml", "--ckpt_path", "last", *TINY, *extra]) == 0
    assert "thing" in capfd.readouterr().out
    assert cli.main(["test", "--config", "own.yaml", "--ckpt_path", "last", *TINY, *extra]) == 0
    assert "thing" in capfd.readouterr().out
    assert cli.main(["predict", "--config", "own.yaml", "--ckpt_path", "last", *TINY, *extra]) == 0
    ids = [np.asarray(Image.open(path)) for path in pictures.glob("predictions/**/labelTrainIds/*.png")]
    assert len(ids) >= 8 and all(labels.shape == (48, 64) and labels.max() < 3 for labels in ids)
