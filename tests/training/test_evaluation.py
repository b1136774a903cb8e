"""Measuring and predicting with a network on a GPU that is not there."""

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from dsrnss.automation.findings import Found
from dsrnss.constants import forget_constants
from dsrnss.data import SynthNight
from dsrnss.labels import CITYSCAPES
from dsrnss.measuring.rehearsal import Rehearsal, autocast
from dsrnss.models.config import NetworkConfig
from dsrnss.models.factory import build_segmentor
from dsrnss.models.segmentor import Segmentor
from dsrnss.reporting.content import ADAPTED, SOURCE_ONLY
from dsrnss.training.callbacks.best_network import _evaluating
from dsrnss.training.evaluation import InferenceConfig, evaluate, predict
from dsrnss.training.label_free import label_free


@pytest.fixture(autouse=True)
def no_fake_constants() -> Iterator[None]:
    forget_constants()
    yield
    forget_constants()


def on_gpu(rehearsal: Rehearsal) -> Segmentor:
    network = build_segmentor(NetworkConfig("compact", "fpn", 8)).eval()
    rehearsal.move(network)
    return network


def test_pictures_go_where_the_network_is() -> None:
    rehearsal, night = Rehearsal(), SynthNight("val", length=3, size=(64, 128))
    network = on_gpu(rehearsal)
    with torch.backends.cudnn.flags(enabled=False), rehearsal:
        assert evaluate(network, night, 2).confusion.shape == (19, 19)
        assert [labels.shape for labels in predict(network, night, [0, 2])] == [(64, 128)] * 2


def test_the_networks_of_adapt_are_compared_where_they_are() -> None:
    rehearsal, night = Rehearsal(), SynthNight("val", length=2, size=(64, 128))
    networks = {SOURCE_ONLY: on_gpu(rehearsal), ADAPTED: on_gpu(rehearsal)}
    with torch.backends.cudnn.flags(enabled=False), rehearsal:
        found = Found.measure(networks, CITYSCAPES, night, night, night)
    assert found.scores.keys() == found.unlabelled.keys() == networks.keys() and len(found.panels) == 2


@pytest.mark.parametrize("dtype", [None, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("evaluate", ["student", "teacher"])
@pytest.mark.parametrize("mode", ["whole", "slide"])
def test_validation_test_and_prediction_while_training(
    dtype: torch.dtype | None, evaluate: str, mode: Any, task: Callable[..., Any]
) -> None:
    rehearsal, window = Rehearsal(), (32, 48) if mode == "slide" else None
    model = task(evaluate=evaluate, inference=InferenceConfig(mode, window)).train()
    rehearsal.move(model)
    model._device = rehearsal.device
    model._trainer = SimpleNamespace(datamodule=None)
    labels = rehearsal.fake((2, 96, 192), torch.int64)
    batch = {"image": rehearsal.fake((2, 3, 48, 96)), "label": labels, "invalid": rehearsal.fake((2, 96, 192))}
    batch |= {"name": ["a", "b"], "index": rehearsal.fake((2,), torch.int64)}
    with torch.backends.cudnn.flags(enabled=False), rehearsal, torch.inference_mode():
        with autocast("cuda", dtype):
            for stage in ("val", "test"):
                model._start(stage, 1)
                model._count(batch, 0)
                assert model._evaluation.scores().keys() == {"0"}
            found = model.predict_step({**batch, "size": torch.tensor([[96, 192], [90, 180]])}, 0)
        with _evaluating(model) as network:
            label_free(network, [batch["image"]], 19)
    assert [one.confidence.shape for one in found] == [(96, 192), (90, 180)]
