"""Pictures without meaning, of the size that an experiment trains with: where its data sets are not there."""

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from dsrnss.adaptation.records import Batch
from dsrnss.data.base import Size
from dsrnss.data.datamodule import AdaptationDataModule
from dsrnss.data.synthnight import generate
from dsrnss.data.synthnight.generator import LARGEST
from dsrnss.presence import classes_present

PICTURE = (1080, 1920)
"""(height, width) of a picture of Dark Zurich or ACDC."""
_BLOCK = 32


def training_batch(data: AdaptationDataModule) -> Batch:
    """A batch of noise, labelled in blocks, with the planes that batches of an experiment have."""
    generator = torch.Generator().manual_seed(0)
    size = data.crop_size

    def images(number: int) -> Tensor:
        return torch.randn(number, 3, *size, generator=generator)

    number = data.source_batch_size
    rows, columns = (-(-side // _BLOCK) for side in size)
    blocks = torch.randint(0, len(data.source.classes), (number, rows, columns), generator=generator)
    label = blocks.repeat_interleave(_BLOCK, 1).repeat_interleave(_BLOCK, 2)[:, : size[0], : size[1]].contiguous()
    batch: dict[str, Any] = {"source": {"image": images(number), "label": label, "present": classes_present(label)}}
    if data.target is not None:
        number = data.target_batch_size
        target = {"image": images(number), "box": torch.tensor([[0.0, 0.0, 1.0, 1.0]]).expand(number, 4)}
        if data.target.references:
            flow, confidence = torch.zeros(number, 2, *size), torch.ones(number, 1, *size)
            target |= {"reference": images(number), "flow": flow, "confidence": confidence}
        batch["target"] = target
    return batch


def picture_pair(size: Size, index: int = 0) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """A drawn night scene and the same place by day, (H, W, 3) uint8 each: matchers need something to match."""
    import cv2

    drawn = (min(size[0], LARGEST[0]), min(size[1], LARGEST[1]))
    scene = generate("target", index, size=drawn)
    night, day = (
        np.ascontiguousarray(cv2.resize(picture, size[::-1], interpolation=cv2.INTER_LINEAR))
        for picture in (scene.image, np.asarray(scene.reference))
    )
    return night.astype(np.uint8), day.astype(np.uint8)
