"""The public interface: what README shows, and what `import dsrnss` costs."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from torch.utils.data import DataLoader

import dsrnss
from dsrnss import AdaptationTask, NetworkConfig, Segmenter
from dsrnss.training.schedule import ScheduleConfig, lr_factor

README = Path(__file__).parents[1] / "README.md"
QUIET: dict[str, Any] = {
    "logger": False,
    "enable_checkpointing": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
    "accelerator": "cpu",
}


def test_every_public_name_is_there_and_none_costs_torch_before_it_is_used() -> None:
    for name in dsrnss.__all__:
        assert getattr(dsrnss, name) is not None
    code = "import sys, dsrnss, dsrnss.data; sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    with pytest.raises(AttributeError, match="has no attribute 'segment'"):
        _ = dsrnss.segment  # type: ignore[attr-defined]


def test_the_readme_trains_in_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    code = re.search(r"## Train from Python\n\n```python\n(.*?)```", README.read_text(), re.DOTALL)
    assert code is not None and len(code[1].strip().splitlines()) <= 15
    short = code[1].replace("length=400", "length=8").replace('SynthNight("val")', 'SynthNight("val", length=2)')
    short = short.replace("max_steps=400", f"max_steps=2, **{QUIET!r}").replace("(160, 288)", "(64, 96)")
    short = short.replace("400", "8")
    exec(compile(short, "README.md", "exec"), {})
    assert Segmenter.from_pretrained("night-model").label_space.num_classes == 19


@pytest.mark.parametrize("schedule", [ScheduleConfig(), ScheduleConfig(warmup_steps=5)])
def test_the_schedule_follows_a_plain_trainer(schedule: ScheduleConfig) -> None:
    rates: list[float] = []

    class Rates(L.Callback):
        def on_train_batch_start(self, trainer: L.Trainer, *_: Any) -> None:
            rates.append(trainer.optimizers[0].param_groups[0]["lr"])

    images, labels = torch.randn(2, 3, 32, 32), torch.zeros(2, 32, 32).long()
    batches = [{"source": {"image": images, "label": labels}}] * 40
    task = AdaptationTask(NetworkConfig("compact", "fpn", 8), schedule=schedule, seed=0)
    L.Trainer(max_steps=40, callbacks=[Rates()], **QUIET).fit(task, DataLoader(batches, batch_size=None))  # type: ignore[arg-type]
    expected = ScheduleConfig(warmup_steps=schedule.warmup_steps, max_steps=40)
    assert expected.warmup == (5 if schedule.warmup_steps else 2)
    assert rates == pytest.approx([6e-4 * lr_factor(step, expected) for step in range(40)])
    assert rates[-1] < 0.03 * max(rates) and len(rates) == 40
