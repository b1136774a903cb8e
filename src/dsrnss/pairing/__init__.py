"""Day references found by the program: by where pictures were taken, by what they show, and by aligning them."""

from typing import TYPE_CHECKING

from dsrnss.lazy import lazy_names

if TYPE_CHECKING:
    from dsrnss.pairing.finding import Found as Found
    from dsrnss.pairing.finding import Pair as Pair
    from dsrnss.pairing.finding import find_pairs as find_pairs

_HOMES = dict.fromkeys(("Found", "Pair", "find_pairs"), "dsrnss.pairing.finding")

__all__ = [*_HOMES]

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
