"""What network do these tensors belong to? Told by their names and shapes."""

import re
from collections.abc import Mapping

from torch import Tensor

from dsrnss.errors import CheckpointError, ConfigError
from dsrnss.models.backbones.compact import COMPACT_VARIANTS
from dsrnss.models.backbones.mit import MIT_VARIANTS
from dsrnss.models.backbones.resnet import RESNET_VARIANTS, DilatedBasicBlock
from dsrnss.models.config import NetworkConfig
from dsrnss.models.weights.formats import Contents

_HEADS = {
    "fpn": ("laterals.0.weight", "conv_seg.weight"),
    "daformer": ("embed_layers.0.proj.weight", "conv_seg.weight"),
    "segformer": ("linear_c1.proj.weight", "linear_pred.weight"),
    "refinenet": ("adapt_stage4_b2_joint_varout_dimred.weight", "clf_conv.weight"),
    "deeplabv2": (None, "conv2d_list.0.weight"),
}
"""Of each head, the tensors whose first axis counts its channels and its classes."""


def infer(contents: Contents, source: str) -> NetworkConfig:
    """The configuration of a whole network.

    Args:
        contents: What its file holds.
        source: The file, for messages.

    Raises:
        CheckpointError: If the backbone is none that is known, or there is no head.
    """
    backbone = name_backbone(contents.part("backbone"), source)
    if backbone == "vgg16":
        raise CheckpointError(f"'{source}' holds a VGG-16, which serves the alignment and segments nothing.")
    head, channels, classes = _name_head(contents, backbone, source)
    hrda = any(key.startswith("hrda_scale_attention.") for key in contents.state)
    try:
        return NetworkConfig(backbone, head, channels or 256, classes, hrda=hrda)
    except ConfigError as error:
        raise CheckpointError(
            f"'{source}' holds tensors of another shape than those of any network, so it is not made: {error}"
        ) from error


def name_backbone(state: Mapping[str, Tensor], source: str) -> str:
    """The variant of a backbone, by its own tensors without prefix.

    Raises:
        CheckpointError: If it is none that is known, saying what was found.
    """
    if "patch_embed1.proj.weight" in state:
        channels = tuple(_size(state, f"patch_embed{stage}.proj.weight") for stage in range(1, 5))
        depths = tuple(_count(state, rf"block{stage}\.(\d+)\.") for stage in range(1, 5))
        for name, mit in MIT_VARIANTS.items():
            if (mit.channels, mit.depths) == (channels, depths):
                return name
        raise CheckpointError(
            f"'{source}' holds a MiT of {_shown(channels)} channels and {_shown(depths)} blocks: that is none of "
            f"{', '.join(MIT_VARIANTS)}. Are tensors missing from the file?"
        )
    if "layer1.0.conv1.weight" in state:
        depths = tuple(_count(state, rf"layer{stage}\.(\d+)\.") for stage in range(1, 5))
        basic, deep = "layer1.0.conv3.weight" not in state, "stem.0.weight" in state
        for name, resnet in RESNET_VARIANTS.items():
            if (resnet.depths, resnet.block is DilatedBasicBlock, resnet.deep_stem) == (depths, basic, deep):
                return name
        raise CheckpointError(
            f"'{source}' holds a ResNet of {_shown(depths)} {'basic' if basic else 'bottleneck'} blocks: that is none "
            f"of {', '.join(RESNET_VARIANTS)}. Are tensors missing from the file?"
        )
    if "stages.0.0.0.weight" in state:
        widths = tuple(_size(state, f"stages.{stage}.0.0.weight") for stage in range(4))
        for name, compact in COMPACT_VARIANTS.items():
            if compact.channels == widths:
                return name
    if "model.conv_stem.weight" in state and _size(state, "model.blocks.6.0.conv_pwl.weight") == 320:
        return "timm/tf_efficientnet_lite0"
    if "features.0.weight" in state and _size(state, "features.28.weight") == 512:
        return "vgg16"
    raise CheckpointError(
        f"'{source}' holds no backbone that is known: neither a MiT, nor a ResNet, nor the compact one, nor VGG-16."
    )


def _name_head(contents: Contents, backbone: str, source: str) -> tuple[str, int, int]:
    state = contents.part("head")
    for name, (channels, classes) in _HEADS.items():
        if classes in state and (channels is None or channels in state):
            return name, _size(state, channels) if channels else 0, _size(state, classes)
    found = f"a head of unknown kind ({', '.join(sorted(state)[:3])}, ...)" if state else "no head"
    also = f" Left out: {', '.join(contents.left_out)}." if contents.left_out else ""
    raise CheckpointError(
        f"'{source}' ({contents.format}) holds a backbone {backbone} and {found}: it cannot segment.{also} As initial "
        "weights of a backbone it can be used: load_backbone(segmentor.backbone, FILE), or backbone_weights of an "
        "experiment."
    )


def _count(state: Mapping[str, Tensor], pattern: str) -> int:
    return len({match[1] for key in state if (match := re.match(pattern, key))})


def _size(state: Mapping[str, Tensor], key: str) -> int:
    tensor = state.get(key)
    return int(tensor.shape[0]) if tensor is not None and tensor.ndim else 0


def _shown(numbers: tuple[int, ...]) -> str:
    return "-".join(map(str, numbers))
