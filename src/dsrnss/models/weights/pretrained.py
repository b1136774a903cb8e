"""Reading and writing networks: own folders and files, and every published layout of checkpoint."""

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor, nn

from dsrnss.errors import CheckpointError
from dsrnss.labels import CITYSCAPES, LabelSpace
from dsrnss.models.backbones.timm_encoder import TimmEncoder
from dsrnss.models.backbones.vgg import VGG16
from dsrnss.models.class_path import own_classes
from dsrnss.models.config import NetworkConfig
from dsrnss.models.contract import facts_of
from dsrnss.models.factory import build_segmentor
from dsrnss.models.segmentor import Segmentor
from dsrnss.models.weights.account import Account, compare, fits, with_counters
from dsrnss.models.weights.architecture import infer, name_backbone
from dsrnss.models.weights.card import CARD_FILE, may_replace, model_card
from dsrnss.models.weights.description import build_described, describe, read_description
from dsrnss.models.weights.files import CARD_KEY, CONFIG_FILE, WEIGHTS_FILE, Found, find
from dsrnss.models.weights.formats import ALIGNER_VGG, PARTS, Contents, check_which
from dsrnss.models.weights.reading import State
from dsrnss.models.weights.registry import REGISTRY
from dsrnss.models.weights.resolving import resolve
from dsrnss.models.weights.timm_layout import encoder_weights, wanted
from dsrnss.models.weights.unwrapping import Which
from dsrnss.paths import expanded
from dsrnss.writing import write_atomically

_log = logging.getLogger(__name__)

_MOST_MISSING = 10
"""A network with more than so many times its file's numbers is one of nonsense shapes."""


@dataclass(frozen=True)
class Pretrained:
    """A network as it was read.

    Attributes:
        segmentor: In eval mode, on the CPU.
        label_space: The classes it tells apart.
        card: What is known of its training.
        account: What became of the tensors of its file.
    """

    segmentor: Segmentor
    label_space: LabelSpace
    card: dict[str, Any]
    account: Account


def save_pretrained(
    segmentor: Segmentor,
    path: str | Path,
    label_space: LabelSpace = CITYSCAPES,
    card: Mapping[str, Any] | None = None,
    *,
    half: bool = False,
) -> Path:
    """Write a network as a folder (config.json, model.safetensors and a model card) or as one .safetensors file.

    Args:
        segmentor: The network.
        path: Where to: a file if it ends in .safetensors; nothing half-written is left there under this name.
        label_space: The classes it tells apart.
        card: What is known of its training: JSON values.
        half: Store floats in 16 bits, half the size; a tensor with values beyond their range stays in 32 bits.

    Returns:
        The path.

    Raises:
        OutputError: If it cannot be written there.
    """
    path = expanded(path)
    values = describe(segmentor.config, label_space, {**(card or {}), **facts_of(segmentor.backbone)})
    description = json.dumps(values, indent=1)
    state = {name: storable(tensor, half) for name, tensor in segmentor.state_dict().items()}
    data = save(state, metadata={CARD_KEY: description, "format": "pt"})
    if path.suffix == ".safetensors":
        write_atomically(path, data)
    else:
        write_atomically(path / WEIGHTS_FILE, data)
        write_atomically(path / CONFIG_FILE, description.encode())
        if may_replace(path / CARD_FILE):
            write_atomically(path / CARD_FILE, model_card(values, path.name).encode())
    return path


def storable(tensor: Tensor, half: bool) -> Tensor:
    """A tensor as it is stored: in 16 bits if asked for, unless its values are beyond their range."""
    tensor = tensor.detach().cpu().contiguous()
    if not half or not tensor.is_floating_point():
        return tensor
    halved = tensor.half()
    return halved if bool(torch.isfinite(halved).all()) else tensor


def load_pretrained(path: str | Path, which: Which = "student", strict: bool = True) -> Pretrained:
    """Read a network, whoever published it.

    Args:
        path: A folder of `save_pretrained`; a file (.safetensors, .ckpt, .pth, .bin): of this package, of the authors
            (the network is inferred from the names and shapes of its tensors), or a SegFormer of NVIDIA or Hugging
            Face, or one wrapped or nested under usual names; a name of `dsrnss weights list`; an address (https://...);
            or a repository on the Hugging Face hub, "user/name".
        which: Of a checkpoint that has both, the student or its moving average.
        strict: Refuse what does not fit to the last tensor; otherwise go on and say what does not.

    Returns:
        The network in eval mode, its classes, its card and the account of its tensors.

    Raises:
        CheckpointError: If there is no such file, it is broken, or it does not fit.
        ConfigError: If `which` is neither student nor teacher.
    """
    check_which(which)
    found, source = find(resolve(path), which), str(path)
    config, label_space, card = plan(found, source)
    segmentor, account = _assemble(config, found, source, strict)
    if found.description is None or not account.complete:
        _log.info("%s", account)
    return Pretrained(segmentor.eval(), label_space, card, account)


