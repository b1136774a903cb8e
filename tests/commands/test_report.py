"""`dsrnss report` as it is typed."""

import json
import os
from pathlib import Path

import pytest
from left import leave_run, measured

from dsrnss import cli
from dsrnss.labels import CITYSCAPES
from dsrnss.reporting.content import RunReport
from dsrnss.reporting.report import write_report


def _report(**scores) -> RunReport:
    """What the demo finds."""
    return RunReport(
        "Day to night", {"seed": "0"}, {}, {}, CITYSCAPES, command="dsrnss demo", test_set="nights", **scores
    )


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_a_page_is_written_and_named(capsys: pytest.CaptureFixture[str]) -> None:
    leave_run(Path("runs/version_0"))
    leave_run(Path("runs/version_1"), 1)
    assert cli.main(["report", "runs", "--out", "pages/night.html"]) == 0
    assert capsys.readouterr().out == "Report: pages/night.html\n"
    assert "2 runs." in Path("pages/night.html").read_text()


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ([], 2, "Missing: RUN"),
        (["gone"], 1, "Run 'gone' not found"),
        (["runs", "--out", "page.pdf"], 2, "ends in .html"),
        (["."], 0, ""),
    ],
)
def test_mistakes(words: list[str], code: int, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    leave_run(Path("runs/version_0"))
    assert cli.main(["report", *words]) == code
    assert said in capsys.readouterr().err


def test_the_page_of_a_demo_is_not_written_over(capsys: pytest.CaptureFixture[str]) -> None:
    write_report(_report(scores={"source-only": measured(0, 0.3), "adapted": measured(0, 0.5)}), "demo/report.html")
    before = Path("demo/report.html").read_bytes()
    assert cli.main(["report", "demo", "--out", "demo/report.html"]) == 2
    assert "choose another --out" in capsys.readouterr().err
    assert Path("demo/report.html").read_bytes() == before
    assert cli.main(["report", "demo", "--out", "demo/again.html"]) == 0
    assert "source-only" in Path("demo/again.html").read_text()


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
def test_where_nothing_can_be_written(capsys: pytest.CaptureFixture[str]) -> None:
    leave_run(Path("runs/version_0"))
    Path("taken").write_text("a file")
    assert cli.main(["report", "runs", "--out", "taken/page.html"]) == 1
    assert "taken" in capsys.readouterr().err


EXPERIMENT = """
trainer: {max_steps: 2, accelerator: cpu, enable_progress_bar: false, log_every_n_steps: 1}
panels: {every_n_steps: 1}
model:
  network: {backbone: compact, head: fpn, head_channels: 8}
  weights: random
  prototypes: {enabled: false}
data:
  workers: 0
  crop_size: [64, 64]
  source: {class_path: dsrnss.data.SynthNight, init_args: {split: source, length: 2, size: [64, 128]}}
  target: {class_path: dsrnss.data.SynthNight, init_args: {split: target, length: 2, size: [64, 128], labelled: true}}
  test: {night: {class_path: dsrnss.data.SynthNight, init_args: {split: test, length: 9, size: [64, 128]}}}
"""


@pytest.mark.slow
def test_from_training_to_the_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("night.yaml").write_text(EXPERIMENT)
    assert cli.main(["fit", "--config", "night.yaml"]) == 0
    folder = Path("lightning_logs/night/version_0")
    record = json.loads((folder / "run.json").read_text())
    assert record["finished"] and record["last_step"] == 2 and record["machine"]["torch"]
    assert cli.main(["report", str(folder)]) == 0
    assert "dsrnss test --config" in Path("report.html").read_text()

    assert cli.main(["test", "--config", "night.yaml", "--ckpt_path", "last"]) == 0
    results = folder / "checkpoints" / "last_test"
    assert len((results / "night_images.csv").read_text().splitlines()) == 1 + 9
    assert len(list((results / "night_scenes").iterdir())) == 3 * 6
    content = json.loads((results / "night.json").read_text())
    assert [group["pictures"] for group in content["detail"]["brightness"]] == [5, 4]
    assert sum(content["detail"]["calibration"]["pixels"]) == sum(map(sum, content["confusion"]))
    for page in (results / "report.html", Path("again.html")):
        assert cli.main(["report", str(folder), "--out", "again.html"]) == 0
        text = page.read_text()
        for heading in ("Every class", "Confidence and brightness", "Worst and best pictures", "Training steps"):
            assert f">{heading}<" in text
    capsys.readouterr()
