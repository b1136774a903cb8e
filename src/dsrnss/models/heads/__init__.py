"""Decoders: feature maps in, class scores out. A new one is its file, and its line in the table."""

from torch import nn

from dsrnss.models.heads.daformer import DAFormerHead
from dsrnss.models.heads.deeplabv2 import DeepLabV2Head
from dsrnss.models.heads.fpn import FPNHead
from dsrnss.models.heads.linear import LinearHead
from dsrnss.models.heads.refinenet import RefineNetHead
from dsrnss.models.heads.segformer import SegFormerHead

HEADS: dict[str, type[nn.Module]] = {
    "daformer": DAFormerHead,
    "deeplabv2": DeepLabV2Head,
    "fpn": FPNHead,
    "linear": LinearHead,
    "refinenet": RefineNetHead,
    "segformer": SegFormerHead,
}
"""The class of each name."""