def plan(found: Found, source: str) -> tuple[NetworkConfig, LabelSpace, dict[str, Any]]:
    """The configuration, classes and card of what was found: as described there, or inferred from its tensors.

    Raises:
        CheckpointError: If it is no whole network.
    """
    if found.description is not None:
        return read_description(found.description, found.path)
    if not found.contents.state:
        raise CheckpointError(f"'{source}' holds an {found.contents.format}, which segments nothing.")
    config = infer(found.contents, source)
    card = _card(found, config)
    if source in REGISTRY:
        card |= {"name": source, "licence": REGISTRY[source].licence, "paper": REGISTRY[source].paper}
    return config, _label_space(config.num_classes, found.class_names, source), card


def account_of(module: nn.Module, state: State, source: str, left_out: Mapping[str, int]) -> Account:
    """How tensors fit a network, which may be on the meta device; nothing is copied."""
    own = module.state_dict()
    state, remarks = with_counters(own, state)
    return compare(own, state, source, left_out, remarks)


def load_backbone(backbone: nn.Module, path: str | Path, strict: bool = True, which: Which = "student") -> Account:
    """Fill a backbone from a file of its own, or from the backbone in a whole network.

    Args:
        backbone: MiT, ResNet, VGG-16 or an encoder of timm.
        path: As of `load_pretrained`, and files of a backbone alone (ImageNet): MiT of NVIDIA, mmsegmentation or
            Hugging Face, ResNet and VGG of torchvision, ResNet v1c of OpenMMLab. VGG-16 is also found beside a
            network or an aligner, as the authors' `alignment_backbone`. For encoders of timm: `timm`, what timm
            fetches for them, or a file or folder of timm's layout.
        strict: Refuse what does not fit to the last tensor; otherwise load what fits and say what does not.
        which: Of a checkpoint that has both, the student's backbone or its moving average's.

    Returns:
        The account of the tensors.

    Raises:
        CheckpointError: If there is no such file, it is broken, or does not fit; the backbone is then as it was.
        ConfigError: If `which` is neither student nor teacher.
    """
    check_which(which)
    if isinstance(backbone, TimmEncoder):
        return _load_encoder(backbone, path, strict, which)
    contents, source = find(resolve(path), which).contents, str(path)
    state, left_out = _aligners_vgg(contents) if isinstance(backbone, VGG16) and contents.vgg else _backbone(contents)
    if not state:
        raise CheckpointError(f"'{source}' ({contents.format}) holds no backbone.")
    own = backbone.state_dict()
    account = _fill(backbone, state, own, source, left_out, strict, _kinds(own, state, source))
    _log.info("%s", account)
    return account


def _load_encoder(encoder: TimmEncoder, path: str | Path, strict: bool, which: Which) -> Account:
    state, left_out = encoder_weights(encoder, path, which)
    own = wanted(encoder, state)
    account = _fill(encoder, state, own, str(path), left_out, strict, f"the backbone timm/{encoder.name}")
    _log.info("%s", account)
    return account


def _backbone(contents: Contents) -> tuple[State, dict[str, int]]:
    """A network's backbone with what belongs nowhere, and what is left out."""
    state, left_out = contents.part("backbone"), dict(contents.left_out)
    if not state:
        return state, left_out
    for part in ("head", "hrda_scale_attention"):
        if tensors := contents.part(part):
            left_out[part] = left_out.get(part, 0) + len(tensors)
    strangers = {key: value for key, value in contents.state.items() if key.partition(".")[0] not in PARTS}
    return {**state, **strangers}, left_out


def _aligners_vgg(contents: Contents) -> tuple[State, dict[str, int]]:
    """The aligner's VGG-16, and what is left out."""
    left_out = {what: count for what, count in contents.left_out.items() if what != ALIGNER_VGG}
    if contents.state:
        left_out["network"] = len(contents.state)
    return contents.vgg, left_out


