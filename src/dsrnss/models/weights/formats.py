"""Whose file is it? The layouts of published checkpoints, and their tensors under this package's names."""

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import get_args

import torch
from torch import Tensor

from dsrnss.errors import CheckpointError, ConfigError, did_you_mean
from dsrnss.models.weights.lite0 import LITE0, LITE0_PROBE, lite0_state
from dsrnss.models.weights.reading import State
from dsrnss.models.weights.unwrapping import Which, unwrap

PARTS = ("backbone", "head", "hrda_scale_attention")
"""What a network is made of, as in the authors' checkpoints."""

AUTHORS = "authors' checkpoint"
CLASSIFIER = "ImageNet classifier"
MMSEG_HEAD = "mmsegmentation's own SegFormer head"

_REFINENET = re.compile(r"(p_ims1d2_|adapt_stage|mflow_conv|clf_conv)")
_VGG_PROBE = "features.0.weight"
_ALIGNER_PROBE = "decoder4.conv_0.conv.weight"
_ALIGNER = "alignment network (UAWarpC)"
ALIGNER_VGG = "alignment_backbone"
_IMNET = "imnet_backbone"

_MMSEG_MIT = (
    (r"layers\.(\d)\.0\.projection\.", "patch_embed{0}.proj."),
    (r"layers\.(\d)\.0\.norm\.", "patch_embed{0}.norm."),
    (r"layers\.(\d)\.1\.(\d+)\.attn\.attn\.in_proj_", "block{0}.{1}.attn.qkv."),
    (r"layers\.(\d)\.1\.(\d+)\.attn\.attn\.out_proj\.", "block{0}.{1}.attn.proj."),
    (r"layers\.(\d)\.1\.(\d+)\.ffn\.layers\.0\.", "block{0}.{1}.mlp.fc1."),
    (r"layers\.(\d)\.1\.(\d+)\.ffn\.layers\.1\.", "block{0}.{1}.mlp.dwconv.dwconv."),
    (r"layers\.(\d)\.1\.(\d+)\.ffn\.layers\.4\.", "block{0}.{1}.mlp.fc2."),
    (r"layers\.(\d)\.1\.(\d+)\.", "block{0}.{1}."),
    (r"layers\.(\d)\.2\.", "norm{0}."),
)
# Hugging Face: as on the hub, and as transformers 5 calls the same modules in memory
_HF_MIT = (
    (r"encoder\.patch_embeddings\.(\d)\.proj\.", "patch_embed{0}.proj."),
    (r"encoder\.patch_embeddings\.(\d)\.layer_norm\.", "patch_embed{0}.norm."),
    (r"encoder\.block\.(\d)\.(\d+)\.layer_norm_([12])\.", "block{0}.{1}.norm{2}."),
    (r"encoder\.block\.(\d)\.(\d+)\.attention\.self\.query\.", "block{0}.{1}.attn.q."),
    (r"encoder\.block\.(\d)\.(\d+)\.attention\.self\.(key|value|sr)\.", "block{0}.{1}.attn.{2}."),
    (r"encoder\.block\.(\d)\.(\d+)\.attention\.self\.layer_norm\.", "block{0}.{1}.attn.norm."),
    (r"encoder\.block\.(\d)\.(\d+)\.attention\.output\.dense\.", "block{0}.{1}.attn.proj."),
    (r"encoder\.block\.(\d)\.(\d+)\.mlp\.dense([12])\.", "block{0}.{1}.mlp.fc{2}."),
    (r"encoder\.block\.(\d)\.(\d+)\.", "block{0}.{1}."),
    (r"encoder\.layer_norm\.(\d)\.", "norm{0}."),
    (r"stages\.(\d)\.patch_embeddings\.proj\.", "patch_embed{0}.proj."),
    (r"stages\.(\d)\.patch_embeddings\.layer_norm\.", "patch_embed{0}.norm."),
    (r"stages\.(\d)\.blocks\.(\d+)\.layernorm_before\.", "block{0}.{1}.norm1."),
    (r"stages\.(\d)\.blocks\.(\d+)\.layernorm_after\.", "block{0}.{1}.norm2."),
    (r"stages\.(\d)\.blocks\.(\d+)\.attention\.q_proj\.", "block{0}.{1}.attn.q."),
    (r"stages\.(\d)\.blocks\.(\d+)\.attention\.k_proj\.", "block{0}.{1}.attn.key."),
    (r"stages\.(\d)\.blocks\.(\d+)\.attention\.v_proj\.", "block{0}.{1}.attn.value."),
    (r"stages\.(\d)\.blocks\.(\d+)\.attention\.o_proj\.", "block{0}.{1}.attn.proj."),
    (r"stages\.(\d)\.blocks\.(\d+)\.attention\.sequence_reduction\.sequence_reduction\.", "block{0}.{1}.attn.sr."),
    (r"stages\.(\d)\.blocks\.(\d+)\.attention\.sequence_reduction\.layer_norm\.", "block{0}.{1}.attn.norm."),
    (r"stages\.(\d)\.blocks\.(\d+)\.", "block{0}.{1}."),
    (r"stages\.(\d)\.layer_norm\.", "norm{0}."),
)
_HF_HEAD = (
    (r"decode_head\.(?:linear_c|linear_projections)\.(\d)\.proj\.", "head.linear_c{0}.proj."),
    (r"decode_head\.linear_fuse\.", "head.linear_fuse.conv."),
    (r"decode_head\.batch_norm\.", "head.linear_fuse.bn."),
    (r"decode_head\.classifier\.", "head.linear_pred."),
)


