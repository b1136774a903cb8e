"""VGG-16 (arXiv 1409.1556) without its classifier, with torchvision's key names: the aligner's features."""

from collections.abc import Collection

import torch
from torch import Tensor, nn

STAGES = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
"""Output channels of the convolutions before each max pool."""


class VGG16(nn.Module):
    """Thirteen 3x3 convolutions and five max pools."""

    channels = tuple(stage[-1] for stage in STAGES)

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inputs = 3
        for stage in STAGES:
            for outputs in stage:
                conv = nn.Conv2d(inputs, outputs, 3, padding=1)
                nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
                layers += [conv, nn.ReLU(inplace=True)]
                inputs = outputs
            layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)

    def forward(self, images: Tensor, pools: Collection[int] = (1, 2, 3, 4, 5)) -> list[Tensor]:
        """Encode images; nothing is computed beyond the last pool that is asked for.

        Args:
            images: (B, 3, H, W) normalised RGB.
            pools: Which max pools' outputs to return, from 1 to 5; pool i has stride 2 ** i.

        Returns:
            Feature maps (B, C_i, H // 2 ** i, W // 2 ** i), finest first.
        """
        features, outputs, pool = images, [], 0
        for layer in self.features:
            if not isinstance(layer, nn.MaxPool2d):
                features = layer(features)
            else:
                features = _largest_of_four(features) if features.is_cpu else layer(features)
                pool += 1
                if pool in pools:
                    outputs.append(features)
                if pool == max(pools):
                    break
        return outputs


def _largest_of_four(features: Tensor) -> Tensor:
    """What `MaxPool2d(2)` gives; on a CPU in a tenth of its time, since it looks for no indices."""
    rows = torch.maximum(features[:, :, :-1:2], features[:, :, 1::2])
    return torch.maximum(rows[..., :-1:2], rows[..., 1::2])