def load_state(segmentor: nn.Module, state: Mapping[str, Tensor], source: str) -> None:
    """Load all tensors of a network, none more, none fewer.

    Raises:
        CheckpointError: Listing what is missing, unexpected, of another shape or not finite; the network is then as
            it was.
    """
    _fill(segmentor, dict(state), segmentor.state_dict(), source, {}, True, "")


def _fill(
    module: nn.Module,
    state: State,
    own: Mapping[str, Tensor],
    source: str,
    left_out: Mapping[str, int],
    strict: bool,
    why: str,
) -> Account:
    state, remarks = with_counters(own, state)
    account = compare(own, state, source, left_out, remarks)
    if strict:
        _refuse_misfit(account, why or _name(module))
    # all is checked: only now is anything copied
    chosen = {key: state[key].to(own[key].dtype) for key in own if key in state and fits(own[key], state[key])}
    module.load_state_dict(chosen, strict=False)
    return account


def _refuse_misfit(account: Account, why: str) -> None:
    if account.complete:
        return
    part = f"Only {account.loaded} of {account.total} tensors fit; " if account.loaded < account.total else "So "
    raise CheckpointError(f"'{account.source}' does not fit {why}: {account.problems()}. {part}nothing was loaded.")


def _refuse_excess(own: Mapping[str, Tensor], state: State, source: str) -> None:
    """Not strict, a network may have more numbers than its file, but not of any size."""
    wanted, given = (sum(tensor.numel() for tensor in tensors.values()) for tensors in (own, state))
    if wanted > _MOST_MISSING * given:
        raise CheckpointError(
            f"'{source}' has {given:,} numbers, and its shapes tell of a network of {wanted:,}: it is not made."
        )


def _name(module: nn.Module) -> str:
    config = getattr(module, "config", None)
    if isinstance(config, NetworkConfig):
        return f"the network {config}"
    return f"the {type(module).__name__}"


def _kinds(own: Mapping[str, Tensor], state: Mapping[str, Tensor], source: str) -> str:
    """Names of both backbones, where they can be told."""
    try:
        wanted, given = name_backbone(own, source), name_backbone(state, source)
    except CheckpointError:
        return "the backbone"
    return f"the backbone {wanted}" + (f", because it holds {given}" if wanted != given else "")


def _assemble(config: NetworkConfig, found: Found, source: str, strict: bool) -> tuple[Segmentor, Account]:
    """Build the network only if its file fits: a file of nonsense shapes must not take memory."""
    segmentor = build_described(config, source)
    own = segmentor.state_dict()
    state, remarks = with_counters(own, found.contents.state)
    account = compare(own, state, source, found.contents.left_out, remarks)
    if strict:
        _refuse_misfit(account, _name(segmentor))
    mine = own_classes(config)  # these are no longer on the meta device
    if mine or not account.complete or _has_hidden_tensors(segmentor):
        _refuse_excess(own, state, source)
        segmentor = segmentor if mine else build_segmentor(config)
        return segmentor, _fill(segmentor, state, own, source, found.contents.left_out, False, "")
    # copied, because tensors of a file may share memory, and what is not aligned computes other last digits
    segmentor.load_state_dict(
        {key: torch.empty_like(own[key], device="cpu").copy_(state.pop(key)) for key in own}, assign=True
    )
    return segmentor, account


def _has_hidden_tensors(module: nn.Module) -> bool:
    """Whether some tensors stand in no file, so that only the constructor can make them."""
    return any(part._non_persistent_buffers_set for part in module.modules())


def _label_space(num_classes: int, names: tuple[str, ...], source: str) -> LabelSpace:
    """Cityscapes' classes for 19 of them; else the file's names, or numbers."""
    if num_classes == CITYSCAPES.num_classes:
        return CITYSCAPES
    if not 2 <= num_classes <= 254:
        raise CheckpointError(f"'{source}' tells {num_classes} classes apart; expected 2 to 254.")
    names = names if len(names) == num_classes else tuple(f"class {index}" for index in range(num_classes))
    return LabelSpace(names, tuple((37 * i % 256, 101 * i % 256, 173 * i % 256) for i in range(1, num_classes + 1)))


def _card(found: Found, config: NetworkConfig) -> dict[str, Any]:
    """What a foreign file tells of its training, and the size of pictures that its authors evaluate at."""
    card: dict[str, Any] = {"source": found.path.name, "format": found.contents.format}
    if config.num_classes == CITYSCAPES.num_classes:
        if config.head == "segformer":
            card |= {"image_height": 1024, "image_width": 2048}
        else:
            height, width = (1080, 1920) if config.hrda else (540, 960)
            card |= {"image_height": height, "image_width": width}
    return card
