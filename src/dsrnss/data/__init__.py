"""Data sets, their samples and the loaders that feed training.

Names are loaded when first used: `dsrnss.data.synthnight.generate` works without torch.
"""

from typing import TYPE_CHECKING

from dsrnss.data.sets import HOMES
from dsrnss.lazy import lazy_names

if TYPE_CHECKING:
    from dsrnss.data.alignment_store import AlignedPairs as AlignedPairs
    from dsrnss.data.base import Sample as Sample
    from dsrnss.data.base import SegmentationDataset as SegmentationDataset
    from dsrnss.data.datamodule import AdaptationDataModule as AdaptationDataModule
    from dsrnss.data.multi_source import MultiSource as MultiSource
    from dsrnss.data.multi_source import Remapped as Remapped
    from dsrnss.data.sampling import RareClassSampling as RareClassSampling
    from dsrnss.data.sets import *  # noqa: F403
    from dsrnss.data.synthnight.dataset import SynthNight as SynthNight

_HOMES = {
    **HOMES,
    "AdaptationDataModule": "dsrnss.data.datamodule",
    "AlignedPairs": "dsrnss.data.alignment_store",
    "MultiSource": "dsrnss.data.multi_source",
    "RareClassSampling": "dsrnss.data.sampling",
    "Remapped": "dsrnss.data.multi_source",
    "Sample": "dsrnss.data.base",
    "SegmentationDataset": "dsrnss.data.base",
    "SynthNight": "dsrnss.data.synthnight.dataset",
}

__all__ = [*_HOMES]

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
