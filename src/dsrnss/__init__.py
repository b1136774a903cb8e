"""Semantic segmentation of night scenes by unsupervised domain adaptation (DSRNSS, arXiv 2310.04747).

Importing this package is cheap: torch is imported when a name of the public interface is first used.
"""

from typing import TYPE_CHECKING

from dsrnss.lazy import lazy_names

if TYPE_CHECKING:
    from dsrnss.automation.run import adapt
    from dsrnss.data.datamodule import AdaptationDataModule
    from dsrnss.inference.segmenter import Segmenter
    from dsrnss.models.config import NetworkConfig
    from dsrnss.models.factory import build_segmentor, list_models
    from dsrnss.models.weights.pretrained import load_pretrained, save_pretrained
    from dsrnss.models.weights.registry import list_weights
    from dsrnss.training.task import AdaptationTask

__version__ = "0.1.0"

__all__ = [
    "AdaptationDataModule",
    "AdaptationTask",
    "NetworkConfig",
    "Segmenter",
    "__version__",
    "adapt",
    "build_segmentor",
    "list_models",
    "list_weights",
    "load_pretrained",
    "save_pretrained",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "AdaptationDataModule": "dsrnss.data.datamodule",
        "AdaptationTask": "dsrnss.training.task",
        "NetworkConfig": "dsrnss.models.config",
        "Segmenter": "dsrnss.inference.segmenter",
        "adapt": "dsrnss.automation.run",
        "build_segmentor": "dsrnss.models.factory",
        "list_models": "dsrnss.models.factory",
        "list_weights": "dsrnss.models.weights.registry",
        "load_pretrained": "dsrnss.models.weights.pretrained",
        "save_pretrained": "dsrnss.models.weights.pretrained",
    },
)
