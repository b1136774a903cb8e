"""A trained network as something that takes photographs."""

import math
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from dsrnss.errors import CheckpointError, ConfigError, HardwareError, ImageError, did_you_mean
from dsrnss.inference.results import Segmentation
from dsrnss.labels import LabelSpace
from dsrnss.models.config import is_whole
from dsrnss.models.segmentor import Segmentor
from dsrnss.models.weights import DEMO_MODEL, load_pretrained
from dsrnss.models.windows import pixel_pair
from dsrnss.normalisation import normalise
from dsrnss.pictures import decode, upright_rgb

ImageInput = Image.Image | npt.NDArray[np.uint8] | str | Path

MAX_MEGAPIXELS = 50.0
"""Larger photographs are refused before they are decoded; at this size segmenting takes about 2 GB of memory."""

SMALLEST_SIDE = 16
"""Pixels; nothing can be recognised in a smaller photograph."""

_UNKNOWN_HEIGHT = 512
"""Pixels; the training height taken for granted where a model's card does not state it."""

_SMALLEST_WORKING_SIDE = 32
_LARGEST_WORKING_AREA = 2**20
"""Pixels; a photograph is not segmented at more, unless the training pictures were larger than that."""

_LARGEST_CARD_SIDE = 2**16
"""Pixels; a card that says more was not written by a training run."""

_STRIP_VALUES = 2**20
"""Logits that are interpolated at a time: 4 MiB, which caches hold; all of 12 megapixels in 19 classes are 0.9 GB."""


