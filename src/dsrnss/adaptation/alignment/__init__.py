"""Aligners: which pixel of the day reference shows what a pixel of the night image shows (method sections 6 and 7)."""

from dsrnss.adaptation.alignment.aligners import (
    Aligner,
    Alignment,
    ClassicalAligner,
    GivenAligner,
    IdentityAligner,
    WeightlessAligner,
)
from dsrnss.adaptation.alignment.pairwise import PairwiseAligner
from dsrnss.adaptation.alignment.uawarpc import UAWarpCAligner

__all__ = [
    "Aligner",
    "Alignment",
    "ClassicalAligner",
    "GivenAligner",
    "IdentityAligner",
    "PairwiseAligner",
    "UAWarpCAligner",
    "WeightlessAligner",
]
