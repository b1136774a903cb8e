"""SynthNight: an embedded data set of procedural street scenes by day and by night.

Every sample is drawn from (seed, split, index) when it is asked for; no file is read or written. All 19
Cityscapes classes occur. `source` shows one city by day; `target`, `val` and `test` show another city by night,
each with a day picture of the same place from another pose with other traffic, and the true flow to it.
"""

from .generator import SPLITS, STYLES, Style, SynthScene, generate
from .presets import DEFAULT_NIGHT, NIGHT_PRESETS, NightPreset

__all__ = ["DEFAULT_NIGHT", "NIGHT_PRESETS", "SPLITS", "STYLES", "NightPreset", "Style", "SynthScene", "generate"]
