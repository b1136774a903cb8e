"""Data sets, their samples and the loaders that feed training.

Names are loaded when first used: `dsrnss.data.synthnight.generate` works without torch.
"""

from typing import TYPE_CHECKING

from dsrnss.lazy import lazy_names

if TYPE_CHECKING:
    from dsrnss.data.alignment_store import AlignedPairs
    from dsrnss.data.base import Sample, SegmentationDataset
    from dsrnss.data.datamodule import AdaptationDataModule
    from dsrnss.data.sampling import RareClassSampling
    from dsrnss.data.sets.acdc import ACDC
    from dsrnss.data.sets.bdd100k_night import BDD100kNight
    from dsrnss.data.sets.cityscapes import Cityscapes
    from dsrnss.data.sets.dark_zurich import DarkZurich
    from dsrnss.data.sets.folder import Folder
    from dsrnss.data.sets.nighttime_driving import NighttimeDriving
    from dsrnss.data.synthnight.dataset import SynthNight

_HOMES = {
    "ACDC": "dsrnss.data.sets.acdc",
    "AdaptationDataModule": "dsrnss.data.datamodule",
    "AlignedPairs": "dsrnss.data.alignment_store",
    "BDD100kNight": "dsrnss.data.sets.bdd100k_night",
    "Cityscapes": "dsrnss.data.sets.cityscapes",
    "DarkZurich": "dsrnss.data.sets.dark_zurich",
    "Folder": "dsrnss.data.sets.folder",
    "NighttimeDriving": "dsrnss.data.sets.nighttime_driving",
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


__getattr__, __dir__ = lazy_names(__name__, _HOMES)
