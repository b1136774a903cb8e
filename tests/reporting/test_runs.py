"""Runs are found and read as they were left, or refused with a reason."""

import json
import shutil
from pathlib import Path

import pytest
from left import leave_results, leave_run

from dsrnss.errors import RunError
from dsrnss.reporting.comparison import differing, group
from dsrnss.reporting.runs import find_runs
from dsrnss.reporting.runs_page import write_runs_page


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    """The logs of an experiment with three seeds and of another one."""
    folder = tmp_path / "lightning_logs" / "night"
    for number in range(3):
        leave_run(folder / "adapt" / f"version_{number}", number)
    leave_run(folder / "adapt+dacs" / "version_0", 0, settings={"refinement": {"enabled": False}})
    return folder


def test_a_run_is_read_whole(logs: Path) -> None:
    (run,) = find_runs([logs / "adapt" / "version_1"])
    assert (run.name, run.seed, run.steps, run.finished) == ("night/adapt/version_1", 1, 400, True)
    assert run.settings["model.optimizer.lr"] == 1e-3
    assert len(run.curves["train/loss"]) == 40
    assert run.results["night"].scores.detail.brightness
    assert [scene.rank for scene in run.results["night"].scenes] == ["worst 1", "best 1"]
    assert run.seconds == {"training": 701.0, "validation": 60.0}
    assert [file.name for file in run.panels] == ["step_000400.png"]


def test_a_folder_of_runs_stands_for_all_of_them(logs: Path) -> None:
    assert [run.name for run in find_runs([logs])] == [
        "night/adapt/version_0",
        "night/adapt/version_1",
        "night/adapt/version_2",
        "night/adapt+dacs/version_0",
    ]
    assert len(find_runs([logs / "adapt", logs / "adapt" / "version_1"])) == 3


def test_versions_are_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    for number in (10, 9, 2):
        leave_run(tmp_path / f"version_{number}", number, tested=False)
    assert [run.seed for run in find_runs([tmp_path])] == [2, 9, 10]


def test_a_checkpoint_and_a_folder_of_results_are_runs_too(logs: Path, tmp_path: Path) -> None:
    run = logs / "adapt" / "version_0"
    assert find_runs([run / "checkpoints" / "last.ckpt"])[0].curves
    (results,) = find_runs([leave_results(tmp_path / "results" / "elsewhere", 0, 0.5, ("night", "day"))])
    assert list(results.results) == ["night", "day"] and not results.curves


def test_runs_that_differ_in_their_seed_are_one_group(logs: Path) -> None:
    adapt, dacs = group(find_runs([logs]))
    assert (adapt.name, [run.seed for run in adapt.runs]) == ("night/adapt", [0, 1, 2])
    assert differing([adapt, dacs]) == [("model.refinement.enabled", ["-", "False"])]


def test_weights_of_another_run_of_the_same_experiment_are_the_same_setting(tmp_path: Path) -> None:
    for number in range(2):
        weights = f"logs/source/version_{number}/checkpoints/last.ckpt"
        leave_run(tmp_path / f"version_{number}", number, settings={"weights": weights})
    assert len(group(find_runs([tmp_path]))) == 1


def test_a_run_that_went_on_is_one_run(tmp_path: Path) -> None:
    leave_run(tmp_path / "version_0", 0, steps=range(9, 200, 10), tested=False)
    leave_run(tmp_path / "version_1", 0, steps=range(199, 400, 10), continues="last")
    leave_run(tmp_path / "version_2", 1)
    first, other = find_runs([tmp_path])
    assert [step for step, _ in first.curves["train/loss"]] == [*range(9, 400, 10)]
    assert first.seconds["training"] == 1400 and "night" in first.results and other.seed == 1


def test_the_demo_has_a_before_and_its_worst_and_best_scenes(tmp_path: Path, make_report, make_panel) -> None:
    from left import measured

    from dsrnss.reporting.report import write_report

    scores = {"source-only": measured(0, 0.3), "adapted": measured(0, 0.5)}
    extremes = [make_panel(f"night/{number:03d}", seed=number) for number in (0, 1, 11, 10)]
    report = make_report(scores=scores, settings={"seed": "3"}, extremes=extremes)
    write_report(report, tmp_path / "demo" / "report.html")
    (run,) = find_runs([tmp_path / "demo"])
    assert (run.seed, list(run.results), list(run.before)) == (3, [make_report().test_set], [make_report().test_set])
    found = run.results[make_report().test_set].scores
    assert found.mean_iou == scores["adapted"].mean_iou
    assert found.detail.calibration_error == pytest.approx(scores["adapted"].detail.calibration_error)
    scenes = run.results[make_report().test_set].scenes
    assert [(one.rank, one.name) for one in scenes] == [
        ("worst 1", "night/000"),
        ("worst 2", "night/001"),
        ("best 1", "night/011"),
        ("best 2", "night/010"),
    ]
    assert (scenes[0].panel().predictions["Prediction"] == extremes[0].predictions["Adapted"]).all()
    assert "night/011" in write_runs_page([run], tmp_path / "page.html").read_text()


class TestRefused:
    def test_nothing_there(self, tmp_path: Path) -> None:
        with pytest.raises(RunError, match=r"'.*gone' not found"):
            find_runs([tmp_path / "gone"])

    def test_no_run(self, tmp_path: Path) -> None:
        (tmp_path / "photo.jpg").touch()
        with pytest.raises(RunError, match="holds no run"):
            find_runs([tmp_path])
        with pytest.raises(RunError, match="is a file, no run"):
            find_runs([tmp_path / "photo.jpg"])

    def test_an_empty_run(self, tmp_path: Path) -> None:
        run = leave_run(tmp_path / "version_0", tested=False)
        (run / "metrics.csv").write_text("")
        with pytest.raises(RunError, match="empty run"):
            find_runs([run])

    def test_an_empty_run_among_others_is_left_out(self, logs: Path) -> None:
        run = leave_run(logs / "adapt" / "version_7", tested=False)
        (run / "metrics.csv").write_text("step,a\n")
        assert len(find_runs([logs / "adapt"])) == 3

    @pytest.mark.parametrize(
        ("name", "text", "said"),
        [
            ("config.yaml", "a: [", "config.yaml"),
            ("config.yaml", "- 1", "mapping of keys"),
            ("run.json", "{", "run.json"),
            ("run.json", '{"seconds": 3}', "run.json"),
            ("checkpoints/last_test/night.json", "[]", "night.json"),
            ("checkpoints/last_test/night.json", "{}", "it has no 'set'"),
            ("metrics.csv", "step,a\n1,b\n", "line 2"),
        ],
    )
    def test_a_damaged_file_is_named(self, tmp_path: Path, name: str, text: str, said: str) -> None:
        run = leave_run(tmp_path / "version_0")
        (run / name).write_text(text)
        with pytest.raises(RunError, match=said):
            find_runs([run])

    def test_a_confusion_matrix_of_another_size(self, tmp_path: Path) -> None:
        file = leave_run(tmp_path / "version_0") / "checkpoints" / "last_test" / "night.json"
        content = json.loads(file.read_text())
        file.write_text(json.dumps(content | {"confusion": content["confusion"][:3]}))
        with pytest.raises(RunError, match="19 classes"):
            find_runs([tmp_path / "version_0"])

    def test_a_copy_without_its_logs_still_has_results(self, tmp_path: Path) -> None:
        run = leave_run(tmp_path / "version_0")
        shutil.copytree(run / "checkpoints" / "last_test", tmp_path / "kept")
        assert find_runs([tmp_path / "kept"])[0].results["night"].space.names[0] == "road"
