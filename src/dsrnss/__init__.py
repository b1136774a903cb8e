"""Semantic segmentation of night scenes by unsupervised domain adaptation (DSRNSS, arXiv 2310.04747).

Importing this package is cheap: torch is imported when a name of the public interface is first used.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dsrnss.inference.segmenter import Segmenter
    from dsrnss.models.segmentor import list_models

__version__ = "0.1.0"

__all__ = ["Segmenter", "__version__", "list_models"]

_HOMES = {"Segmenter": "dsrnss.inference.segmenter", "list_models": "dsrnss.models.segmentor"}


def __getattr__(name: str) -> Any:
    """Import a public name from its home when it is first asked for (PEP 562).

    Raises:
        AttributeError: If the package has no such name.
    """
    if name not in _HOMES:
        raise AttributeError(f"module 'dsrnss' has no attribute '{name}'")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
