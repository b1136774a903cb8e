"""The page of runs: what stands in it, and what is said of what it lacks."""

import dataclasses
from pathlib import Path

import pytest
from left import leave_results, leave_run, measured
from report_pages import Page

from dsrnss.errors import RunError
from dsrnss.labels import CITYSCAPES, LabelSpace
from dsrnss.reporting.comparison import change, spread
from dsrnss.reporting.runs import find_runs
from dsrnss.reporting.runs_page import write_runs_page


def page_of(place: Path, *runs: Path) -> tuple[str, Page]:
    text = write_runs_page(find_runs(runs or [place]), place / "page.html").read_text(encoding="utf-8")
    return text, Page(text)


@pytest.fixture
def compared(tmp_path: Path) -> Path:
    """Two groups of three and two seeds, of which the second has other settings."""
    for number in range(3):
        leave_run(tmp_path / "full" / f"version_{number}", number, 0.5)
    for number in range(2):
        leave_run(tmp_path / "plain" / f"version_{number}", number, 0.4, settings={"refinement": {"enabled": False}})
    return tmp_path


def test_every_part_of_one_run_is_there(tmp_path: Path) -> None:
    leave_run(tmp_path / "version_0")
    text, page = page_of(tmp_path)
    headings = "Every class|Confidence and brightness|Which class is taken for which|Training|Worst and best pictures"
    for heading in [*headings.split("|"), "Training steps", "Machine and versions", "Settings", "Time"]:
        assert f">{heading}<" in text, heading
    ids = [attributes["id"] for _, attributes in page.attributes if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert all(attributes["alt"] for tag, attributes in page.attributes if tag == "img")
    assert "12 min 40 s" in text and "2.14.1" in text and "model.optimizer.lr" in text
    assert "://" not in text and "<script" not in text


def test_seeds_are_told_by_mean_and_spread(compared: Path) -> None:
    text, page = page_of(compared)
    full = [(seed, measured(seed, 0.5)) for seed in range(3)]
    expected = spread(full, lambda scores: float(scores.iou[0]))
    road = page.row("road")
    assert road[1].strip() == f"{100 * expected.mean:.1f}"
    assert road[2].strip() == f"±{100 * expected.deviation:.1f}"
    assert "5 runs in 2 groups" in text
    assert page.row("model.refinement.enabled")[1:] == ["-", "False"]


def test_the_change_is_taken_seed_by_seed() -> None:
    base = [(seed, measured(seed, 0.4 + 0.1 * seed)) for seed in range(3)]
    better = [(seed, measured(seed, 0.42 + 0.1 * seed)) for seed in range(3)]

    def accuracy(scores) -> float:
        return scores.pixel_accuracy

    paired = change(better, base, accuracy)
    assert paired.mean > 0 and paired.deviation < 0.3 * spread(base, accuracy).deviation
    apart = change(better, base[:2], accuracy)
    assert apart.deviation > spread(base[:2], accuracy).deviation
    assert change(better[:1], base[1:2], accuracy).count == 1


def test_what_is_missing_is_said_with_the_way_to_get_it(tmp_path: Path) -> None:
    run = leave_run(tmp_path / "version_0", tested=False)
    (run / "run.json").unlink()
    (run / "metrics.csv").write_text("step,train/loss\n9,1.0\n19,0.5\n")
    for panel in (run / "panels").iterdir():
        panel.unlink()
    text, _ = page_of(tmp_path)
    told = text[text.index("Not in this report") :]
    assert f"dsrnss test --config {run}/config.yaml --ckpt_path {run}/checkpoints/last.ckpt" in told
    for words in ("data.val", "panels.every_n_steps", "run.json", "seed_everything", "has labels"):
        assert words in told
    assert "Every class" not in text and "Which class" not in text
    results = leave_results(tmp_path / "results", 0, 0.5)
    assert "name the folder of the training run" in page_of(tmp_path, results)[0]


def test_several_sets_are_told_apart(tmp_path: Path) -> None:
    run = leave_run(tmp_path / "version_0", tested=False)
    leave_results(run / "checkpoints" / "last_test", 0, 0.4, ("night", "day"))
    text, page = page_of(tmp_path)
    assert "Every class on night" in text and "Every class on day" in text
    assert text.index("Every class on night") < text.index("Every class on day")
    ids = [attributes["id"] for _, attributes in page.attributes if "id" in attributes]
    assert len(ids) == len(set(ids))


def test_other_classes_are_not_compared(tmp_path: Path) -> None:
    leave_run(tmp_path / "a")
    run = leave_run(tmp_path / "b", settings={"weights": "x"}, tested=False)
    few = LabelSpace(("road", "sky", "car"), ((1, 2, 3), (4, 5, 6), (7, 8, 9)))
    leave_results(run / "checkpoints" / "last_test", 0, 0.4, space=few)
    with pytest.raises(RunError, match="other classes"):
        page_of(tmp_path)


def test_many_classes_have_no_matrix(tmp_path: Path) -> None:
    number = 60
    names = tuple(f"class {index}" for index in range(number))
    space = dataclasses.replace(
        CITYSCAPES, names=names, palette=tuple((index, 0, 255 - index) for index in range(number)), co_occurrence=()
    )
    run = leave_run(tmp_path / "version_0", tested=False)
    leave_results(run / "checkpoints" / "last_test", 0, 0.4, space=space)
    text, page = page_of(tmp_path)
    assert "Which class" not in text and page.row("class 59")


def test_a_picture_that_is_gone_is_named(tmp_path: Path) -> None:
    run = leave_run(tmp_path / "version_0")
    (run / "checkpoints" / "last_test" / "night_scenes" / "best_1_truth.png").unlink()
    with pytest.raises(RunError, match=r"best_1_truth\.png"):
        page_of(tmp_path)


def test_odd_names_are_shown_and_never_run(tmp_path: Path) -> None:
    evil = "<script>alert(1)</script>"
    text, _ = page_of(tmp_path, leave_run(tmp_path / "a&b<i>", settings={evil: evil}))
    assert "<script" not in text and "<i>" not in text
