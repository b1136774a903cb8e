"""Backbone and head behind one `forward`, and prediction at the size of the images."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

from dsrnss.errors import ConfigError, did_you_mean
from dsrnss.models.config import NetworkConfig
from dsrnss.models.contract import checked_features, checked_logits
from dsrnss.models.windows import pad_image, slide

_PIXELS_AT_ONCE = 2**18
"""Of images that pass a backbone on a CPU: more are no faster, and what is between its layers grows with them."""


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


class Segmentor(nn.Module):
    """A semantic segmentation network.

    Args:
        config: What it is made of.
        backbone: Images (B, 3, H, W) to feature maps, finest first, of as many channels as its `channels` say.
        head: Those maps to logits.
    """

    smallest_side = 32
    """`predict` repeats the edge of pictures with fewer pixels a side: the last stage has stride 32."""

    def __init__(self, config: NetworkConfig, backbone: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.config, self.backbone, self.head = config, backbone, head
        self.multiple = int(getattr(backbone, "multiple", 1))
        """`predict` pads pictures by their edge to a multiple of this."""
        self.recompute_backbone = False
        """Keep none of the backbone's activations for a backward pass, which computes them again."""
        self.batch_norm_frozen = False
        """Batch norms normalise by what they saw before, in training too, and see nothing more."""

    def set_recompute_backbone(self, recompute: bool) -> None:
        """Whether the backbone's activations are computed again in the backward pass instead of being kept.

        Raises:
            ConfigError: If they are to be and the backbone has batch norms, whose statistics would move twice.
        """
        if recompute and any(isinstance(module, _BatchNorm) for module in self.backbone.modules()):
            raise ConfigError(
                f"recompute_backbone: the backbone of {self.config} has batch norms, whose statistics would move twice "
                "a step. It is for transformers (mit_..., timm/vit_...): set it to false."
            )
        self.recompute_backbone = recompute

    def freeze_batch_norm(self, frozen: bool = True) -> None:
        """Let batch norms normalise by the statistics that they have, in training too; their weights still learn."""
        self.batch_norm_frozen = frozen
        self.train(self.training)

    def train(self, mode: bool = True) -> "Segmentor":
        """Set the mode of all modules but of batch norms that are frozen."""
        super().train(mode)
        if self.batch_norm_frozen:
            for module in self.modules():
                if isinstance(module, _BatchNorm):
                    module.eval()
        return self

    def check_crops(self, images: Tensor) -> None:
        """See that a batch (B, 3, H, W) for training is not too small.

        Raises:
            ConfigError: If it is.
        """
        height, width = images.shape[-2:]
        if min(height, width) < self.smallest_side:
            raise ConfigError(
                f"Crops of {height}x{width} are too small for {self.config}: its coarsest map would be empty. Take "
                f"{self.smallest_side} pixels a side at least (crop_size)."
            )

    def view(self, images: Tensor) -> Tensor:
        """What the backbone sees of a batch: (B, 3, H, W) -> the same; HRDA halves it."""
        return images

    def encode(self, images: Tensor) -> list[Tensor]:
        """The backbone's maps of a batch (B, 3, H, W), finest first; of HRDA those of the context."""
        return self.features_of(self.view(images))

    def features_of(self, images: Tensor) -> list[Tensor]:
        """The backbone's maps of what it sees: (B, 3, H, W), finest first."""
        if self.recompute_backbone and torch.is_grad_enabled():
            return checked_features(self.backbone, checkpoint(self.backbone, images, use_reentrant=False))
        at_once = self._at_once(images)
        if at_once is None:
            return checked_features(self.backbone, self.backbone(images))
        maps = [checked_features(self.backbone, self.backbone(piece)) for piece in images.split(at_once)]
        return maps[0] if len(maps) == 1 else [torch.cat(level) for level in zip(*maps, strict=True)]

    def _at_once(self, images: Tensor) -> int | None:
        """How many images the backbone sees at once: on a CPU few, where each is seen for itself; None: all."""
        traced = torch.compiler.is_compiling() or torch.jit.is_tracing()  # type: ignore[attr-defined, no-untyped-call]
        if traced or torch.is_grad_enabled() or not images.is_cpu or any(m.training for m in self.backbone.modules()):
            return None
        return max(1, _PIXELS_AT_ONCE // images[0, 0].numel())

    def logits_of(self, features: list[Tensor]) -> Tensor:
        """The head's class scores (B, C, h, w) of the backbone's maps."""
        return checked_logits(self.head, self.head(features), self.config.num_classes)

    def forward(self, images: Tensor, detail_box: tuple[int, int] | None = None) -> SegmentorOutput:
        """Segment a batch.

        Args:
            images: (B, 3, H, W) ImageNet-normalised RGB.
            detail_box: Only of HRDA, see there.

        Returns:
            Logits at the head's resolution and the backbone's feature maps.
        """
        features = self.encode(images)
        return SegmentorOutput(self.logits_of(features), features)

    def predict(
        self,
        images: Tensor,
        mode: Literal["whole", "slide"] = "whole",
        window: tuple[int, int] | None = None,
        stride: tuple[int, int] | None = None,
        window_batch: int | None = None,
    ) -> Tensor:
        """Logits at the images' own size.

        Args:
            images: (B, 3, H, W) normalised RGB of any size; below `smallest_side` its edge is repeated.
            mode: `whole`, or `slide` for overlapping windows whose logits are averaged (method section 2).
            window: Height and width of a window in pixels; needed to slide.
            stride: Vertical and horizontal distance of two windows in pixels, no more than the window; by default half
                a window.
            window_batch: How many windows pass the network at once; None: as many as memory allows.

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
        return slide(self._predict_whole, self.config.num_classes, images, window, stride, window_batch)

    def _predict_whole(self, images: Tensor) -> Tensor:
        height, width = images.shape[-2:]
        padded = pad_image(images, self.smallest_side, self.multiple)
        logits = F.interpolate(
            self(padded).logits.float(), size=padded.shape[-2:], mode="bilinear", align_corners=False
        )
        return logits[..., :height, :width]


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
