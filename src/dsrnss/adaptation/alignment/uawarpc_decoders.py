"""The decoders of UAWarpC: from correlations to a flow and its uncertainty (method section 7)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

CHUNKS = {"cpu": 2**9, "cuda": 2**15}
"""Pixels whose correlation images the uncertainty decoder reads at a time: as many as a cache holds, or fill a GPU."""


SLOPE = 0.1
"""Of the activation of all decoders."""


class ConvNorm(nn.Module):
    """Convolution without bias and batch norm; leaky ReLU where asked for."""

    def __init__(
        self, channels_in: int, channels: int, kernel: int, dilation: int = 1, *, padded: bool = True, act: bool = True
    ) -> None:
        super().__init__()
        padding = dilation * (kernel // 2) if padded else 0
        self.conv = nn.Conv2d(channels_in, channels, kernel, padding=padding, dilation=dilation, bias=False)
        self.bn = nn.BatchNorm2d(channels)
        self.act = act

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels_in, H, W) -> (B, channels, H', W'), smaller by kernel - 1 if not padded."""
        x = self.bn(self.conv(x))
        return F.leaky_relu_(x, SLOPE) if self.act else x


def leaky(x: Tensor) -> Tensor:
    """The activation of all decoders, where its input is needed again."""
    return F.leaky_relu(x, SLOPE)


class FlowDecoder(nn.Module):
    """Two residual blocks and an output convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv_0 = ConvNorm(channels, 128, 3, act=False)
        self.conv0_skip = ConvNorm(128, 96, 1, act=False)
        self.conv_1 = ConvNorm(128, 128, 3)
        self.conv_2 = ConvNorm(128, 96, 3, act=False)
        self.conv2_skip = ConvNorm(96, 32, 1, act=False)
        self.conv_3 = ConvNorm(96, 64, 3)
        self.conv_4 = ConvNorm(64, 32, 3, act=False)
        self.predict_mapping = nn.Conv2d(32, 2, 3, padding=1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Decode.

        Args:
            x: (B, channels, H, W) correlations and what the coarser level knows.

        Returns:
            The (B, 2, H, W) mapping or residual flow, and (B, 32, H, W) features.
        """
        first = self.conv_0(x)
        second = self.conv_2(self.conv_1(leaky(first))) + self.conv0_skip(first)
        third = self.conv_4(self.conv_3(leaky(second))) + self.conv2_skip(second)
        features = leaky(third)
        return self.predict_mapping(features), features


class FlowRefinement(nn.Module):
    """Dilated convolutions that correct a flow from a wider neighbourhood."""

    def __init__(self) -> None:
        super().__init__()
        widths = (32, 128, 128, 128, 96, 64, 32)
        dilations = (1, 2, 4, 8, 16, 1)
        convs: list[nn.Module] = [
            ConvNorm(widths[i], widths[i + 1], 3, dilation) for i, dilation in enumerate(dilations)
        ]
        self.dc_convs = nn.Sequential(*convs, nn.Conv2d(32, 2, 3, padding=1))

    def forward(self, features: Tensor) -> Tensor:
        """(B, 32, H, W) features of the flow decoder -> (B, 2, H, W) correction."""
        correction: Tensor = self.dc_convs(features)
        return correction


class UncertaintyDecoder(nn.Module):
    """Reads how peaked each pixel's correlations are.

    Args:
        size: Side of the square that a pixel's correlations form.
        context: Channels that come from elsewhere.
    """

    def __init__(self, size: int, context: int) -> None:
        super().__init__()
        self.size = size
        self.conv_0 = ConvNorm(1, 32, 3, padded=False)
        self.conv_1 = ConvNorm(32, 32, 3, padded=False)
        self.conv_2 = ConvNorm(32, 16, 3, padded=False)
        self.predict_uncertainty = nn.Conv2d(16, 6, 3)
        self.pred_conv_0 = ConvNorm(6 + context, 32, 3)
        self.pred_conv_1 = ConvNorm(32, 16, 3)
        self.predict_uncertainty_final = nn.Conv2d(16, 1, 3, padding=1)

    def forward(self, correlation: Tensor, *context: Tensor) -> Tensor:
        """Decode.

        Args:
            correlation: (B, size * size, H, W) of each pixel, row first.
            context: (B, *, H, W): features of the flow decoder, then the coarser log-variance and flow.

        Returns:
            The (B, 1, H, W) log-variance of the flow.
        """
        peaks = self.read(correlation)
        x = self.pred_conv_1(self.pred_conv_0(torch.cat((peaks, *context), 1)))
        log_variance: Tensor = self.predict_uncertainty_final(x)
        return log_variance

    def read(self, correlation: Tensor) -> Tensor:
        """(B, size * size, H, W) -> (B, 6, H, W), each pixel by itself, a chunk of pixels at a time."""
        batch, _, height, width = correlation.shape
        chunk = CHUNKS.get(correlation.device.type, CHUNKS["cpu"])
        peaks = correlation.new_empty(batch, 6, height * width)
        for image, out in zip(correlation.flatten(2), peaks, strict=True):
            for first in range(0, height * width, chunk):
                pixels = image[:, first : first + chunk].mT.reshape(-1, 1, self.size, self.size)
                out[:, first : first + chunk] = self.read_patches(pixels).flatten(1).mT
        return peaks.view(batch, 6, height, width)

    def read_patches(self, patches: Tensor) -> Tensor:
        """(N, 1, size, size) -> (N, 6, 1, 1)."""
        x = self.conv_0(patches)
        if self.size == 16:
            x = F.max_pool2d(x, 2)
        peaks: Tensor = self.predict_uncertainty(self.conv_2(self.conv_1(x)))
        return peaks
