"""Data sets, their samples and the loaders that feed training.

Names are loaded when first used: `dsrnss.data.synthnight.generate` works without torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dsrnss.data.acdc import ACDC
    from dsrnss.data.alignment_cache import AlignedPairs
    from dsrnss.data.base import Sample, SegmentationDataset
    from dsrnss.data.bdd100k_night import BDD100kNight
    from dsrnss.data.cityscapes import Cityscapes
    from dsrnss.data.dark_zurich import DarkZurich
    from dsrnss.data.datamodule import AdaptationDataModule
    from dsrnss.data.folder import Folder
    from dsrnss.data.nighttime_driving import NighttimeDriving
    from dsrnss.data.sampling import RareClassSampling
    from dsrnss.data.synthnight.dataset import SynthNight

_HOMES = {
    "ACDC": "dsrnss.data.acdc",
    "AdaptationDataModule": "dsrnss.data.datamodule",
    "AlignedPairs": "dsrnss.data.alignment_cache",
    "BDD100kNight": "dsrnss.data.bdd100k_night",
    "Cityscapes": "dsrnss.data.cityscapes",
    "DarkZurich": "dsrnss.data.dark_zurich",
    "Folder": "dsrnss.data.folder",
    "NighttimeDriving": "dsrnss.data.nighttime_driving",
    "RareClassSampling": "dsrnss.data.sampling",
    "Sample": "dsrnss.data.base",
    "SegmentationDataset": "dsrnss.data.base",
    "SynthNight": "dsrnss.data.synthnight.dataset",
}

__all__ = [
    "ACDC",
    "AdaptationDataModule",
    "AlignedPairs",
    "BDD100kNight",
    "Cityscapes",
    "DarkZurich",
    "Folder",
    "NighttimeDriving",
    "RareClassSampling",
    "Sample",
    "SegmentationDataset",
    "SynthNight",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'dsrnss.data' has no attribute '{name}'")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
