"""A trained network as something that takes photographs.

Importing this imports no torch: a model in an ONNX file runs without it.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
from PIL import Image

from dsrnss.errors import CheckpointError, ConfigError, ImageError
from dsrnss.inference.engine import Engine, Pictures, Scores
from dsrnss.inference.labelling import StripLabeller
from dsrnss.inference.photograph import ImageInput, as_picture
from dsrnss.inference.results import Segmentation
from dsrnss.labels import LabelSpace
from dsrnss.models.config import is_whole
from dsrnss.models.grid import pixel_pair
from dsrnss.models.weights.registry import DEMO_MODEL

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from dsrnss.models.segmentor import Segmentor

ONNX_SUFFIX = ".onnx"
_UNKNOWN_HEIGHT = 512
"""Pixels; the training height taken for granted where a model's card does not state it."""

_SMALLEST_WORKING_SIDE = 32
_LARGEST_WORKING_AREA = 2**20
"""Pixels; a photograph is not segmented at more, unless the training pictures were larger than that."""

_LARGEST_CARD_SIDE = 2**16
"""Pixels; a card that says more was not written by a training run."""


class Segmenter:
    """Segments photographs of any size.

    A photograph is scaled to the height that the network was trained at, and its logits are interpolated to the
    photograph's own size before the best class is taken.

    Args:
        network: The network, or what runs it.
        label_space: The classes it tells apart.
        card: What is known of its training; `image_height` (pixels) chooses the scale.
        device: Where it runs: `auto`, `cpu`, `cuda`, `cuda:1`, ...
        precision: Of its arithmetic: `float32`, `float16` or `bfloat16`.
        height: Height that photographs are scaled to, in pixels, instead of the card's.
        window: Height and width of sliding windows on the scaled photograph, in pixels; by default it is segmented
            whole.
        flip: Segment each photograph mirrored too and average the probabilities: twice the time.
        compile: Let torch.compile make code for the network: minutes at first; meant for GPUs (docs/performance.md).

    Raises:
        ConfigError: If `height` or `window` is too small, `device` no device, or PyTorch does not run what is compiled.
        HardwareError: If this machine does not have the device, or no compiler for it.
    """

    def __init__(
        self,
        network: "Segmentor | Engine",
        label_space: LabelSpace,
        card: Mapping[str, Any] | None = None,
        *,
        device: "str | torch.device" = "auto",
        precision: str = "float32",
        height: int | None = None,
        window: tuple[int, int] | None = None,
        flip: bool = False,
        compile: bool = False,
    ) -> None:
        least = _SMALLEST_WORKING_SIDE
        if height is not None and height < least:
            raise ConfigError(f"height is at least {least} pixels, not {height}.")
        if window is not None and min(window := pixel_pair("window", window)) < least:
            raise ConfigError(f"A window is at least {least} x {least} pixels, not {window[0]} x {window[1]}.")
        if isinstance(network, Engine) and compile:
            raise ConfigError("An ONNX file is compiled already: leave out 'compile'.")
        self.engine = network if isinstance(network, Engine) else _by_torch(network, device, precision, compile)
        self.label_space = label_space
        self.card = dict(card or {})
        self.height = height
        self.window = window
        self.flip = flip

    @classmethod
    def from_pretrained(
        cls, path: str | Path | None = None, *, which: Literal["student", "teacher"] = "student", **options: Any
    ) -> "Segmenter":
        """Read a network, whoever published it.

        Args:
            path: A file (.ckpt, .safetensors, .pth) or folder of this package, of the authors, or a SegFormer of NVIDIA
                or Hugging Face; a name of `dsrnss weights list`; an address (https://...); a repository on the
                Hugging Face hub, "user/name"; or an .onnx file of `dsrnss export`.
                By default the packaged demo network, which has seen only synthetic scenes.
            which: Of a .ckpt, the student or its moving average.
            **options: `device`, `precision`, `height`, `window`, `flip` and `compile`, as in the constructor.

        Raises:
            CheckpointError: If there is no such file, it is broken, or it holds no network that is known.
            ConfigError: As in the constructor.
            HardwareError: As in the constructor.
        """
        if path is not None and Path(path).suffix.lower() == ONNX_SUFFIX:
            return cls.from_onnx(path, **options)
        from dsrnss.inference.torch_engine import find_device
        from dsrnss.models.weights import load_pretrained

        options["device"] = find_device(options.get("device", "auto"))
        if path is None and not DEMO_MODEL.is_file():
            raise CheckpointError(
                f"The packaged demo model is not at '{DEMO_MODEL}'. Give the path of a model, or a name of "
                "`dsrnss weights list`."
            )
        pretrained = load_pretrained(DEMO_MODEL if path is None else path, which)
        return cls(pretrained.segmentor, pretrained.label_space, pretrained.card, **options)

    @classmethod
    def from_onnx(
        cls, path: str | Path, *, device: str = "auto", precision: str = "float32", **options: Any
    ) -> "Segmenter":
        """Read a network that `dsrnss export` wrote; ONNX Runtime runs it, torch is not imported.

        Args:
            path: The .onnx file.
            device: `auto`, `cpu`, `cuda` or `cuda:1`, ...; GPUs need the package onnxruntime-gpu.
            precision: `float32`: that of the file counts.
            **options: `height`, `window` and `flip`, as in the constructor.

        Raises:
            CheckpointError: If there is no such file, or `dsrnss export` did not write it.
            ConfigError: If ONNX Runtime is not installed, or an option is wrong.
            HardwareError: If this machine does not have the device.
        """
        from dsrnss.inference.onnx_engine import OnnxEngine

        engine = OnnxEngine(path, device, precision)
        return cls(engine, engine.label_space, engine.card, **options)

    @property
    def device(self) -> Any:
        """Where the network runs."""
        return self.engine.device

    @property
    def segmentor(self) -> "Segmentor":
        """The network as a module of PyTorch.

        Raises:
            ConfigError: If PyTorch does not run it.
        """
        found: Segmentor | None = getattr(self.engine, "segmentor", None)
        if found is None:
            raise ConfigError("A model of an ONNX file is no module of PyTorch: load the file that was exported.")
        return found

    def __call__(self, image: ImageInput, *, name: str | None = None) -> Segmentation:
        """Segment one photograph.

        Args:
            image: A file, a PIL image of any mode, or a uint8 array (H, W, 3) RGB, (H, W, 4) RGBA or (H, W) grey.
            name: What to call it in messages and results; by default the file's name without its ending.

        Returns:
            Labels and confidence at the photograph's own size.

        Raises:
            ImageError: If it cannot be read, is too small, is no picture, or does not fit in the device's memory.
        """
        name = name or (Path(image).stem if isinstance(image, (str, Path)) else "picture")
        return self.segment([as_picture(image, name)], [name])[0]

    def segment(self, pictures: Sequence[Image.Image], names: Sequence[str]) -> list[Segmentation]:
        """Segment pictures that pass the network as one batch.

        Args:
            pictures: Upright RGB, all of the same working size.
            names: What to call each.

        Raises:
            ImageError: If they do not fit in the device's memory.
        """
        if (window := self.window) is None:
            batch = self.scores(pictures, names[0])
            return [self.labelled(*item) for item in zip(batch, pictures, names, strict=True)]
        with self.memory_told(names[0]):
            scaled = np.stack([self.scaled(picture) for picture in pictures])
            labellers = [self.engine.labeller(scaled.shape[1], (image.height, image.width)) for image in pictures]
            for band in self._averaged(scaled, lambda batch: self.engine.bands(batch, window)):
                for labeller, scores in zip(labellers, band, strict=True):
                    labeller.add(scores)
        return [self._result(*item) for item in zip(labellers, pictures, names, strict=True)]

    def scores(self, pictures: Sequence[Image.Image], name: str) -> Scores:
        """The first half of `segment`: (B, C, h, w) logits at the working size, as the engine holds them."""
        with self.memory_told(name):
            scaled = np.stack([self.scaled(picture) for picture in pictures])
            return next(self._averaged(scaled, lambda batch: iter([self.engine.scores(batch, self.window)])))

    def _averaged(self, pictures: Pictures, scores_of: Callable[[Pictures], Iterator[Scores]]) -> Iterator[Scores]:
        """Scores of pictures (B, h, w, 3), if `flip` says so averaged with those of the mirrored ones."""
        if not self.flip:
            yield from scores_of(pictures)
            return
        mirrored = scores_of(np.ascontiguousarray(pictures[:, :, ::-1]))
        for scores, other in zip(scores_of(pictures), mirrored, strict=True):
            yield self.engine.mixed(scores, self.engine.mirrored(other), 0.5)

    def labelled(self, scores: Scores, picture: Image.Image, name: str) -> Segmentation:
        """The second half of `segment`: labels at a picture's own size of its logits (C, h, w)."""
        with self.memory_told(name):
            labeller = self.engine.labeller(scores.shape[-2], (picture.height, picture.width))
            labeller.add(scores)
        return self._result(labeller, picture, name)

    def _result(self, labeller: StripLabeller, picture: Image.Image, name: str) -> Segmentation:
        return Segmentation(labeller.labels, labeller.confidence, self.label_space, picture, name)

    @contextmanager
    def memory_told(self, name: str) -> Iterator[None]:
        """Say of a picture whose work inside the block does not fit into memory what to do.

        Raises:
            ImageError: If it does not.
        """
        try:
            yield
        except MemoryError as error:
            raise ImageError(
                f"'{name}' needs more memory than {self.device} has free: lower the height, or give a window."
            ) from error

    def scaled(self, picture: Image.Image) -> npt.NDArray[np.uint8]:
        """A picture as the network sees it: (h, w, 3) RGB at its working size."""
        height, width = self.working_size((picture.height, picture.width))
        # reducing_gap shrinks huge photographs by whole factors first: much faster, no visible difference
        return np.asarray(picture.resize((width, height), Image.Resampling.BICUBIC, reducing_gap=3.0))

    def logits(
        self,
        images: "Tensor",
        mode: Literal["whole", "slide"] = "whole",
        window: tuple[int, int] | None = None,
        stride: tuple[int, int] | None = None,
    ) -> "Tensor":
        """Class scores of pictures that are already tensors, at their own size.

        Args:
            images: (B, 3, H, W) ImageNet-normalised RGB of any floating-point type, computed in float32. Where a side
                is below 32 pixels (HRDA: 64), the edge is repeated up to that size and cut off the result.
            mode: `whole`, or `slide` for overlapping windows whose logits are averaged.
            window: Height and width of a window in pixels; needed to slide.
            stride: Distance of two windows in pixels, up to the window; by default half of it.

        Returns:
            (B, C, H, W) float32, on the segmenter's device.

        Raises:
            ConfigError: If the images are no such tensor, window or stride are no pair of numbers, or do not fit the
                mode; or if PyTorch does not run the network.
        """
        from dsrnss.inference.torch_engine import TorchEngine

        if not isinstance(self.engine, TorchEngine):
            raise ConfigError("A model of an ONNX file takes no tensors: load the file that was exported.")
        return self.engine.logits(images, mode, window, stride)

    def working_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """At which size a photograph is segmented.

        Its height becomes that of the training pictures: the demo network, trained on 192 rows, finds road in the sky
        at twice that. The constructor's `height` goes first.

        Args:
            size: Height and width of the photograph, in pixels.

        Returns:
            Height and width in pixels.

        Raises:
            CheckpointError: If the card gives a size that is none.
        """
        height, width = size
        trained = self._card_side("image_height") or _UNKNOWN_HEIGHT
        largest = max(_LARGEST_WORKING_AREA, trained * self._card_side("image_width"))
        scale = min(trained / height, math.sqrt(largest / (height * width)))
        if self.height is not None:
            scale = self.height / height
        least, most = _SMALLEST_WORKING_SIDE, largest // _SMALLEST_WORKING_SIDE
        return min(max(round(height * scale), least), most), min(max(round(width * scale), least), most)

    def _card_side(self, name: str) -> int:
        """Pixels by the card, 0 where it does not say."""
        value = self.card.get(name)
        if value is None or is_whole(value, 1, _LARGEST_CARD_SIDE):
            return value or 0
        raise CheckpointError(
            f"The model's card gives {name} {value!r}: expected a whole number from 1 to {_LARGEST_CARD_SIDE}. Correct "
            "it in the model's config.json."
        )


def _by_torch(network: "Segmentor", device: "str | torch.device", precision: str, compiled: bool) -> Engine:
    from dsrnss.inference.torch_engine import TorchEngine

    return TorchEngine(network, device, precision, compiled=compiled)
