"""`adapt` on tiny folders: what it leaves, that it goes on where it was stopped, and what it refuses."""

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from dataclasses import asdict, replace

import pytest
import torch
from pictures import write_day, write_night
from PIL import Image

import dsrnss
from dsrnss.automation import plan as plan_module
from dsrnss.automation import run
from dsrnss.automation.request import Request
from dsrnss.errors import ConfigError, DataError, UsageError
from dsrnss.models.weights import load_pretrained
from dsrnss.models.weights.registry import PHOTO_MODEL

TINY = {"network": "compact", "size": 0, "crop": (64, 96), "batch": 4, "day_steps": 4, "steps": 8, "device": "cpu"}
WORDS = [
    word for key, value in TINY.items() for word in (f"--{key.replace('_', '-')}", *str(value).strip("()").split(", "))
]


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_day(tmp_path / "day")
    write_night(tmp_path / "night")
    return tmp_path


class TestPackagedStart:
    """What has only SynthNight to learn from begins with the network that has learned from it."""

    @pytest.fixture(autouse=True)
    def timm(self):
        pytest.importorskip("timm")

    def plan(self, here, earlier=None, **options):
        request = Request("synthnight", str(here / "night"), device="cpu", crop=(64, 96), **options)
        return run._Adaptation(request, here / "run")._plan(earlier)

    def test_it_is_the_start(self, here):
        plan, network, start = self.plan(here)
        assert (plan.network, start, plan.day_steps, plan.size) == (PHOTO_MODEL, PHOTO_MODEL, 0, 256)
        assert network.parts.backbone == "timm/tf_efficientnet_lite0"
        again, _, start = self.plan(here, asdict(plan))
        assert (again, start) == (plan, PHOTO_MODEL), "a run that goes on keeps it"

    def test_without_timm_it_cannot_be(self, here, monkeypatch):
        monkeypatch.setattr(run, "find_spec", lambda _: None)
        monkeypatch.setattr(plan_module, "fitting_network", lambda _: "compact")
        assert self.plan(here)[2] is None

    @pytest.mark.parametrize("asked", [{"network": "compact"}, {"size": 192}, {"day_steps": 100}])
    def test_who_asks_for_another_trains_it(self, here, monkeypatch, asked):
        monkeypatch.setattr(plan_module, "fitting_network", lambda _: "compact")
        plan, _, start = self.plan(here, **asked)
        assert start is None and plan.day_steps > 0

    def test_labelled_photographs_are_learned_from(self, here):
        request = Request(str(here / "day"), str(here / "night"), network="compact", size=0, crop=(64, 96))
        assert run._Adaptation(request, here / "run")._plan(None)[2] is None


@pytest.mark.slow
def test_what_it_leaves(here):
    found = dsrnss.adapt("day", "night", "run", **TINY)
    model = load_pretrained(found.model)
    assert model.label_space.names == ("ground", "thing", "sky")
    assert model.card["image_height"] == 96, "by which pictures of any size are brought to that of the training"
    assert found.numbers["scores"] == {} and set(found.numbers["unlabelled"]) == {"source-only", "adapted"}
    shares = found.numbers["unlabelled"]["adapted"]["shares"]
    assert sum(shares.values()) == pytest.approx(1)
    page = found.report.read_text()
    assert "Nothing at night has labels" in page and page.count("<img") == 8 * 3
    assert {curve["name"] for curve in found.numbers["curves"]} >= {"source loss", "mixed loss"}
    # the experiment alone repeats it, to the last bit
    command = [
        sys.executable,
        "-m",
        "dsrnss",
        "fit",
        "--config",
        "run/config.yaml",
        "--trainer.default_root_dir",
        "again",
    ]
    subprocess.run(command, check=True, capture_output=True)
    (kept,) = (here / "again").rglob("best.safetensors")
    again = load_pretrained(kept).segmentor.state_dict()
    assert all(torch.equal(value, again[key]) for key, value in model.segmentor.state_dict().items())


@pytest.mark.slow
def test_labelled_nights_choose_and_score(here):
    write_day(here / "val", 3)
    found = dsrnss.adapt("day", "night", "run", val="val", **{**TINY, "size": 80})
    night = next(curve for curve in found.numbers["curves"] if curve["group"] == "night")
    chosen = max(value for _, value in night["points"])
    assert 100 * found.numbers["scores"]["adapted"]["mean_iou"] == pytest.approx(chosen), "by what it was chosen"
    assert set(found.numbers["scores"]) == {"source-only", "adapted"}
    page = found.report.read_text()
    assert "measured on 3 labelled night pictures" in page and "chose the network" in page


@pytest.mark.slow
def test_references_are_aligned_once(here):
    write_night(here / "by_day")
    dsrnss.adapt("day", "night", "run", refs="by_day", **TINY)
    assert "AlignedPairs" in (here / "run" / "config.yaml").read_text()


