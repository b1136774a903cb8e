"""What a picture shows, as numbers that night and day share: an encoder's finest feature map on a coarse grid.

Each picture is normalised by its own mean and deviation, each channel of its map likewise; then what is common to all
night pictures is taken away from them, and what is common to all day pictures from those. The grid keeps where things
are; a camera that looks a little to the side is met by shifting it.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dsrnss.adaptation.alignment.classical_structure import Image, Map, resize, working_size
from dsrnss.data.parallel import Progress, parallel_map
from dsrnss.pictures import decode

GRID = (8, 16)
"""Rows and columns."""
SHIFTS = (0, -1, 1, -2, 2)
"""Columns of the grid."""
FEW = 8
"""What pictures have in common is believed half where there are so many."""


def picture(path: Path, size: tuple[int, int] | None = None) -> Image:
    """A picture at the size at which pictures are aligned.

    Args:
        path: The file.
        size: (height, width); None: that of its own proportions.

    Raises:
        ImageError: If it cannot be read.
    """
    pixels = np.array(decode(path))
    return np.ascontiguousarray(resize(pixels, size or working_size(*pixels.shape[:2])), np.uint8)


def describe(
    backbone: nn.Module, paths: Sequence[Path], workers: int | None = None, progress: Progress | None = None
) -> Map:
    """Describe pictures.

    Args:
        backbone: Encoder, (B, 3, H, W) -> feature maps, finest first; in eval mode.
        paths: The files.
        workers: Processes; None: one a core.
        progress: Called with (pictures done, pictures in all).

    Returns:
        (N, C, 8, 16), of the finest feature map.

    Raises:
        ImageError: If a picture cannot be read.
    """
    maps = parallel_map(_describe, backbone, paths, workers=workers, progress=progress)
    return np.stack(maps).astype(np.float32)


@torch.inference_mode()
def _describe(backbone: nn.Module, path: Path) -> npt.NDArray[np.float16]:
    image = torch.from_numpy(picture(path)).permute(2, 0, 1)[None].float()
    maps = backbone((image - image.mean((2, 3), keepdim=True)) / (image.std((2, 3), keepdim=True) + 1))
    pooled = F.adaptive_avg_pool2d(_standard(maps[0]), GRID)[0]
    return np.asarray(_standard(pooled).numpy(), np.float16)


def _standard(maps: Tensor) -> Tensor:
    """Each channel without its mean and deviation over the picture."""
    deviation, mean = torch.std_mean(maps, (-2, -1), keepdim=True)
    return (maps - mean) / (deviation + 1e-3)


def similarities(nights: Map, days: Map) -> Map:
    """Cosine similarity of every night picture to every day picture, at the shift that suits them best.

    Args:
        nights: As of `describe`.
        days: Likewise, of the same encoder.

    Returns:
        (N, M) in [-1, 1].
    """
    nights, days = _distinct(nights), _distinct(days)
    columns = GRID[1]
    found = np.full((len(nights), len(days)), -1, np.float32)
    for shift in SHIFTS:
        one = nights[..., max(0, shift) : columns + min(0, shift)]
        other = days[..., max(0, -shift) : columns - max(0, shift)]
        np.maximum(found, _unit(one) @ _unit(other).T, out=found)
    return found


def _distinct(maps: Map) -> Map:
    """Maps without what all pictures have in common."""
    return np.asarray(maps - maps.sum(0) / (len(maps) + FEW), np.float32)


def _unit(maps: Map) -> Map:
    flat = maps.reshape(len(maps), -1)
    return np.asarray(flat / (np.linalg.norm(flat, axis=1, keepdims=True) + 1e-6), np.float32)
