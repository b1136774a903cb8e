"""Weights: where published ones lie, every layout they come in, and how a network is read and written.

Names are loaded when first used: the registry can be listed without torch.
"""

from typing import TYPE_CHECKING

from dsrnss.lazy import lazy_names

if TYPE_CHECKING:
    from dsrnss.models.weights.account import Account
    from dsrnss.models.weights.description import describe, label_space_from_dict
    from dsrnss.models.weights.files import CARD_KEY, kind_of
    from dsrnss.models.weights.pretrained import (
        Pretrained,
        load_backbone,
        load_pretrained,
        load_state,
        save_pretrained,
    )
    from dsrnss.models.weights.reading import damage, read_checkpoint
    from dsrnss.models.weights.registry import DEMO_MODEL, list_weights
    from dsrnss.models.weights.resolving import resolve

__all__ = [
    "CARD_KEY",
    "DEMO_MODEL",
    "Account",
    "Pretrained",
    "damage",
    "describe",
    "kind_of",
    "label_space_from_dict",
    "list_weights",
    "load_backbone",
    "load_pretrained",
    "load_state",
    "read_checkpoint",
    "resolve",
    "save_pretrained",
]

_PRETRAINED = ("Pretrained", "load_backbone", "load_pretrained", "load_state", "save_pretrained")
_HOMES = {
    "DEMO_MODEL": "registry",
    "Account": "account",
    "CARD_KEY": "files",
    "damage": "reading",
    "describe": "description",
    "kind_of": "files",
    "label_space_from_dict": "description",
    "list_weights": "registry",
    "read_checkpoint": "reading",
    "resolve": "resolving",
    **dict.fromkeys(_PRETRAINED, "pretrained"),
}

__getattr__, __dir__ = lazy_names(__name__, {name: f"{__name__}.{module}" for name, module in _HOMES.items()})
