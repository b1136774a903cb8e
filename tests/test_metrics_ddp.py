"""Metrics over two processes that do not get equally many pictures."""

import json
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import dsrnss

SOURCES = str(Path(dsrnss.__file__).resolve().parents[1])
SCRIPT = """
    import json, sys
    import lightning as L, numpy as np, torch
    from torch import nn
    from torchvision import tv_tensors
    from dsrnss.data.loading import make_eval_loader, EvalView, collate
    from dsrnss.data.base import SegmentationDataset
    from dsrnss.labels import CITYSCAPES
    from dsrnss.training.evaluation import count_batch
    from dsrnss.detail import DetailCounts
    from dsrnss.metrics import ConfusionMatrix
    from dsrnss.training.processes import end_group_at_exit

    pictures = int(sys.argv[2])

    class Pictures(SegmentationDataset):
        label_space, split, labelled, references = CITYSCAPES, "few", True, False
        def __len__(self):
            return pictures
        def __getitem__(self, index):
            rng = np.random.default_rng(index)
            image = torch.from_numpy(rng.integers(0, 256, (3, 8, 8), np.uint8))
            label = torch.from_numpy(rng.integers(0, 19, (8, 8), np.uint8))
            return {"image": tv_tensors.Image(image), "label": tv_tensors.Mask(label), "name": str(index)}
        def verify(self): ...
        def class_counts(self): ...
        def counted_size(self):
            return 8, 8

    class Module(L.LightningModule):
        def __init__(self):
            super().__init__()
            self.net = nn.Sequential(nn.Conv2d(3, 19, 1), nn.BatchNorm2d(19))
        def setup(self, stage):
            end_group_at_exit()
        def on_validation_epoch_start(self):
            self.confusion = ConfusionMatrix(19).to(self.device)
            self.details = DetailCounts(19).to(self.device)
        on_test_epoch_start = on_validation_epoch_start
        def validation_step(self, batch, batch_idx):
            count_batch(self, batch, self.confusion, self.details)
        test_step = validation_step
        def predict(self, images):
            return self.net(images)
        def on_validation_epoch_end(self):
            self.counts = self.confusion.compute()
            self.calibration, self.rows = self.details.compute()
            self.detail = self.details.detail()
        on_test_epoch_end = on_validation_epoch_end
        def training_step(self, batch, batch_idx):
            return self.net(batch["image"]).square().mean()
        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), 0.0)
        def loader(self, world, rank):
            return make_eval_loader(Pictures(), 1, 0, world, rank)
        def val_dataloader(self):
            return self.loader(self.trainer.world_size, self.trainer.global_rank)
        test_dataloader = train_dataloader = val_dataloader

    L.seed_everything(0)
    module = Module()
    options = dict(accelerator="cpu", devices=2, strategy="ddp", logger=False, enable_checkpointing=False)
    trainer = L.Trainer(max_steps=3, enable_progress_bar=False, enable_model_summary=False, **options)
    trainer.fit(module)
    fitted = module.counts[:, :19].clone()
    trainer.test(module, verbose=False)
    if trainer.is_global_zero:
        module.eval()
        whole, details = ConfusionMatrix(19), DetailCounts(19)
        for batch in make_eval_loader(Pictures(), 1, 0):
            count_batch(module, batch, whole, details)
        found = {"fit": int(fitted.sum()), "same": bool(torch.equal(module.counts, whole.counts))}
        found["confidence"] = bool(torch.equal(module.calibration, details.calibration))
        found["pictures"] = bool(torch.equal(module.rows[module.rows[:, 0].argsort()], torch.cat(details.rows)))
        found["names"] = [one.name for one in module.detail.images]
        open(sys.argv[1], "w").write(json.dumps(found))
"""


@pytest.mark.slow
@pytest.mark.parametrize("pictures", [5, 1])
def test_pictures_on_two_processes_count_as_on_one(pictures, tmp_path):
    """Of one picture the second process gets none: what it counts is padding, without labels."""
    script, out = tmp_path / "two.py", tmp_path / "out.json"
    script.write_text(f"import sys\nsys.path.insert(0, {SOURCES!r})\n" + textwrap.dedent(SCRIPT))
    subprocess.run([sys.executable, str(script), str(out), str(pictures)], check=True, timeout=300)
    assert json.loads(out.read_text()) == {
        "fit": pictures * 64,
        "same": True,
        "confidence": True,
        "pictures": True,
        "names": [str(number) for number in range(pictures)],
    }