@dataclass(frozen=True)
class Contents:
    """What a file was found to hold.

    Attributes:
        format: Whose layout it is, in words.
        state: The network's tensors, named `backbone.*`, `head.*` and `hrda_scale_attention.*`.
        left_out: What else is in the file, with its number of tensors.
        vgg: The aligner's VGG-16 beside the network, in its own names; it is among what is left out.
    """

    format: str
    state: State
    left_out: Mapping[str, int] = field(default_factory=dict)
    vgg: State = field(default_factory=dict)

    def part(self, name: str) -> State:
        """The tensors of one part, without its prefix."""
        return _below(self.state, name)


def check_which(which: str) -> None:
    """Refuse what is neither student nor teacher.

    Raises:
        ConfigError: If it is not.
    """
    if which not in get_args(Which):
        raise ConfigError(f"which: unknown network '{which}'.{did_you_mean(str(which).lower(), get_args(Which))}")


def recognise(tensors: Mapping[str, Tensor], which: Which = "student", source: str = "the file") -> Contents:
    """Tell whose layout a file's names are, and rename them to ours.

    Names that are not known stay as they are, so that the account names them.

    Args:
        tensors: All tensors of the file.
        which: Of the authors' checkpoints, the student or the teacher.
        source: The file, for messages.

    Raises:
        CheckpointError: If it is no layout that is known, or has no such network.
        ConfigError: If `which` is neither student nor teacher.
    """
    check_which(which)
    found = unwrap(tensors, which, source)
    state, layout = found.state, which if not found.average else "student"
    heads = {key.partition(".")[0] for key in state}
    if any(key.startswith(("segformer.", "encoder.", "stages.0.patch_embeddings.")) for key in state):
        contents = _hugging_face(state)
    elif "decode_head" in heads:
        contents = _decode_head(state)
    elif heads & {"backbone", "m_backbone"}:
        contents = _authors(state, layout, source)
    elif _IMNET in heads:
        contents = _imnet(state)
    else:
        contents = _bare(state, source)
    if layout == "teacher" and contents.format != AUTHORS:
        raise CheckpointError(f"'{source}' ({contents.format}) holds one network, and no teacher.")
    if found.average:
        contents = replace(contents, format=f"{contents.format}, moving average")
    contents = replace(contents, left_out={**contents.left_out, **found.left_out})
    return replace(contents, vgg=_below(state, ALIGNER_VGG)) if ALIGNER_VGG in contents.left_out else contents


