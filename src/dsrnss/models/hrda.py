"""HRDA: a wide low-resolution and a narrow high-resolution view, fused by a learned attention.

Hoyer et al., arXiv 2204.13132; method section 2.
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import product

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from dsrnss.errors import ConfigError
from dsrnss.models.batching import in_batches
from dsrnss.models.config import NetworkConfig
from dsrnss.models.contract import channels_of
from dsrnss.models.grid import divided_up
from dsrnss.models.heads.segformer import SegFormerHead
from dsrnss.models.segmentor import Detail, Segmentor, SegmentorOutput
from dsrnss.models.windows import pad_image

HEAD_STRIDE = 4
"""Pixels a position of the logits."""
OFFSET_STEP = 2 * HEAD_STRIDE
"""Detail crops begin at multiples of this many pixels, so that they lie on the grid of the context's logits."""


def detail_offset(size: tuple[int, int], generator: torch.Generator, *, official: bool = False) -> tuple[int, int]:
    """Draw where the detail crop of a training pass lies.

    Args:
        size: (height, width) of the images in pixels; the crop has half of each.
        generator: Where the draw comes from: row, then column.
        official: Never draw the last offset, like the authors' code.

    Returns:
        Top and left in pixels, multiples of 8.
    """
    top, left = (
        int(torch.randint(count, (), generator=generator)) * OFFSET_STEP for count in offset_counts(size, official)
    )
    return top, left


