"""Backbone and head behind one `forward`, whole-image and sliding-window prediction."""

import math
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from numbers import Integral
from typing import Any, Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dsrnss.errors import ConfigError, did_you_mean
from dsrnss.models.backbones.compact import COMPACT_VARIANTS, CompactNet
from dsrnss.models.backbones.mit import MIT_VARIANTS, MixTransformer
from dsrnss.models.backbones.resnet import RESNET_VARIANTS, ResNet
from dsrnss.models.heads.daformer import DAFormerHead
from dsrnss.models.heads.deeplabv2 import DeepLabV2Head
from dsrnss.models.heads.fpn import FPNHead
from dsrnss.models.heads.refinenet import RefineNetHead
from dsrnss.models.heads.segformer import SegFormerHead
from dsrnss.models.network_values import checked_values, is_whole


@dataclass(frozen=True)
class NetworkConfig:
    """What a network is made of; it is stored beside its weights.

    Args:
        backbone: `mit_b0` to `mit_b5`; `resnet18_v1c`, `resnet50_v1c`, `resnet101_v1c` (deep stem) or the same without
            `_v1c` (torchvision's stem); `compact` (a small convolutional encoder for CPUs).
        head: `daformer`, `segformer`, `deeplabv2`, `refinenet`, or `fpn` (a light one for CPUs).
        head_channels: Channels inside the head; `deeplabv2` and `refinenet` have none to choose.
        num_classes: Number of classes.
        drop_path: Stochastic depth of the backbone's last block.
        dropout: Dropout2d before the classifier; `deeplabv2` has none, `refinenet` its own of 0.5.
        hrda: Fuse a wide low-resolution and a narrow high-resolution view (HRDA).
        strides: Of the four stages of a ResNet; None: 1, 2, 1, 1 under the DeepLabV2 head, else 1, 2, 2, 2.
        dilations: Of the four stages of a ResNet; None: 1, 1, 2, 4 under the DeepLabV2 head, else 1, 1, 1, 1.
    """

    backbone: str = "mit_b5"
    head: str = "daformer"
    head_channels: int = 256
    num_classes: int = 19
    drop_path: float = 0.1
    dropout: float = 0.1
    hrda: bool = False
    strides: tuple[int, int, int, int] | None = None
    dilations: tuple[int, int, int, int] | None = None

    def to_dict(self) -> dict[str, Any]:
        """The configuration as plain values, for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "NetworkConfig":
        """The inverse of `to_dict`.

        Raises:
            CheckpointError: If a key is unknown (the file was written by a newer version), or a value is of the wrong
                type or out of its range.
        """
        return cls(**checked_values(values, cls.__dataclass_fields__))


class Detail(NamedTuple):
    """The high-resolution view of a training pass of HRDA.

    Attributes:
        logits: (B, C, h, w) class scores of the detail crop, at the head's resolution.
        box: Top, left, height and width of the crop in pixels of the image.
    """

    logits: Tensor
    box: tuple[int, int, int, int]


class SegmentorOutput(NamedTuple):
    """What a forward pass gives.

    Attributes:
        logits: (B, C, h, w) class scores at the head's resolution (stride 4; DeepLabV2: 8).
        features: The backbone's maps, finest first; of HRDA those of the context.
        detail: The high-resolution view, if HRDA was given a crop.
    """

    logits: Tensor
    features: list[Tensor]
    detail: Detail | None = None


def _mit(config: NetworkConfig) -> MixTransformer:
    return MixTransformer(config.backbone, config.drop_path)


def _compact(config: NetworkConfig) -> CompactNet:
    return CompactNet(config.backbone)


def _resnet(config: NetworkConfig) -> ResNet:
    dilated = config.head == "deeplabv2"
    strides = config.strides or ((1, 2, 1, 1) if dilated else (1, 2, 2, 2))
    dilations = config.dilations or ((1, 1, 2, 4) if dilated else (1, 1, 1, 1))
    return ResNet(config.backbone, strides, dilations)


BACKBONES: dict[str, Callable[[NetworkConfig], nn.Module]] = {
    **dict.fromkeys(MIT_VARIANTS, _mit),
    **dict.fromkeys(COMPACT_VARIANTS, _compact),
    **dict.fromkeys(RESNET_VARIANTS, _resnet),
}
HEADS: dict[str, Callable[[Sequence[int], int, int, float], nn.Module]] = {
    "daformer": DAFormerHead,
    "deeplabv2": DeepLabV2Head,
    "fpn": FPNHead,
    "refinenet": RefineNetHead,
    "segformer": SegFormerHead,
}


def list_models() -> list[str]:
    """Names of the backbones that `NetworkConfig.backbone` takes."""
    return list(BACKBONES)


def build_segmentor(config: NetworkConfig) -> "Segmentor":
    """Build a network with fresh weights.

    Raises:
        ConfigError: If the backbone or the head is unknown, or they do not go together.
    """
    for kind, name, known in (("backbone", config.backbone, BACKBONES), ("head", config.head, HEADS)):
        if name not in known:
            raise ConfigError(f"Unknown {kind} '{name}'.{did_you_mean(name, known)}")
    if not config.hrda:
        return Segmentor(config)
    if config.head == "deeplabv2":
        raise ConfigError("HRDA needs a head whose logits have stride 4, which 'deeplabv2' has not: use 'daformer'.")
    from dsrnss.models.hrda import HRDA

    return HRDA(config)


class Segmentor(nn.Module):
    """A semantic segmentation network.

    Args:
        config: What it is made of.
    """

    smallest_side = 32
    """`predict` repeats the edge of pictures with fewer pixels a side: the last stage has stride 32."""
    multiple = 1
    """`predict` pads pictures by their edge to a multiple of this."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        self.backbone = BACKBONES[config.backbone](config)
        channels: tuple[int, ...] = self.backbone.channels  # type: ignore[assignment]
        self.head = HEADS[config.head](channels, config.num_classes, config.head_channels, config.dropout)

    def view(self, images: Tensor) -> Tensor:
        """What the backbone sees of a batch: (B, 3, H, W) -> the same; HRDA halves it."""
        return images

    def encode(self, images: Tensor) -> list[Tensor]:
        """The backbone's maps of a batch (B, 3, H, W), finest first; of HRDA those of the context."""
        features: list[Tensor] = self.backbone(self.view(images))
        return features

    def forward(self, images: Tensor, detail_box: tuple[int, int] | None = None) -> SegmentorOutput:
        """Segment a batch.

        Args:
            images: (B, 3, H, W) ImageNet-normalised RGB.
            detail_box: Only of HRDA, see there.

        Returns:
            Logits at the head's resolution and the backbone's feature maps.
        """
        features = self.encode(images)
        return SegmentorOutput(self.head(features), features)

    def predict(
        self,
        images: Tensor,
        mode: Literal["whole", "slide"] = "whole",
        window: tuple[int, int] | None = None,
        stride: tuple[int, int] | None = None,
        window_batch: int = 1,
    ) -> Tensor:
        """Logits at the images' own size.

        Args:
            images: (B, 3, H, W) normalised RGB of any size; below `smallest_side` its edge is repeated.
            mode: `whole`, or `slide` for overlapping windows whose logits are averaged (method section 2).
            window: Height and width of a window in pixels; needed to slide.
            stride: Vertical and horizontal distance of two windows in pixels, no more than the window; by default half
                a window.
            window_batch: How many windows pass the network at once.

        Returns:
            (B, C, H, W) float32 logits.

        Raises:
            ConfigError: If `mode` is `slide` without a window, a number is not positive, or pixels would lie between
                the windows.
        """
        if mode == "whole":
            return self._predict_whole(images)
        if mode != "slide":
            raise ConfigError(f"Unknown inference mode '{mode}'.{did_you_mean(mode, ('whole', 'slide'))}")
        if window is None:
            raise ConfigError("mode='slide' needs a window, for example window=(1080, 1080).")
        window = pixel_pair("window", window)
        stride = pixel_pair("stride", stride or (max(window[0] // 2, 1), max(window[1] // 2, 1)))
        if window_batch < 1:
            raise ConfigError(f"window_batch is positive, not {window_batch}.")
        return self._predict_sliding(images, window, stride, window_batch)

    def _predict_whole(self, images: Tensor) -> Tensor:
        height, width = images.shape[-2:]
        padded = pad_image(images, self.smallest_side, self.multiple)
        logits = F.interpolate(
            self(padded).logits.float(), size=padded.shape[-2:], mode="bilinear", align_corners=False
        )
        return logits[..., :height, :width]

    def _predict_sliding(
        self, images: Tensor, window: tuple[int, int], stride: tuple[int, int], window_batch: int
    ) -> Tensor:
        batch, _, height, width = images.shape
        size = (min(window[0], height), min(window[1], width))
        if any(part < full and step > part for part, full, step in zip(size, (height, width), stride, strict=True)):
            raise ConfigError(f"stride {stride} leaves gaps between windows of {size}: give a stride up to the window.")
        total = images.new_zeros((batch, self.config.num_classes, height, width), dtype=torch.float32)
        count = images.new_zeros((1, 1, height, width), dtype=torch.float32)
        boxes = list(window_boxes((height, width), size, stride))
        for start in range(0, len(boxes), window_batch):
            chosen = boxes[start : start + window_batch]
            crops = torch.cat([images[..., y : y + size[0], x : x + size[1]] for y, x in chosen])
            for (y, x), logits in zip(chosen, self._predict_whole(crops).split(batch), strict=True):
                total[..., y : y + size[0], x : x + size[1]] += logits
                count[..., y : y + size[0], x : x + size[1]] += 1
        return total.div_(count)


def pixel_pair(name: str, value: object) -> tuple[int, int]:
    """A height and a width.

    Args:
        name: What it is, for messages.
        value: What a user gave.

    Raises:
        ConfigError: If that is no pair of positive whole numbers.
    """
    if isinstance(value, (list, tuple)) and len(value) == 2:
        height, width = (
            int(side) if isinstance(side, Integral) and not isinstance(side, bool) else side for side in value
        )
        if is_whole(height, 1, sys.maxsize) and is_whole(width, 1, sys.maxsize):
            return height, width
    raise ConfigError(f"{name} is a height and a width in pixels, for example (1080, 1080), not {value!r}.")


def split_output(output: SegmentorOutput, sizes: Sequence[int]) -> list[SegmentorOutput]:
    """Take the output of a joined batch apart.

    Args:
        output: Of the joined batch.
        sizes: Images of each part.
    """
    logits = output.logits.split(list(sizes))
    features = zip(*(feature.split(list(sizes)) for feature in output.features), strict=True)
    details: Sequence[Detail | None] = [None] * len(sizes)
    if output.detail is not None:
        details = [Detail(part, output.detail.box) for part in output.detail.logits.split(list(sizes))]
    return [SegmentorOutput(lo, list(f), d) for lo, f, d in zip(logits, features, details, strict=True)]


def pad_image(images: Tensor, smallest: int, multiple: int = 1) -> Tensor:
    """Repeat the right and lower edge of pictures whose sides are too small or no multiple of a number.

    Args:
        images: (B, 3, H, W).
        smallest: Least side in pixels.
        multiple: Of what the sides must be a multiple.
    """
    right, bottom = (-(-max(side, smallest) // multiple) * multiple - side for side in images.shape[:-3:-1])
    return F.pad(images, (0, right, 0, bottom), mode="replicate") if right or bottom else images


def window_boxes(size: tuple[int, int], window: tuple[int, int], stride: tuple[int, int]) -> Iterator[tuple[int, int]]:
    """Upper left corners (row, column) of sliding windows, row first; the last ones are moved inside the image."""
    rows, columns = (
        [min(i * s, full - part) for i in range(max(math.ceil((full - part) / s), 0) + 1)]
        for full, part, s in zip(size, window, stride, strict=True)
    )
    for row in rows:
        for column in columns:
            yield row, column