def _below(state: State, prefix: str) -> State:
    return {key.removeprefix(f"{prefix}."): value for key, value in state.items() if key.startswith(f"{prefix}.")}


def _authors(state: State, which: Which, source: str) -> Contents:
    """`backbone. head. hrda_scale_attention.`, the teacher's behind `m_`, and what only training needs."""
    prefix, other = ("m_", "") if which == "teacher" else ("", "m_")
    if not any(key.startswith(f"{prefix}backbone.") for key in state):
        has = (
            "only a teacher: load it with which='teacher'" if other else "only a student: load it with which='student'"
        )
        raise CheckpointError(f"'{source}' holds {has}.")
    left_out: Counter[str] = Counter()
    mine: State = {}
    training = {f"{other}{part}" for part in PARTS} | {_IMNET, ALIGNER_VGG, "alignment_head"}
    classifier = not any(re.match(r"head\.(?!fc\.|weight$|bias$)", key) for key in state)
    for key, value in state.items():
        top = key.partition(".")[0]
        if top in training:
            left_out[top] += 1
        elif top == "head" and classifier:
            left_out[CLASSIFIER] += 1
        else:
            mine[key.removeprefix(prefix) if top.removeprefix(prefix) in PARTS else key] = value
    converted = _split_refinenet(_with_backbone(mine))
    return Contents(AUTHORS, _drop_classifier(converted, left_out), left_out)


def _decode_head(state: State) -> Contents:
    """NVIDIA's SegFormer, mmsegmentation's, and DAFormer's."""
    left_out: Counter[str] = Counter()
    mine: State = {}
    foreign = any(".convs.0." in key for key in state)
    unused = any(key.endswith("decode_head.linear_pred.weight") for key in state)
    for key, value in state.items():
        if key.startswith("auxiliary_head."):
            left_out["auxiliary_head"] += 1
        elif key.startswith("decode_head.") and foreign:
            left_out[MMSEG_HEAD] += 1
        elif key.startswith("decode_head.conv_seg.") and unused:
            left_out["decode_head.conv_seg, which that head does not use"] += 1
        else:
            mine[re.sub(r"^decode_head\.", "head.", key)] = value
    what = "mmsegmentation network" if foreign else "NVIDIA SegFormer" if unused else "DAFormer network"
    return Contents(what, _with_backbone(mine), left_out)


def _hugging_face(state: State) -> Contents:
    left_out: Counter[str] = Counter()
    mine: State = {}
    for key, value in state.items():
        if key.startswith("classifier."):
            left_out[CLASSIFIER] += 1
            continue
        name = _rename(key.removeprefix("segformer."), _HF_MIT)
        mine[f"backbone.{name}" if name else _rename(key, _HF_HEAD) or key] = value
    return Contents("Hugging Face SegFormer", _join_key_value(mine), left_out)


def _imnet(state: State) -> Contents:
    """The authors' frozen ImageNet backbone without the network."""
    left_out = Counter(key.partition(".")[0] for key in state if not key.startswith(f"{_IMNET}."))
    mine = {f"backbone.{key}": value for key, value in _below(state, _IMNET).items()}
    return Contents("authors' ImageNet backbone", _with_backbone(mine), left_out)


