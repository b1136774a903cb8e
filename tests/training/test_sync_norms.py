"""Networks with batch norms over several GPUs compute what they did, and are themselves again afterwards."""

import copy

import pytest
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from dsrnss.experiment.cli import build
from dsrnss.models.config import NetworkConfig
from dsrnss.models.factory import build_segmentor
from dsrnss.training.sync_norms import SyncNorms


@pytest.mark.parametrize(
    "backbone", ["compact", "resnet50", "timm/tf_efficientnet_lite0", "timm/mobilenetv3_large_100"]
)
def test_a_network_computes_what_it_did(backbone: str) -> None:
    if backbone.startswith("timm/"):
        pytest.importorskip("timm")
    torch.manual_seed(0)
    network = build_segmentor(NetworkConfig(backbone, "fpn", 8)).eval()
    images, kinds = torch.randn(1, 3, 64, 64), [type(module) for module in network.modules()]
    expected, state = network(images).logits, copy.deepcopy(network.state_dict())
    plugin = SyncNorms()
    assert plugin.apply(network) is network
    assert all(isinstance(one, nn.SyncBatchNorm) for one in network.modules() if isinstance(one, _BatchNorm))
    torch.testing.assert_close(network(images).logits, expected)
    assert network.state_dict().keys() == state.keys()
    norm = next(one for one in network.modules() if isinstance(one, nn.SyncBatchNorm))
    norm.running_mean.add_(1)
    norm.weight.data.add_(1)
    learned = copy.deepcopy(network.state_dict())
    plugin.revert(network)
    assert [type(module) for module in network.modules()] == kinds and not network.training
    torch.testing.assert_close(dict(network.state_dict()), dict(learned), rtol=0, atol=0)


def test_experiments_use_it() -> None:
    options = ["--trainer.accelerator=cpu", "--trainer.devices=2", "--trainer.sync_batchnorm=true"]
    options += ["--trainer.logger=false", "--trainer.enable_checkpointing=false", "--model.weights=random"]
    cli = build("fit", ["synthnight/adapt.yaml"], options)
    assert isinstance(cli.trainer.strategy._layer_sync, SyncNorms)
