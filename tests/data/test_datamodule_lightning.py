"""The data module under a real Trainer: resumption, typed errors, YAML."""

import pytest
import torch
from jsonargparse import ArgumentParser
from lightning import LightningModule, Trainer

from dsrnss.data import AdaptationDataModule, Cityscapes, SynthNight
from dsrnss.data.sampling import RareClassSampling
from dsrnss.errors import DataError


class Recorder(LightningModule):
    """Writes down what it is given."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.sums, self.evaluated = [], []

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.1)

    def training_step(self, batch, batch_idx):
        self.sums.append([batch[d]["image"].double().sum().item() for d in batch])
        return self.weight * 0

    def validation_step(self, batch, batch_idx, dataloader_idx=0):
        self.evaluated.append((dataloader_idx, *batch["name"]))


def fit(data, steps, path, workers=0, resume=None):
    options = dict(logger=False, enable_progress_bar=False, enable_model_summary=False, accelerator="cpu")
    trainer = Trainer(
        max_steps=steps, default_root_dir=path, enable_checkpointing=False, num_sanity_val_steps=0, **options
    )
    module = Recorder()
    trainer.fit(module, data, ckpt_path=resume)
    trainer.save_checkpoint(path / "last.ckpt")
    return module


def datamodule(toy, **options):
    target = toy(length=14, labelled=False, references=True)
    rcs = RareClassSampling(min_pixels=30_000)
    return AdaptationDataModule(toy(), target, crop_size=(16, 24), rare_class_sampling=rcs, **options)


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_an_interrupted_run_continues_in_the_middle_of_an_epoch(toy, tmp_path, workers):
    whole = fit(datamodule(toy, workers=0), 12, tmp_path).sums
    first = fit(datamodule(toy, workers=workers), 3, tmp_path).sums
    second = fit(datamodule(toy, workers=workers), 12, tmp_path, resume=tmp_path / "last.ckpt").sums
    assert len(whole) == 12 and first + second == whole
    assert len({tuple(s) for s in whole}) == 12


def test_validation_visits_the_named_sets_in_order(toy, tmp_path):
    data = datamodule(toy, workers=0, val={"a": toy(length=2), "b": toy(length=1)})
    assert fit(data, 5, tmp_path).evaluated == [(0, "toy_0"), (0, "toy_1"), (1, "toy_0")]


def test_errors_come_through_the_trainer(toy, tmp_path):
    with pytest.raises(DataError, match=r"^'toy_\d.png' is damaged\.\nCopy it again\.$"):
        fit(AdaptationDataModule(toy(broken=range(1, 10)), None, crop_size=(16, 16), workers=1), 5, tmp_path)


def test_yaml_names_sets_by_their_public_path():
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(AdaptationDataModule, "data")
    text = """
    data:
      source: {class_path: dsrnss.data.Cityscapes, init_args: {split: train, size: [512, 1024]}}
      target:
        class_path: dsrnss.data.AlignedPairs
        init_args:
          dataset: {class_path: dsrnss.data.SynthNight, init_args: {split: target, length: 7, size: [64, 128]}}
          aligner: numpy.add
      val: {night: {class_path: dsrnss.data.DarkZurich, init_args: {split: val}}}
      rare_class_sampling: {min_crop_ratio: 2.0}
      crop_size: [64, 96]
    """
    data = parser.instantiate_classes(parser.parse_string(text)).data
    assert isinstance(data.source, Cityscapes) and data.source.size == (512, 1024)
    assert isinstance(data.target.dataset, SynthNight) and len(data.target) == 7
    assert data.rare_class_sampling == RareClassSampling(min_crop_ratio=2.0)
    assert list(data.val) == ["night"] and data.crop_size == (64, 96)
    without = "data: {source: {class_path: dsrnss.data.Cityscapes}, rare_class_sampling: null}"
    assert parser.instantiate_classes(parser.parse_string(without)).data.rare_class_sampling is None
