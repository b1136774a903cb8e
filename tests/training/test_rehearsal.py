"""One step of every shipped experiment on a GPU that is not there: where the host would wait for it.

docs/performance.md has the list of waits before and after they were removed.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from pictures import write_day, write_night
from torch import Tensor

import dsrnss
from dsrnss.automation.experiments import night_experiment, write
from dsrnss.automation.plan import NETWORKS, choose
from dsrnss.automation.sets import labelled_set, night_set
from dsrnss.constants import _kept
from dsrnss.data import AdaptationDataModule
from dsrnss.experiment.cli import build
from dsrnss.measuring.rehearsal import Rehearsal, autocast
from dsrnss.models.config import NetworkConfig
from dsrnss.models.factory import build_segmentor
from dsrnss.training.schedule import build_optimizer
from dsrnss.training.task import AdaptationTask

CONFIGS = Path(dsrnss.__file__).parent / "configs"
EXPERIMENTS = ("cityscapes_darkzurich", "cityscapes_acdc", "synthnight")
STEP, EPOCH = 10, 10
"""Of a batch that the bank is pasted over, with all losses on."""
DRAWN = {"adaptation/mixing.py", "adaptation/masking.py"}
"""What is drawn on the host is sent in each step; nobody waits for it."""


def _experiments() -> list[Any]:
    """Every shipped experiment with a target; of those whose step is the same, one."""
    found: dict[str, Path] = {}
    for path in sorted(path for folder in EXPERIMENTS for path in (CONFIGS / folder).glob("*.yaml")):
        settings = yaml.safe_load(path.read_text())
        if "target" in settings["data"]:
            data = {key: value for key, value in settings["data"].items() if key.endswith("size")}
            found.setdefault(repr((settings["model"], data)), path)
    names = [str(path.relative_to(CONFIGS)) for path in found.values()]
    return [pytest.param(name, marks=[] if "synthnight" in name else pytest.mark.slow, id=name) for name in names]


def _built(name: str, *more: str) -> tuple[AdaptationTask, AdaptationDataModule]:
    """Task and data of an experiment, the networks without numbers."""
    options = [
        "--trainer.accelerator=cpu",
        "--trainer.devices=1",
        "--trainer.precision=32-true",
        "--model.weights=random",
    ]
    with torch.device("meta"):
        cli = build("fit", [name], [*options, "--model.backbone_weights=random", *more])
        aligner = cli.model.method.aligner
        if hasattr(aligner, "vgg_weights"):
            aligner.weights = aligner.vgg_weights = "random"
            aligner.load()
    return cli.model, cli.datamodule


def _batch(rehearsal: Rehearsal, data: AdaptationDataModule, *, flow: bool) -> dict[str, Any]:
    (height, width), number = data.crop_size, data.source_batch_size
    image = (number, 3, height, width)
    source = {"image": rehearsal.fake(image), "label": rehearsal.fake((number, height, width), torch.int64)}
    target = {"image": rehearsal.fake(image), "reference": rehearsal.fake(image)}
    if flow:
        target |= {"flow": rehearsal.fake((number, 2, height, width)), "confidence": rehearsal.fake(image)[:, :1]}
    return {"source": {**source, "present": [[0, 1, 12, 255]] * number}, "target": target}


def _ready(rehearsal: Rehearsal, name: str, *more: str) -> tuple[AdaptationTask, dict[str, Any]]:
    task, data = _built(name, *more)
    aligner = task.method.aligner
    if hasattr(aligner, "vgg_weights"):
        rehearsal.move(aligner.network)
    rehearsal.move(task)
    task.log = task.log_dict = lambda *_, **__: None  # type: ignore[assignment]
    task._trainer = type("Steps", (), {"global_step": STEP, "current_epoch": EPOCH})()  # type: ignore[assignment]
    _kept.cache_clear()
    return task.train(), _batch(rehearsal, data, flow=not hasattr(aligner, "vgg_weights"))


@pytest.fixture(autouse=True)
def no_fake_constants() -> Any:
    yield
    _kept.cache_clear()


@pytest.mark.parametrize(
    ("work", "waits", "sends"),
    [
        (lambda x: x.sum().item(), 1, 0),
        (lambda x: float(x.any()), 1, 0),
        (lambda x: x.cpu(), 1, 0),
        (lambda x: x[x > 0], 1, 0),
        (lambda x: torch.bincount(x.flatten().long()), 1, 0),
        (lambda x: x.unique(), 1, 0),
        (lambda x: x[:, [0, 1]], 1, 1),
        (lambda x: x * x.new_tensor([2.0]), 1, 1),
        (lambda x: torch.ones(2, 2).to(x.device), 1, 1),
        (lambda x: torch.ones(2, 2).to(x.device, non_blocking=True), 0, 1),
        (lambda x: x.masked_fill(x > 0, 1.0).clamp(0, 1) * 2 + torch.arange(2, device=x.device), 0, 0),
    ],
)
def test_a_rehearsal_sees_what_waits(work: Callable[[Tensor], Any], waits: int, sends: int) -> None:
    rehearsal = Rehearsal()
    tensor = rehearsal.fake((2, 2))
    with rehearsal:
        work(tensor)
    assert (sum(rehearsal.syncs.values()), sum(rehearsal.uploads.values())) == (waits, sends)


def test_a_rehearsal_refuses_what_lies_on_two_devices() -> None:
    rehearsal = Rehearsal()
    with rehearsal, pytest.raises(RuntimeError, match="device"):
        rehearsal.fake((2, 2)) + torch.ones(2, 2)


@pytest.mark.parametrize("name", _experiments())
def test_a_step_waits_for_the_gpu_once(name: str) -> None:
    rehearsal = Rehearsal()
    task, batch = _ready(rehearsal, name)
    with torch.backends.cudnn.flags(enabled=False), rehearsal:  # cudnn's grid sampler has no fake kernel
        for dtype in (None, torch.float16, torch.bfloat16):
            with autocast("cuda", dtype):
                output = task.training_step(batch, 0)
            assert output is not None and output["loss"].device.type == "cuda"
            made = sum(rehearsal.syncs.values())
            assert made == _kept.cache_info().currsize, rehearsal.syncs
            sent = [line for line in rehearsal.uploads if not line.startswith("constants.py")]
            assert {line.partition(":")[0] for line in sent} <= DRAWN, sent
            parameters = [p for p in task.student.parameters() if p.requires_grad]
            for parameter in parameters:
                parameter.grad = torch.empty_like(parameter)
            task.guard.check(task, task.student, torch.optim.SGD(parameters), STEP, scaled=False)
            assert sum(rehearsal.syncs.values()) == made + 1, rehearsal.syncs
            rehearsal.syncs.subtract({line: 1 for line in rehearsal.syncs if line.startswith("training/guard.py")})
        assert all(rehearsal.uploads[line] == 3 for line in sent), "one table a step"


@pytest.mark.parametrize(
    "option", ["prototypes.class_weights=tail", "masking.weight=1", "hrda", "augmentation.noise=0.1"]
)
def test_parts_that_no_experiment_switches_on_do_not_wait_either(option: str) -> None:
    rehearsal = Rehearsal()
    task, batch = _ready(rehearsal, "synthnight/adapt.yaml", f"--model.{option.replace('hrda', 'network.hrda=true')}")
    with torch.backends.cudnn.flags(enabled=False), rehearsal:
        task.training_step(batch, 0)
    assert sum(rehearsal.syncs.values()) == _kept.cache_info().currsize, rehearsal.syncs


@pytest.mark.parametrize("network", [name for name in NETWORKS if not name.startswith("lite0")])
def test_what_adapt_trains_waits_for_nothing(network: str, tmp_path: Path) -> None:
    day, night = labelled_set(write_day(tmp_path / "day")), night_set(write_night(tmp_path / "night"))
    given = {"network": network, "size": 96, "crop": (64, 96), "relighting": 1.0, "night_aware": 1.0}
    experiment = night_experiment(*choose(day, night, given), day, night, 0, "random")
    rehearsal = Rehearsal()
    task, batch = _ready(rehearsal, str(write(experiment, tmp_path / "adapt.yaml")))
    priors, number = task.method.priors, len(batch["source"]["image"])
    assert priors is not None
    priors.learn(rehearsal.fake(tuple(priors.counts.shape), torch.int64))
    priors._known = True  # fake numbers cannot say so; a GPU is asked once
    batch["source"]["present"] = [[0, 1, 2]] * number
    batch["target"] = {"image": batch["target"]["image"], "box": rehearsal.fake((number, 4))}
    with torch.backends.cudnn.flags(enabled=False), rehearsal:
        for dtype in (None, torch.float16, torch.bfloat16):
            with autocast("cuda", dtype):
                task.training_step(batch, 0)
    assert sum(rehearsal.syncs.values()) == _kept.cache_info().currsize, rehearsal.syncs
    sent = {line.partition(":")[0] for line in rehearsal.uploads if not line.startswith("constants.py")}
    assert sent == {"adaptation/mixing.py", "adaptation/night_aware.py", "adaptation/relighting.py"}


@pytest.mark.parametrize("hrda", [False, True])
def test_a_large_picture_by_windows_waits_for_nothing(hrda: bool) -> None:
    rehearsal, network = Rehearsal(), build_segmentor(NetworkConfig("mit_b0", "daformer", 16, hrda=hrda)).eval()
    rehearsal.move(network)
    images = rehearsal.fake((1, 3, 270, 480))
    for dtype in (None, torch.float16, torch.bfloat16):
        with torch.no_grad(), rehearsal, autocast("cuda", dtype):
            logits = network.predict(images, "slide", (270, 270), (105, 105))
        assert (logits.shape, logits.dtype, logits.device.type) == ((1, 19, 270, 480), torch.float32, "cuda")
    assert not rehearsal.syncs and not rehearsal.uploads


@pytest.mark.parametrize("name", _experiments())
def test_backward_and_the_optimisers_step(name: str) -> None:
    rehearsal = Rehearsal("cpu")  # the autograd engine asks for the driver of a GPU
    task, batch = _ready(rehearsal, name)
    optimizer, _ = build_optimizer(task.student, task.optimizer_config, task.schedule_config, fused=True)
    with rehearsal:
        with autocast("cpu", torch.bfloat16):
            output = task.training_step(batch, 0)
        assert output is not None
        output["loss"].backward()
        optimizer.step()
    gradients = {name: p.grad for name, p in task.student.named_parameters() if p.requires_grad}
    assert all(gradient is not None for gradient in gradients.values())
    assert all(gradient.dtype == torch.float32 for gradient in gradients.values())
