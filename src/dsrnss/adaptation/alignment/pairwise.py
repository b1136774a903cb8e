"""Aligners of batches as aligners of single pictures, so that `dsrnss.data.AlignedPairs` stores what they find."""

import multiprocessing

import numpy as np
import numpy.typing as npt
import torch

from dsrnss.adaptation.alignment.aligners import Aligner
from dsrnss.normalisation import normalise


class PairwiseAligner:
    """Any aligner, such as UAWarpC, for one pair of pictures at a time.

    It computes on the GPU if there is one, but for worker processes, which could not all have it.

    Args:
        aligner: The aligner of batches.
    """

    def __init__(self, aligner: Aligner) -> None:
        self.aligner = aligner

    @property
    def parallel(self) -> bool:
        """Whether several processes are faster than one."""
        return not torch.cuda.is_available()

    def fingerprint(self) -> str:
        """What the aligner says of itself beyond its settings, such as its weights."""
        own = getattr(self.aligner, "fingerprint", None)
        return str(own()) if own is not None else ""

    @torch.no_grad()
    def __call__(
        self, target: npt.NDArray[np.uint8], reference: npt.NDArray[np.uint8]
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Align.

        Args:
            target: (H, W, 3) uint8 RGB, the night image.
            reference: (H, W, 3) uint8 RGB, the day reference at the same size.

        Returns:
            The (H, W, 2) flow target -> reference in pixels (x, y), and its (H, W) confidence in [0, 1].
        """
        alone = multiprocessing.parent_process() is None and torch.cuda.is_available()
        device = torch.device("cuda" if alone else "cpu")
        night, day = (
            normalise(torch.from_numpy(picture).permute(2, 0, 1)[None]).to(device) for picture in (target, reference)
        )
        flow, confidence = self.aligner(night, day)
        if confidence is None:
            confidence = torch.ones_like(flow[:, :1])
        return flow[0].permute(1, 2, 0).cpu().numpy(), confidence[0, 0].cpu().numpy()