@pytest.mark.slow
def test_weights_that_know_the_classes_need_no_training_by_day(here):
    first = dsrnss.adapt("day", "night", "first", **TINY)
    given = {**TINY, "network": None, "weights": str(first.model)}
    dsrnss.adapt("day", "night", "second", **given)
    assert not (here / "second" / "day.safetensors").exists()


def start(*more: str) -> subprocess.Popen:
    command = [sys.executable, "-m", "dsrnss", "adapt", "day", "night", "--out", "run", *WORDS, *more]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True)


@pytest.mark.slow
def test_the_same_command_goes_on_where_it_was_stopped(here):
    dsrnss.adapt("day", "night", "whole", **TINY)
    for stage, number in (("day", signal.SIGKILL), ("config", signal.SIGINT)):
        process = start()
        checkpoint = f"lightning_logs/{stage}/*/checkpoints/last.ckpt"
        while process.poll() is None and not list((here / "run").rglob(checkpoint)):
            time.sleep(0.01)
        os.killpg(process.pid, number)
        _, said = process.communicate(timeout=120)
        assert process.returncode == (-9 if number == signal.SIGKILL else 130), said
    process = start()
    _, said = process.communicate(timeout=300)
    assert process.returncode == 0, said
    ours, theirs = (load_pretrained(here / run / "model").segmentor.state_dict() for run in ("run", "whole"))
    assert all(torch.equal(value, theirs[key]) for key, value in ours.items())


def test_a_run_that_goes_on_keeps_its_choices_whatever_the_machine_has_by_now(here, monkeypatch):
    request = Request(str(here / "day"), str(here / "night"))
    first = run._Adaptation(request, here)
    plan = first._plan(None)[0]
    first._remember(replace(plan, network="compact", crop=(64, 96)))
    monkeypatch.setattr("dsrnss.automation.plan.fitting_network", lambda _: "mit_b5")
    again = run._Adaptation(request, here)
    kept, network, _ = again._plan(again._earlier_plan())
    assert kept == replace(plan, network="compact", crop=(64, 96)) and network.parts.backbone == "compact"


def test_paths_are_options_too_and_the_command_can_be_typed(here, monkeypatch):
    asked = []
    monkeypatch.setattr(run._Adaptation, "run", lambda self: asked.append(self))
    write_day(here / "my val", 3)
    for _ in range(2):
        dsrnss.adapt(here / "day", here / "night", here / "run", val=here / "my val", crop=[64, 96], source=[])
        asked[-1]._remember(asked[-1]._plan(asked[-1]._earlier_plan())[0])
    words = shlex.split(asked[-1]._command())
    assert words[words.index("--val") + 1] == str(here / "my val") and words[-2:] == ["64", "96"]


def test_a_folder_of_another_run_is_refused(here):
    (here / "run").mkdir()
    request = {"day": "elsewhere", "night": str(here / "night")}
    (here / "run" / "adapt.json").write_text(json.dumps({"request": request, "plan": {}}))
    with pytest.raises(UsageError, match=r"holds a run with other options.*day was elsewhere"):
        dsrnss.adapt("day", "night", "run")


def test_what_failed_before_it_learned_is_put_right_in_the_same_folder(here, monkeypatch):
    monkeypatch.setattr(run._Adaptation, "_fit", lambda *_: (_ for _ in ()).throw(ConfigError("too large a crop")))
    with pytest.raises(ConfigError):
        dsrnss.adapt("day", "night", "run", **TINY)
    with pytest.raises(ConfigError):
        dsrnss.adapt("day", "night", "run", **TINY | {"crop": (32, 64)})
    (here / "run" / "day.safetensors").write_bytes(b"learned")
    with pytest.raises(ConfigError):
        dsrnss.adapt("day", "night", "run", **TINY)
    with pytest.raises(UsageError, match="holds a run with other options"):
        dsrnss.adapt("day", "night", "run", **TINY | {"crop": (32, 64)})


def test_kinds_that_no_training_can_live_with_are_not_offered(here):
    Image.new("RGB", (128, 96), "red").save(here / "night" / "3.jpg")
    with pytest.raises(DataError, match=r"(?s)3.jpg.*accept a kind of problem: --allow one-colour"):
        dsrnss.adapt("day", "night", "run", **TINY)


def test_files_with_problems_are_named_before_anything_is_trained(here):
    (here / "night" / "3.jpg").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"(?s)3.jpg.*Mend them, or take"):
        dsrnss.adapt("day", "night", "run", **TINY)
    assert list((here / "run").iterdir()) == []


def test_an_unknown_option():
    with pytest.raises(UsageError, match=r"no option 'stpes'"):
        dsrnss.adapt("day", "night", stpes=3)