def offset_counts(size: tuple[int, int], official: bool = False) -> list[int]:
    """How many rows and columns a detail crop of images of this (height, width) can begin at."""
    return [max((side - side // 2) // OFFSET_STEP + (not official), 1) for side in size]


class HRDA(Segmentor):
    """A backbone and a head that see each image twice, and the scale attention that fuses both.

    The context is the whole image at half resolution, the detail a crop of half its height and width at full
    resolution; both pass the network as one batch.

    Args:
        config: What it is made of.
        backbone: As of a `Segmentor`.
        head: As of a `Segmentor`; its logits have stride 4.
    """

    smallest_side = 64

    def __init__(self, config: NetworkConfig, backbone: nn.Module, head: nn.Module) -> None:
        super().__init__(config, backbone, head)
        self._steps = 2
        self._detailed: int | None = None
        # both views have half the sides of the image
        self.multiple = math.lcm(OFFSET_STEP, 2 * self.multiple)
        self.hrda_scale_attention = SegFormerHead(
            channels_of(backbone), config.num_classes, config.head_channels, config.dropout
        )

    @contextmanager
    def tiled(self, detailed: int | None = None) -> Iterator[None]:
        """Inside the block, images are covered by four detail crops side by side, not by nine that overlap by half.

        Args:
            detailed: How many images of a batch are, the first ones; the others are seen in context alone.
        """
        self._steps, self._detailed = 1, detailed
        try:
            yield
        finally:
            self._steps, self._detailed = 2, None

    def view(self, images: Tensor) -> Tensor:
        """The context: (B, 3, H, W) -> (B, 3, H / 2, W / 2)."""
        height, width = images.shape[-2:]
        return F.interpolate(images, (height // 2, width // 2), mode="bilinear", align_corners=False)

    def forward(self, images: Tensor, detail_box: tuple[int, int] | None = None) -> SegmentorOutput:
        """Segment a batch.

        Args:
            images: (B, 3, H, W) ImageNet-normalised RGB.
            detail_box: Top and left, in pixels and multiples of 8, of the one detail crop of a training pass. None:
                overlapping detail crops that cover the image, as in evaluation and for the teacher.

        Returns:
            Fused logits at stride 4, the context's feature maps and, of a training pass, the detail's logits.
        """
        if detail_box is not None:
            return self._train_pass(images, detail_box)
        output = self._cover(pad_image(images, self.smallest_side, self.multiple))
        return output._replace(logits=_on_grid(output.logits, images))

    def _train_pass(self, images: Tensor, offset: tuple[int, int]) -> SegmentorOutput:
        (top, left), (height, width) = offset, (side // 2 for side in images.shape[-2:])
        crop = images[..., top : top + height, left : left + width]
        features = self.features_of(torch.cat((self.view(images), crop)))
        logits, detail = self._logits(features, crop).chunk(2)
        context = [feature[: len(images)] for feature in features]
        attention = self._attention(context)
        inside = torch.zeros_like(attention[:1, :1])
        rows, columns = (
            slice(start // OFFSET_STEP, (start + side) // OFFSET_STEP) for start, side in ((top, height), (left, width))
        )
        inside[..., rows, columns] = 1
        fused = _fuse(logits, _paste([detail], [offset], _double(logits.shape)), attention * inside)
        return SegmentorOutput(_on_grid(fused, images), context, Detail(detail, (top, left, height, width)))

    def _cover(self, images: Tensor) -> SegmentorOutput:
        """Whole images by a grid of detail crops."""
        height, width = (side // 2 for side in images.shape[-2:])
        rows, columns = ([side * i // self._steps for i in range(self._steps + 1)] for side in (height, width))
        offsets = list(product(rows, columns))
        detailed = images if self._detailed is None else images[: self._detailed]
        crops = [detailed[..., y : y + height, x : x + width] for y, x in offsets]
        if any(isinstance(module, _BatchNorm) and module.training for module in self.modules()):
            # batch statistics: all views must be one batch
            features = self.features_of(torch.cat((self.view(images), *crops)))
            sizes = [len(images), *[len(detailed)] * len(crops)]
            logits, *details = self._logits(features, crops[0]).split(sizes)
            features = [feature[: len(images)] for feature in features]
        else:
            features = self.encode(images)
            logits = self._logits(features, crops[0])
            details = [*in_batches(lambda views: self._logits(self.features_of(views), crops[0]), crops)]
        pasted = _paste(details, offsets, _double(logits.shape))
        if self._detailed is None:
            return SegmentorOutput(_fuse(logits, pasted, self._attention(features)), features)
        attention = self._attention([feature[: len(detailed)] for feature in features])
        fused = _fuse(logits[: len(detailed)], pasted, attention)
        return SegmentorOutput(torch.cat((fused, _enlarged(logits[len(detailed) :]))), features)

    def _logits(self, features: list[Tensor], images: Tensor) -> Tensor:
        logits = self.logits_of(features)
        if logits.shape[-2:] != _grid(images):
            raise ConfigError(
                f"HRDA needs a head whose logits have stride {HEAD_STRIDE}: {type(self.head).__name__} returned "
                f"{tuple(logits.shape[-2:])} for images of {tuple(images.shape[-2:])}."
            )
        return logits

    def _attention(self, features: Sequence[Tensor]) -> Tensor:
        return torch.sigmoid(self.hrda_scale_attention(features))


def _on_grid(logits: Tensor, images: Tensor) -> Tensor:
    """Leave out the logits that lie beyond an image whose sides are no multiple of 8."""
    rows, columns = _grid(images)
    return logits[..., :rows, :columns]


def _grid(images: Tensor) -> tuple[int, int]:
    return divided_up(images.shape[-2], HEAD_STRIDE), divided_up(images.shape[-1], HEAD_STRIDE)


def _double(shape: torch.Size) -> tuple[int, int]:
    return 2 * shape[-2], 2 * shape[-1]


def _paste(details: Sequence[Tensor], offsets: Sequence[tuple[int, int]], size: tuple[int, int]) -> Tensor:
    """Mean of detail logits (B, C, h, w) on a canvas of `size`, zero where there is none."""
    canvas = details[0].new_zeros((*details[0].shape[:2], *size))
    count = details[0].new_zeros((1, 1, *size))
    for detail, (top, left) in zip(details, offsets, strict=True):
        y, x = top // HEAD_STRIDE, left // HEAD_STRIDE
        part = detail[..., : size[0] - y, : size[1] - x]
        rows, columns = slice(y, y + part.shape[-2]), slice(x, x + part.shape[-1])
        canvas[..., rows, columns] += part
        count[..., rows, columns] += 1
    return canvas / count.clamp(min=1)


def _fuse(context: Tensor, detail: Tensor, attention: Tensor) -> Tensor:
    """(1 - a) context + a detail, on the detail's grid."""
    return _enlarged((1 - attention) * context) + _enlarged(attention) * detail


def _enlarged(values: Tensor) -> Tensor:
    return F.interpolate(values, scale_factor=2, mode="bilinear", align_corners=False)
