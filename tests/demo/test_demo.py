"""The demo, as small as it can be: every phase runs and the report says what was measured."""

import json
from pathlib import Path

import pytest
import torch

from dsrnss.demo import run as demo
from dsrnss.demo.run import Amounts, DemoOptions, run_demo
from dsrnss.errors import OutputError
from dsrnss.models.weights import DEMO_MODEL, load_pretrained


@pytest.mark.slow
@pytest.mark.parametrize("from_scratch", [False, True])
def test_demo_measures_before_and_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], from_scratch: bool
) -> None:
    tiny = Amounts(scenes=12, val=2, test=8, source_steps=3, steps=4)
    monkeypatch.setitem(demo.AMOUNTS, "quick", tiny)
    options = DemoOptions(out=tmp_path / "demo", length="quick", from_scratch=from_scratch, threads=1, oracle=True)
    result = run_demo(options)
    assert set(result.scores) == {"source-only", "adapted", "day", "oracle"}
    numbers = json.loads((tmp_path / "demo" / "report.json").read_text())
    for name, scores in result.scores.items():
        assert numbers["scores"][name]["mean_iou"] == pytest.approx(scores.mean_iou)
    assert len(numbers["panels"]) == 8
    assert {curve["name"] for curve in numbers["curves"]} >= {"source loss", "mixed loss", "mIoU, all classes"}
    assert "from-scratch" in numbers["command"] or not from_scratch
    assert (tmp_path / "demo" / "source.safetensors").exists() == from_scratch
    read = load_pretrained(tmp_path / "demo" / "adapted.safetensors")
    assert read.card == {"step": 4, "image_height": 192, "image_width": 384}
    source = load_pretrained(tmp_path / "demo" / "source.safetensors" if from_scratch else DEMO_MODEL)
    adapted, before = read.segmentor.state_dict(), source.segmentor.state_dict()
    assert not torch.equal(adapted["head.conv_seg.weight"], before["head.conv_seg.weight"])
    # in train mode batch norms follow the batches, whatever evaluation came before
    assert not torch.equal(adapted["backbone.stem.1.running_mean"], before["backbone.stem.1.running_mean"])
    assert "traffic sign" in capsys.readouterr().out


def test_an_output_that_is_a_file_is_refused_before_anything_runs(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    with pytest.raises(OutputError, match="is a file"):
        run_demo(DemoOptions(out=tmp_path / "taken"))