class Segmenter:
    """Segments photographs of any size.

    A photograph is scaled to the height that the network was trained at, and its logits are interpolated to the
    photograph's own size before the best class is taken.

    Args:
        segmentor: The network.
        label_space: The classes it tells apart.
        card: What is known of its training; `image_height` (pixels) chooses the scale.
        device: Where it runs: `auto`, `cpu`, `cuda`, `cuda:1`, ...
        height: Height that photographs are scaled to, in pixels, instead of the card's.
        window: Height and width of sliding windows on the scaled photograph, in pixels; by default it is segmented
            whole.

    Raises:
        ConfigError: If `height` or `window` is too small, or `device` no device.
        HardwareError: If this machine does not have the device.
    """

    def __init__(
        self,
        segmentor: Segmentor,
        label_space: LabelSpace,
        card: Mapping[str, Any] | None = None,
        *,
        device: str | torch.device = "auto",
        height: int | None = None,
        window: tuple[int, int] | None = None,
    ) -> None:
        least = _SMALLEST_WORKING_SIDE
        if height is not None and height < least:
            raise ConfigError(f"height is at least {least} pixels, not {height}.")
        if window is not None and min(window := pixel_pair("window", window)) < least:
            raise ConfigError(f"A window is at least {least} x {least} pixels, not {window[0]} x {window[1]}.")
        self.device = find_device(device)
        self.segmentor = segmentor.eval().to(self.device)
        self.label_space = label_space
        self.card = dict(card or {})
        self.height = height
        self.window = window

    @classmethod
    def from_pretrained(
        cls,
        path: str | Path | None = None,
        *,
        which: Literal["student", "teacher"] = "student",
        device: str | torch.device = "auto",
        height: int | None = None,
        window: tuple[int, int] | None = None,
    ) -> "Segmenter":
        """Read a network, whoever published it.

        Args:
            path: A file (.ckpt, .safetensors, .pth) or folder of this package, of the authors, or a SegFormer of NVIDIA
                or Hugging Face; a name of `dsrnss weights list`; an address (https://...); or a repository on the
                Hugging Face hub, "user/name".
                By default the packaged demo network, which has seen only synthetic scenes.
            which: Of a .ckpt, the student or its moving average.
            device: As in the constructor.
            height: As in the constructor.
            window: As in the constructor.

        Raises:
            CheckpointError: If there is no such file, it is broken, or it holds no network that is known.
            ConfigError: As in the constructor.
            HardwareError: As in the constructor.
        """
        device = find_device(device)
        if path is None and not DEMO_MODEL.is_file():
            raise CheckpointError(
                f"The packaged demo model is not at '{DEMO_MODEL}'. Give the path of a model, or a name of "
                "`dsrnss weights list`."
            )
        pretrained = load_pretrained(DEMO_MODEL if path is None else path, which)
        return cls(
            pretrained.segmentor,
            pretrained.label_space,
            pretrained.card,
            device=device,
            height=height,
            window=window,
        )

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
        picture = _as_picture(image, name)
        height, width = self.working_size((picture.height, picture.width))
        # reducing_gap shrinks huge photographs by whole factors first: much faster, no visible difference
        scaled = picture.resize((width, height), Image.Resampling.BICUBIC, reducing_gap=3.0)
        try:
            images = normalise(torch.from_numpy(np.array(scaled)).permute(2, 0, 1))[None]
            logits = self.logits(images, "slide" if self.window else "whole", self.window)[0]
            labels, confidence = label_full_size(logits, (picture.height, picture.width))
        except (RuntimeError, MemoryError) as error:
            # the second is what oneDNN says of it
            if isinstance(error, MemoryError) or any(word in str(error) for word in ("memory", "create a primitive")):
                raise ImageError(
                    f"'{name}' needs more memory than {self.device} has free: lower the height, or give a window."
                ) from error
            raise
        return Segmentation(labels, confidence, self.label_space, picture, name)

    def logits(
        self,
        images: Tensor,
        mode: Literal["whole", "slide"] = "whole",
        window: tuple[int, int] | None = None,
        stride: tuple[int, int] | None = None,
    ) -> Tensor:
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
                mode.
        """
        if not isinstance(images, Tensor):
            raise ConfigError(f"images is a float tensor (B, 3, H, W), not a {type(images).__name__}.")
        if images.ndim != 4 or images.shape[1] != 3 or min(images.shape) < 1 or not images.is_floating_point():
            raise ConfigError(f"images is a float tensor (B, 3, H, W), not {images.dtype} {tuple(images.shape)}.")
        with torch.no_grad():
            return self.segmentor.predict(images.to(self.device, torch.float32), mode, window, stride)

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


def find_device(device: str | torch.device) -> torch.device:
    """Check that a device is there.

    Args:
        device: Its name; `auto` is the first GPU, or else the CPU.

    Raises:
        ConfigError: If that is no name of a device.
        HardwareError: If this machine has no such device.
    """
    if str(device) == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        found = torch.device(device)
    except RuntimeError as error:
        raise ConfigError(f"Unknown device '{device}'.{did_you_mean(str(device), _DEVICES)}") from error
    if found.type == "cuda":
        gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if (found.index or 0) >= gpus:
            seen = f"{gpus} CUDA GPU{'s' if gpus > 1 else ''}" if gpus else "no CUDA GPU"
            raise HardwareError(f"There is no device '{device}': PyTorch sees {seen} here. Use 'auto' or 'cpu'.")
    elif found.type == "mps" and not torch.backends.mps.is_available():
        raise HardwareError(f"There is no device '{device}' on this machine. Use 'auto' or 'cpu'.")
    elif found.type not in ("cpu", "mps"):
        raise ConfigError(f"Networks do not run on '{device}' here.{did_you_mean(str(device), _DEVICES)}")
    return found


_DEVICES = ("auto", "cpu", "cuda", "cuda:0", "mps")


@torch.inference_mode()
def label_full_size(logits: Tensor, size: tuple[int, int]) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float32]]:
    """Interpolate logits bilinearly to another size and take the best class there, a strip of rows at a time.

    The result is that of `F.interpolate(..., mode="bilinear", align_corners=False)`, without holding all of it.

    Args:
        logits: (C, h, w) class scores.
        size: Height and width H, W of the result, in pixels.

    Returns:
        Labels (H, W) uint8 and their softmax probabilities (H, W) float32.
    """
    (classes, rows, _), (height, width) = logits.shape, size
    labels, confidence = np.empty(size, np.uint8), np.empty(size, np.float32)
    step = max(1, _STRIP_VALUES // (classes * width))
    for start in range(0, height, step):
        stop = min(start + step, height)
        centres = torch.arange(start, stop, device=logits.device, dtype=torch.float32)
        position = ((centres + 0.5) * (rows / height) - 0.5).clamp(0, rows - 1)
        above = position.floor().long()
        below = (above + 1).clamp(max=rows - 1)
        strip = torch.lerp(logits[:, above], logits[:, below], (position - above)[:, None])
        strip = F.interpolate(strip[None], size=(stop - start, width), mode="bilinear", align_corners=False)[0]
        best, index = strip.max(dim=0)
        labels[start:stop] = index.to(torch.uint8).cpu().numpy()
        confidence[start:stop] = (best - strip.logsumexp(dim=0)).exp().clamp(max=1).cpu().numpy()
    return labels, confidence


def read_photograph(path: str | Path, max_megapixels: float = MAX_MEGAPIXELS) -> Image.Image:
    """Read a photograph as upright RGB.

    Args:
        path: As of `dsrnss.pictures.decode`.
        max_megapixels: Larger ones are refused.

    Raises:
        ImageError: If it cannot be read, or is too large or too small.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns of odd EXIF and TIFF tags, which do not matter here
        return decode(path, max_megapixels=max_megapixels, smallest_side=SMALLEST_SIDE)


def _as_picture(image: ImageInput, name: str) -> Image.Image:
    if isinstance(image, (str, Path)):
        return read_photograph(image)
    if isinstance(image, np.ndarray):
        image = _from_array(image)
    if not isinstance(image, Image.Image):
        raise ImageError(f"An image is a file, a PIL image or a uint8 array, not a {type(image).__name__}.")
    if min(image.size) < SMALLEST_SIDE:
        raise ImageError(f"An image of {image.width} x {image.height} pixels is too small: {SMALLEST_SIDE} at least.")
    return upright_rgb(image, name)


def _from_array(array: npt.NDArray[np.generic]) -> Image.Image:
    channels = array.shape[2] if array.ndim == 3 else 1
    if array.dtype != np.uint8 or array.ndim not in (2, 3) or channels not in (1, 3, 4) or 0 in array.shape:
        raise ImageError(
            f"An array image is uint8, (H, W, 3) RGB, (H, W, 4) RGBA or (H, W) grey, not {array.dtype} {array.shape}."
        )
    return Image.fromarray(np.ascontiguousarray(array[..., 0] if array.ndim == 3 and channels == 1 else array))
