"""The DeepLabV2 head (arXiv 1606.00915, section 3.2): a classifier of four dilations on the last feature map."""

from collections.abc import Sequence

from torch import Tensor, nn

from dsrnss.models.heads.layers import initialise_classifier

DILATIONS = (6, 12, 18, 24)


class DeepLabV2Head(nn.Module):
    """The sum of four dilated 3x3 convolutions, each of which classifies.

    Args:
        in_channels: Channels of the feature maps, finest first; only the last map is used.
        num_classes: Number of classes.
    """

    def __init__(self, in_channels: Sequence[int], num_classes: int) -> None:
        super().__init__()
        self.conv2d_list = nn.ModuleList(
            nn.Conv2d(in_channels[-1], num_classes, 3, padding=dilation, dilation=dilation) for dilation in DILATIONS
        )
        self.conv2d_list.apply(_initialise)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Maps (B, C_i, H_i, W_i), finest first -> (B, num_classes, H, W) logits of the last map's size."""
        first, *others = self.conv2d_list
        logits: Tensor = first(features[-1])
        for conv in others:
            logits = logits + conv(features[-1])
        return logits


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d):
        initialise_classifier(module)
