"""Any encoder of timm, `timm/NAME`: convolutional, hierarchical, or a plain transformer with a feature pyramid."""

import inspect
import math
import re
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dsrnss.errors import ConfigError, did_you_mean
from dsrnss.models.grid import divided_up
from dsrnss.models.windows import pad_image
from dsrnss.normalisation import IMAGENET_MEAN, IMAGENET_STD
from dsrnss.optional import optional

PREFIX = "timm/"
LEVELS = 4
"""Feature maps of an encoder, at most."""
PLAIN_STRIDE = 16
"""Of the pyramid's third map: the tokens of a plain transformer lie on it, if its patches have this side."""

_NAME = re.compile(r"[\w-]+(\.[\w-]+)?")
_ANY_SIZE = (("dynamic_img_size", True), ("strict_img_size", False))
"""How the constructors of timm's transformers are told to take pictures of any size."""


class TimmEncoder(nn.Module):
    """An encoder of timm under its own tensor names, and the feature pyramid that a plain transformer lacks.

    Images come ImageNet-normalised, as everywhere in this package; the encoder normalises them anew by the mean and
    deviation of the model's `pretrained_cfg`. Sides that are no multiple of the patch or of the coarsest stride are
    padded by their edge, and the maps cut to the image.

    Args:
        name: `timm/NAME` or NAME, with or without the tag of its weights: `timm/vit_small_patch14_dinov2.lvd142m`.
        drop_path: Stochastic depth of the last block, where the model has it.

    Attributes:
        channels: Of the feature maps, finest first.
        mean: Of RGB in [0, 1], as the model wants it.
        std: Deviation likewise.
        facts: For the card of a saved model.
        fresh: Parameters that no pretrained file holds begin with one of these: they learn at the head's rate.

    Raises:
        ConfigError: If timm is missing, has no such model, or the model takes pictures of one size only.
    """

    scale: Tensor
    shift: Tensor

    def __init__(self, name: str, drop_path: float = 0.0) -> None:
        super().__init__()
        self.name = name.removeprefix(PREFIX)
        self.options = _options(self.name, drop_path)
        self.model = create(self.name, self.options)
        widths, strides, self.indices = _maps(self.model)
        self.plain = len(strides) == LEVELS and len(set(strides)) == 1
        self.model.prune_intermediate_layers(self.indices, prune_norm=not self.plain, prune_head=True)
        for module in self.model.modules():
            if type(module) is library().layers.Conv2dSame:
                module.__class__ = SameConvolution
        self.stride = math.lcm(*strides)
        self.strides = (4, 8, 16, 32) if self.plain else strides
        self.fresh: tuple[str, ...] = ("pyramid.",) if self.plain else ()
        self.pyramid = FeaturePyramid(widths[-1], self.stride) if self.plain else None
        self.channels: tuple[int, ...] = self.pyramid.channels if self.pyramid is not None else widths
        facts = self.model.pretrained_cfg
        self.mean, self.std = tuple(map(float, facts["mean"])), tuple(map(float, facts["std"]))
        mean, std, own_mean, own_std = (
            torch.tensor(values).view(3, 1, 1) for values in (self.mean, self.std, IMAGENET_MEAN, IMAGENET_STD)
        )
        self.facts = {
            "encoder_mean": list(self.mean),
            "encoder_std": list(self.std),
            "encoder_licence": facts.get("license") or "not stated by timm",
        }
        # they follow from the name, and must not lose digits where weights are stored in 16 bits
        self.register_buffer("scale", own_std / std, persistent=False)
        self.register_buffer("shift", (own_mean - mean) / std, persistent=False)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Encode images.

        Args:
            images: (B, 3, H, W) ImageNet-normalised RGB of any size.

        Returns:
            Feature maps (B, C_i, ceil(H / stride_i), ceil(W / stride_i)), finest first: of plain transformers of
            stride 4, 8, 16 and 32, of others the last four of the model.
        """
        if (self.mean, self.std) != (IMAGENET_MEAN, IMAGENET_STD):
            images = images * self.scale + self.shift
        padded = pad_image(images, self.stride, self.stride)
        maps = self.model.forward_intermediates(
            padded, indices=self.indices, norm=self.plain, output_fmt="NCHW", intermediates_only=True
        )
        maps = maps if self.pyramid is None else self.pyramid(maps)
        height, width = images.shape[-2:]
        return [
            feature[..., : divided_up(height, stride), : divided_up(width, stride)]
            for feature, stride in zip(maps, self.strides, strict=True)
        ]

    def layer_ids(self) -> dict[str, int]:
        """The layer of each parameter, counted from the input, as timm groups them.

        Raises:
            ConfigError: If timm does not say.
        """
        if not hasattr(self.model, "group_matcher"):
            raise ConfigError(f"timm does not group the layers of '{self.name}': optimizer.layer_decay must be 1.")
        layers: dict[str, int] = library().models.group_parameters(self.model, self.model.group_matcher(), reverse=True)
        found = {f"model.{name}": layer for name, layer in layers.items()}
        return {name: found.get(name, max(found.values())) for name, _ in self.named_parameters()}


class SameConvolution(nn.Conv2d):
    """Convolution that pads as TensorFlow's SAME does, of maps whose sides are multiples of the stride.

    That of timm computes the padding from the sides; an exporter that takes every size follows this for minutes.
    """

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, D, H / stride, W / stride)."""
        sides: list[int] = []
        for kernel, stride, dilation in zip(self.kernel_size, self.stride, self.dilation, strict=True):
            lacking = max((kernel - 1) * dilation + 1 - stride, 0)
            sides = [lacking // 2, lacking - lacking // 2, *sides]
        return super().forward(F.pad(features, sides))


class FeaturePyramid(nn.Module):
    """Maps of stride 4, 8, 16 and 32 of four maps of a plain transformer (ViTDet, arXiv 2203.16527, section 3).

    Earlier blocks serve the finer maps. The two coarser ones have no parameters, so that distances and prototypes of
    the last map are measured in the features of the encoder itself.

    Args:
        width: Channels of the transformer.
        patch: Side of its patches in pixels.
    """

    def __init__(self, width: int, patch: int) -> None:
        super().__init__()
        self.channels = (width // 4, width // 2, width, width)
        self.ratio = patch / PLAIN_STRIDE
        self.fine = nn.Sequential(
            nn.ConvTranspose2d(width, width // 2, 2, 2),
            nn.GroupNorm(1, width // 2),
            nn.GELU(),
            nn.ConvTranspose2d(width // 2, width // 4, 2, 2),
        )
        self.middle = nn.ConvTranspose2d(width, width // 2, 2, 2)
        self.coarse = nn.MaxPool2d(2, 2, ceil_mode=True)

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Four maps (B, C, H, W) -> maps of C / 4, C / 2, C and C channels, each of its stride."""
        first, second, third, fourth = maps
        pyramid = [self.fine(first), self.middle(second), third, self.coarse(fourth)]
        return pyramid if self.ratio == 1 else [self._resized(feature) for feature in pyramid]

    def _resized(self, feature: Tensor) -> Tensor:
        """From a stride that belongs to the patch to that of a patch of 16; both begin at the same corner."""
        # the ratio rounds down: one more row and column, so that the last one is not lost
        edge = F.pad(feature, (0, 1, 0, 1), mode="replicate")
        return F.interpolate(
            edge, scale_factor=self.ratio, mode="bilinear", align_corners=False, recompute_scale_factor=False
        )


def library() -> ModuleType:
    """Module timm.

    Raises:
        ConfigError: If it is not installed.
    """
    return optional("timm", "Encoders named timm/NAME need timm", "'dsrnss[timm]'")


def create(name: str, options: Mapping[str, Any], **source: Any) -> Any:
    """A model of timm without its classifier.

    Args:
        name: Its name.
        options: Of its constructor.
        **source: Where its weights come from; nothing: random ones.

    Raises:
        ConfigError: If timm has no such model, or no such weights of it.
    """
    timm = library()
    architecture, _, tag = name.partition(".")
    # timm also takes folders and addresses for names: a file of weights could choose what is fetched
    if not _NAME.fullmatch(name) or not timm.is_model(architecture):
        guess = did_you_mean(architecture, timm.list_models(), show_all=False)
        raise ConfigError(f"timm {timm.__version__} has no model '{name}'.{guess}")
    known = timm.list_pretrained(f"{architecture}.*") if tag else []
    if tag and name not in known:
        raise ConfigError(f"timm {timm.__version__} has no weights '{tag}' of '{architecture}': {', '.join(known)}.")
    return timm.create_model(name, num_classes=0, **options, **source)


def _options(name: str, drop_path: float) -> dict[str, Any]:
    """What the model's constructor must be told to take pictures of any size."""
    with torch.device("meta"):
        model = create(name, {})
    taken = inspect.signature(type(model)).parameters
    options = dict([(key, value) for key, value in _ANY_SIZE if key in taken][:1])
    facts = model.pretrained_cfg
    if facts.get("fixed_input_size") and not options:
        side = facts["input_size"][-1]
        try:
            model.forward_intermediates(
                torch.empty(1, 3, 2 * side + 64, 2 * side, device="meta"), intermediates_only=True
            )
        except Exception as error:  # each model says it in its own way
            raise ConfigError(f"timm/{name} takes pictures of {side}x{side} only, and cannot be a backbone.") from error
    return options | ({"drop_path_rate": drop_path} if "drop_path_rate" in taken else {})


def _maps(model: Any) -> tuple[tuple[int, ...], tuple[int, ...], list[int]]:
    """Channels and strides of the maps that are used, and which of the model's they are."""
    facts = model.feature_info
    strides = [int(entry["reduction"]) for entry in facts]
    count = len(strides)
    if len(set(strides)) == 1 and count >= LEVELS:
        indices = [(level + 1) * count // LEVELS - 1 for level in range(LEVELS)]
    else:
        indices = list(range(max(count - LEVELS, 0), count))
    return tuple(facts[i]["num_chs"] for i in indices), tuple(strides[i] for i in indices), indices
