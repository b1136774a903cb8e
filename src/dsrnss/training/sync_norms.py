"""Batch norms over the images of all GPUs (`trainer.sync_batchnorm`), those of timm among them."""

import sys

from lightning.pytorch.plugins.layer_sync import TorchSyncBatchNorm
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


class SyncNorms(TorchSyncBatchNorm):
    """Synchronises batch norms, and puts the very same ones back when training is over.

    Those of timm have the activation behind them inside, which torch's own conversion leaves out without a word.
    """

    def __init__(self) -> None:
        self._plain: dict[str, _BatchNorm] = {}

    def apply(self, model: nn.Module) -> nn.Module:
        """Put synchronised norms in the place of all batch norms of a model."""
        self._plain = {name: module for name, module in model.named_modules() if isinstance(module, _BatchNorm)}
        timm = sys.modules.get("timm.layers")  # imported by whatever has norms of timm
        convert = nn.SyncBatchNorm.convert_sync_batchnorm if timm is None else timm.convert_sync_batchnorm
        synchronised: nn.Module = convert(model)
        return synchronised

    def revert(self, model: nn.Module) -> nn.Module:
        """Put the batch norms back, with what was learned meanwhile."""
        for name, plain in self._plain.items():
            now = model.get_submodule(name)
            plain._parameters, plain._buffers = now._parameters, now._buffers
            plain.training = now.training
            model.set_submodule(name, plain)
        self._plain = {}
        return model
