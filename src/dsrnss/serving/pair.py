"""A night picture together with a day picture of the same place: what a teacher sees while it labels a target image."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from dsrnss.inference.engine import LEAST_PROBABILITY
from dsrnss.inference.results import Segmentation
from dsrnss.inference.segmenter import Segmenter
from dsrnss.optional import optional


@dataclass(frozen=True, eq=False)
class Refined:
    """What a day reference brings.

    Attributes:
        night: (h, w, 3) uint8, the night picture at the size that it was aligned at.
        day: (h, w, 3) uint8, the reference.
        warped: (h, w, 3) uint8, the reference as seen from the night's place, black where it shows nothing.
        flow: (h, w, 2) float32 night -> day, x then y, in pixels.
        agreement: (h, w) float32, confidence of the aligner in [0, 1].
        result: The refined labels, at the size of the night picture.
    """

    night: npt.NDArray[np.uint8]
    day: npt.NDArray[np.uint8]
    warped: npt.NDArray[np.uint8]
    flow: npt.NDArray[np.float32]
    agreement: npt.NDArray[np.float32]
    result: Segmentation


def refine_pair(
    segmenter: Segmenter, night: Image.Image, day: Image.Image, name: str, step: Callable[[], None]
) -> tuple[Segmentation, Refined]:
    """Segment a night picture alone, and refined by a day reference (Refign, arXiv 2207.06825).

    Args:
        segmenter: The network.
        night: RGB.
        day: RGB; it is scaled to the night picture's size.
        name: What to call the result.
        step: Called between the steps; what it raises ends the work.

    Raises:
        ImageError: If a picture does not fit in the device's memory.
        ConfigError: If PyTorch is not installed.
    """
    torch = optional("torch", "Day references need PyTorch", "torch")
    from dsrnss.adaptation.alignment.classical import align_pair
    from dsrnss.adaptation.geometry import warp
    from dsrnss.adaptation.refinement import refine

    day = day.resize(night.size)
    scores = segmenter.engine.to_numpy(segmenter.scores([night, day], name))
    plain = segmenter.labelled(segmenter.engine.from_numpy(scores[0]), night, name)
    step()
    small_night, small_day = segmenter.scaled(night), segmenter.scaled(day)
    flow, agreement = align_pair(small_night, small_day)
    step()
    moved = torch.from_numpy(flow).permute(2, 0, 1)[None]
    logits_night, logits_day = torch.from_numpy(scores).float().split(1)
    warped_logits, valid = warp(logits_day, moved)
    static = segmenter.label_space.large_static
    probabilities = refine(logits_night, warped_logits, valid, torch.from_numpy(agreement)[None, None], static)
    refined = segmenter.engine.from_numpy(probabilities[0].clamp(min=LEAST_PROBABILITY).log().numpy())
    step()
    pixels = torch.tensor(small_day).permute(2, 0, 1)[None].float()
    warped = (warp(pixels, moved)[0] * valid[:, None]).round().byte()[0].permute(1, 2, 0).numpy()
    result = segmenter.labelled(refined, night, name)
    return plain, Refined(small_night, small_day, warped, flow, agreement, result)