def _bare(state: State, source: str) -> Contents:
    """Files of one backbone, RefineNet as one module, or the aligner."""
    left_out: Counter[str] = Counter()
    names = set(state)
    if any(key.endswith(_ALIGNER_PROBE) for key in names):
        vgg = len(_below(state, ALIGNER_VGG))
        return Contents(_ALIGNER, {}, {_ALIGNER: len(state) - vgg} | ({ALIGNER_VGG: vgg} if vgg else {}))
    if all(key.startswith(f"{ALIGNER_VGG}.") for key in names):
        state = _below(state, ALIGNER_VGG)
        names = set(state)
    if "p_ims1d2_outl1_dimred.weight" in names:
        return Contents("RefineNet", _split_refinenet({f"backbone.{key}": value for key, value in state.items()}))
    kinds = {
        "patch_embed1.proj.weight": "NVIDIA MiT",
        "layers.0.0.projection.weight": "mmsegmentation MiT",
        "stages.0.0.0.weight": "compact network of dsrnss",
        LITE0_PROBE: LITE0,
        "stem.0.weight": "OpenMMLab ResNet v1c",
        "conv1.weight": "torchvision ResNet",
        _VGG_PROBE: "torchvision VGG",
    }
    found = next((what for probe, what in kinds.items() if probe in names), None)
    if found is None:
        shown = ", ".join(sorted(names)[:3])
        raise CheckpointError(
            f"'{source}' has the layout of no network that is known here: its {len(names)} tensors are named {shown}, "
            "... Known are checkpoints of dsrnss and of the authors, SegFormer and MiT of NVIDIA, mmsegmentation and "
            "Hugging Face, ResNet of torchvision and OpenMMLab, VGG-16 and UAWarpC. Of a file of timm's the model must "
            "be named: `--encoder timm/NAME`, or `network.backbone` of an experiment."
        )
    if found == LITE0:
        return Contents(found, lite0_state(state, left_out), left_out)
    mine = {}
    for key, value in state.items():
        if re.match(r"(fc|classifier|head|head\.fc)\.", key):
            left_out[CLASSIFIER] += 1
        else:
            mine[f"backbone.{key}"] = value
    return Contents(found, _with_backbone(mine), left_out)


def _drop_classifier(state: State, left_out: Counter[str]) -> State:
    kept = {key: value for key, value in state.items() if not re.match(r"backbone\.(fc|classifier)\.", key)}
    if len(kept) < len(state):
        left_out[CLASSIFIER] += len(state) - len(kept)
    return kept


def _split_refinenet(state: State) -> State:
    """RefineNet is one module in the authors' layout: what is no ResNet in it is our head."""
    return {
        re.sub(r"^backbone\.", "head.", key) if _REFINENET.match(key.removeprefix("backbone.")) else key: value
        for key, value in state.items()
    }


def _with_backbone(state: State) -> State:
    """The state with mmsegmentation's names of a MiT turned into NVIDIA's, which are ours."""
    if "backbone.layers.0.0.projection.weight" not in state:
        return state
    renamed: State = {}
    for key, value in state.items():
        name = _rename(key.removeprefix("backbone."), _MMSEG_MIT) if key.startswith("backbone.") else None
        renamed[f"backbone.{name}" if name else key] = value
    return _split_qkv(renamed)


def _rename(key: str, rules: tuple[tuple[str, str], ...]) -> str | None:
    """Apply the first rule that fits; stages count from 0 there and from 1 here."""
    for pattern, replacement in rules:
        if match := re.match(pattern, key):
            stage, *others = match.groups() or ("0",)
            return replacement.format(int(stage) + 1, *others) + key[match.end() :]
    return None


def _split_qkv(state: State) -> State:
    """Take query, key and value of mmsegmentation apart, and make its 1x1 convolutions linear layers."""
    result: State = {}
    for key, value in state.items():
        stem, fused, kind = key.partition(".attn.qkv.")
        if fused and value.ndim >= 1 and value.shape[0] % 3 == 0:
            channels = value.shape[0] // 3
            result[f"{stem}.attn.q.{kind}"] = value[:channels]
            result[f"{stem}.attn.kv.{kind}"] = value[channels:]
        elif re.search(r"\.mlp\.fc[12]\.weight$", key) and value.ndim == 4 and value.shape[2:] == (1, 1):
            result[key] = value.flatten(1)
        else:
            result[key] = value
    return result


def _join_key_value(state: State) -> State:
    """Hugging Face keeps key and value apart; ours, like NVIDIA's, are one layer."""
    result = dict(state)
    for key in state:
        stem, found, kind = key.partition(".attn.key.")
        other = f"{stem}.attn.value.{kind}"
        if found and other in state and state[key].shape[1:] == state[other].shape[1:]:
            result[f"{stem}.attn.kv.{kind}"] = torch.cat((result.pop(key), result.pop(other)))
    return result
