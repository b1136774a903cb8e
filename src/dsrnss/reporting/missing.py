"""What runs do not have for their page, and how to get it."""

import shlex
from collections.abc import Sequence

from dsrnss.reporting.comparison import Group
from dsrnss.reporting.runs import SETTINGS, Run


def missing(groups: Sequence[Group], sets: Sequence[str]) -> list[str]:
    """A sentence for each part of the page that is left out; text between backticks is a command.

    Args:
        groups: The runs.
        sets: What they were tested on.
    """
    runs = [run for one in groups for run in one.runs]
    return [*_of_tests(runs, sets), *_of_training(runs), *_of_groups(groups)]


def _of_tests(runs: Sequence[Run], sets: Sequence[str]) -> list[str]:
    found = []
    untested = [run for run in runs if not run.results]
    if untested:
        what = "IoU of every class, confusion, calibration, IoU by brightness, worst and best pictures"
        found.append(f"{what}{_of(untested, runs)}: `{test_command(untested[0])}`.")
    results = [run.results[place] for run in runs for place in sets if place in run.results]
    if results and not any(result.scores.detail for result in results):
        found.append(
            "Calibration and IoU by brightness: `dsrnss test` with the data module of the package counts them."
        )
    elif results and not any(result.scores.detail and result.scores.detail.brightness for result in results):
        found.append("IoU by brightness: a set of 8 labelled pictures or more.")
    if results and not any(result.scenes for result in results):
        tested = next(run for run in runs if run.results)
        found.append(f"Worst and best pictures: `{test_command(tested)}` keeps them.")
    return found


def _of_training(runs: Sequence[Run]) -> list[str]:
    found = []
    logged = {name for run in runs for name in run.curves}
    if not logged:
        return ["Curves, panels, settings, versions and time: name the folder of the training run."]
    if not any(name.startswith("val/") for name in logged):
        found.append("Mean IoU while training: an experiment with labelled sets under `data.val`.")
    if not any(name.startswith("pseudo/accuracy") for name in logged):
        found.append("How right pseudo-labels are over time: a target set that has labels, such as SynthNight.")
    if not any(run.panels for run in runs):
        found.append("Panels of training steps: `--panels.every_n_steps 100` of `dsrnss fit`.")
    if not any(run.machine for run in runs):
        found.append("Versions, machine and time: `dsrnss fit` writes them into `run.json`.")
    return found


def _of_groups(groups: Sequence[Group]) -> list[str]:
    if all(len(one.runs) == 1 for one in groups):
        return ["Spread over seeds: name runs that differ only in `--seed_everything`."]
    return []


def test_command(run: Run) -> str:
    """What tests a run."""
    config, checkpoint = run.folder / SETTINGS, run.folder / "checkpoints" / "last.ckpt"
    if not config.is_file() or not checkpoint.is_file():
        return "dsrnss test --config EXPERIMENT --ckpt_path CHECKPOINT"
    return shlex.join(["dsrnss", "test", "--config", str(config), "--ckpt_path", str(checkpoint)])


def _of(some: Sequence[Run], runs: Sequence[Run]) -> str:
    return "" if len(some) == len(runs) else f" of {', '.join(run.name for run in some)}"
