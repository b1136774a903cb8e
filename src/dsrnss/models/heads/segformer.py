"""The SegFormer head (arXiv 2105.15203, section 3.2); HRDA's scale attention is one too."""

from collections.abc import Sequence

from torch import Tensor, nn

from dsrnss.models.heads.layers import ConvModule, LinearEmbedding, embedded_pointwise, initialise_classifier


class SegFormerHead(nn.Module):
    """Embed each stage, bring all to the first stage's size, fuse by a 1x1 convolution, classify.

    Args:
        in_channels: Channels of the feature maps, finest first.
        num_classes: Number of classes.
        channels: Channels of the embeddings and of the fused map.
        dropout: Dropout2d before the classifier.
    """

    def __init__(self, in_channels: Sequence[int], num_classes: int, channels: int = 256, dropout: float = 0.1) -> None:
        super().__init__()
        self.levels = len(in_channels)
        for level, inputs in enumerate(in_channels, start=1):
            self.add_module(f"linear_c{level}", LinearEmbedding(inputs, channels))
        self.linear_fuse = ConvModule(channels * self.levels, channels, 1)
        self.dropout = nn.Dropout2d(dropout)
        self.linear_pred = nn.Conv2d(channels, num_classes, 1)
        initialise_classifier(self.linear_pred)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Maps (B, C_i, H_i, W_i), finest first -> (B, num_classes, H_0, W_0) logits."""
        weights = self.linear_fuse.conv.weight.flatten(1).chunk(self.levels, dim=1)[::-1]  # coarsest first
        layers = [getattr(self, f"linear_c{level}") for level in range(1, self.levels + 1)]
        fused = self.linear_fuse.activate(embedded_pointwise(weights, layers, features))
        logits: Tensor = self.linear_pred(self.dropout(fused))
        return logits
