"""Networks in 8 bits: an ONNX file whose weights and activations are whole numbers, calibrated on pictures.

Static quantisation of ONNX Runtime (QDQ, weights by channel): the range of every activation is what it was on the
calibration pictures. What that costs is measured on other pictures.
"""

import json
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from dsrnss.inference.export import description, quiet
from dsrnss.inference.onnx_engine import INPUT, METADATA_KEY
from dsrnss.inference.segmenter import Segmenter
from dsrnss.metrics import ConfusionMatrix, mean_iou
from dsrnss.writing import atomic

_OPERATORS = ["Conv", "MatMul", "Gemm"]
"""What is computed in 8 bits; all else is cheap, or loses too much."""

Picture = tuple[Image.Image, npt.NDArray[np.uint8] | None]
"""Upright RGB, and its labels (H, W) where they are known."""


@dataclass(frozen=True)
class Loss:
    """What 8 bits cost, measured on pictures that were not calibrated on.

    Attributes:
        pictures: Their number.
        same_class: Share of the pixels whose class is that of the network in float32.
        mean_iou: In float32 and in 8 bits, where labels are known; else None.
        time: Processor time in 8 bits over that in float32, both by ONNX Runtime.
    """

    pictures: int
    same_class: float
    mean_iou: tuple[float, float] | None
    time: float


def quantize(source: Path, out: Path, segmenter: Segmenter, pictures: Iterable[Image.Image]) -> None:
    """Write an ONNX file in 8 bits.

    Args:
        source: The file in float32.
        out: The file; it appears when it is complete.
        segmenter: The network that `source` was made of.
        pictures: What the ranges of the activations are taken from.

    Raises:
        ConfigError: If the network cannot be quantised.
        OutputError: If the file cannot be written.
    """
    import onnx
    from onnxruntime import quantization
    from onnxruntime.quantization.shape_inference import quant_pre_process

    with atomic(out) as draft, tempfile.TemporaryDirectory() as folder:
        plain, whole = (str(Path(folder) / name) for name in ("plain.onnx", "int8.onnx"))
        with quiet(segmenter.segmentor):
            quant_pre_process(str(source), plain, skip_symbolic_shape=True)
            quantization.quantize_static(
                plain,
                whole,
                _Reader(segmenter.scaled(picture) for picture in pictures),
                quant_format=quantization.QuantFormat.QDQ,
                per_channel=True,
                op_types_to_quantize=_OPERATORS,
            )
        model = onnx.load(whole)
        onnx.helper.set_model_props(model, {METADATA_KEY: json.dumps(description(segmenter, "int8"))})
        onnx.save(model, str(draft))


class _Reader:
    """Pictures one by one, as ONNX Runtime asks for them."""

    def __init__(self, pictures: Iterator[npt.NDArray[np.uint8]]) -> None:
        self._pictures = pictures

    def get_next(self) -> dict[str, Any] | None:
        """The next one; None: that was all."""
        picture = next(self._pictures, None)
        return None if picture is None else {INPUT: np.ascontiguousarray(picture.transpose(2, 0, 1)[None])}


def measure(source: Path, out: Path, pictures: Sequence[Picture]) -> Loss:
    """Compare the file in 8 bits with that in float32.

    Args:
        source: The file in float32.
        out: The file in 8 bits.
        pictures: What to compare them on.
    """
    segmenters = [Segmenter.from_onnx(path, device="cpu") for path in (source, out)]
    classes = segmenters[0].label_space.num_classes
    counts, seconds, same, pixels = [ConfusionMatrix(classes) for _ in segmenters], [0.0, 0.0], 0, 0
    for image, truth in pictures:
        found = []
        for index, segmenter in enumerate(segmenters):
            started = time.process_time()
            found.append(segmenter(image).labels)
            seconds[index] += time.process_time() - started
            if truth is not None:
                counts[index].update(torch.from_numpy(found[-1])[None], torch.from_numpy(truth)[None])
        same += int((found[0] == found[1]).sum())
        pixels += found[0].size
    means = None
    if any(truth is not None for _, truth in pictures):
        first, second = (mean_iou(count.compute()[:, :classes].numpy()) for count in counts)
        means = (first, second)
    return Loss(len(pictures), same / pixels, means, seconds[1] / seconds[0])
