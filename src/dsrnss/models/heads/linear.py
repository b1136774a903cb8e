"""A linear head: each map is normalised and classified, and the scores are added, as DINOv2 is measured."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from dsrnss.models.heads.layers import initialise_classifier, resize_to_first


class LinearHead(nn.Module):
    """Batch norm and a 1x1 convolution on each map, summed at the size of the first.

    That is a linear classifier of all maps side by side, without the memory that these would take at one size.

    Args:
        in_channels: Channels of the feature maps, finest first.
        num_classes: Number of classes.
        dropout: Dropout2d before the classifiers.
    """

    def __init__(self, in_channels: Sequence[int], num_classes: int, dropout: float = 0.1) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.BatchNorm2d(channels) for channels in in_channels)
        self.dropout = nn.Dropout2d(dropout)
        # one bias is enough
        layers = [nn.Conv2d(channels, num_classes, 1, bias=level == 0) for level, channels in enumerate(in_channels)]
        for layer in layers:
            initialise_classifier(layer)
        self.classifiers = nn.ModuleList(layers)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Maps (B, C_i, H_i, W_i), finest first -> (B, num_classes, H_0, W_0) logits."""
        scores = [
            classifier(self.dropout(norm(feature)))
            for norm, classifier, feature in zip(self.norms, self.classifiers, features, strict=True)
        ]
        return torch.stack(resize_to_first(scores)).sum(0)
