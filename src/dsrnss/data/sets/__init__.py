"""The data sets in files, each in its official layout, and what reads their label files.

A new one is a module of this package and its line in `HOMES` (with the import beside it, for type checkers). Commands
find it by the `key` of its class, its folder by its `signs`, its test server by its `benchmark`.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dsrnss.data.files import FileDataset
    from dsrnss.data.sets.acdc import ACDC as ACDC
    from dsrnss.data.sets.bdd100k_night import BDD100kNight as BDD100kNight
    from dsrnss.data.sets.cityscapes import Cityscapes as Cityscapes
    from dsrnss.data.sets.dark_zurich import DarkZurich as DarkZurich
    from dsrnss.data.sets.folder import Folder as Folder
    from dsrnss.data.sets.nighttime_driving import NighttimeDriving as NighttimeDriving

HOMES = {
    "Cityscapes": "dsrnss.data.sets.cityscapes",
    "DarkZurich": "dsrnss.data.sets.dark_zurich",
    "NighttimeDriving": "dsrnss.data.sets.nighttime_driving",
    "BDD100kNight": "dsrnss.data.sets.bdd100k_night",
    "ACDC": "dsrnss.data.sets.acdc",
    "Folder": "dsrnss.data.sets.folder",
}
"""Class -> the module that defines it; all are names of `dsrnss.data`, imported when first used."""


def known_sets() -> dict[str, "type[FileDataset]"]:
    """Name on the command line -> class, of all sets that have an official layout."""
    classes = [getattr(import_module(home), name) for name, home in HOMES.items()]
    return {cls.key: cls for cls in classes if cls.key}
