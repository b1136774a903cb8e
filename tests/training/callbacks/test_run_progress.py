"""The progress of a training and of its validations, in a log and in a terminal."""

import io

import lightning as L
import pytest
import torch
from rich.console import Console
from torch.utils.data import DataLoader

from dsrnss import progress
from dsrnss.training.callbacks import run_progress
from dsrnss.training.callbacks.run_progress import RunProgress


class Small(L.LightningModule):
    """As little as Lightning trains."""

    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(2, 1)

    def training_step(self, batch, index):
        loss = self.layer(batch).square().mean()
        self.log("train/loss", loss, prog_bar=True)
        return loss

    def validation_step(self, batch, index):
        if self.trainer.global_step == 3:
            raise RuntimeError("boom")

    test_step = predict_step = validation_step

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


def run(console, method="fit", **options):
    off = dict(logger=False, enable_checkpointing=False, enable_model_summary=False, accelerator="cpu")
    trainer = L.Trainer(callbacks=[RunProgress(console)], **off, **options)
    batches = [DataLoader(torch.ones(4, 2))] * (2 if method == "fit" else 1)
    getattr(trainer, method)(Small(), *batches)
    return console.file.getvalue()


def test_a_log_gets_one_line_for_a_short_training():
    lines = run(Console(file=io.StringIO(), width=20), max_steps=8).splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("[100 %, 0:00:0")
    assert "step: 8/8 done in" in lines[0]
    assert "train/loss" in lines[0]


def test_a_log_gets_a_line_now_and_then(monkeypatch):
    monkeypatch.setattr(progress, "LINE_SECONDS", 0.0)
    text = run(Console(file=io.StringIO()), max_steps=8)
    assert "step: 4/8" in text
    assert "validate: 1/4" in text


def test_numbers_are_asked_for_now_and_then_since_a_gpu_is_waited_for(monkeypatch):
    asked, newest = [], RunProgress._newest
    monkeypatch.setattr(run_progress, "_FIGURE_SECONDS", float("inf"))
    monkeypatch.setattr(RunProgress, "_newest", lambda *given: (asked.append(given[1].global_step), newest(*given))[1])
    run(Console(file=io.StringIO()), max_steps=8, max_epochs=-1)
    assert asked == [1, 8]


def test_a_terminal_gets_the_bar_of_the_whole_run():
    text = run(Console(file=io.StringIO(), force_terminal=True, width=120), max_steps=8, max_epochs=-1)
    assert "8/8" in text


def test_an_error_leaves_the_terminal_as_it_was():
    console = Console(file=io.StringIO(), force_terminal=True, width=120)
    with pytest.raises(RuntimeError, match="boom"):
        run(console, max_steps=8, val_check_interval=3)
    text = console.file.getvalue()
    assert text.rfind("\x1b[?25h") > text.rfind("\x1b[?25l"), "the cursor is back"


@pytest.mark.parametrize("method", ["validate", "test", "predict"])
def test_evaluation_counts_batches(method, monkeypatch):
    monkeypatch.setattr(progress, "LINE_SECONDS", 0.0)
    assert f"{method}: 4/4" in run(Console(file=io.StringIO()), method)
