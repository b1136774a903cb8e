"""What a segmentation gives, and how it is written."""

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from dsrnss.errors import ConfigError, OutputError, did_you_mean
from dsrnss.inference.coco import coco_document
from dsrnss.inference.sources import DEFAULT_KINDS, OUTPUTS
from dsrnss.labels import LabelSpace
from dsrnss.paths import expanded
from dsrnss.writing import write_atomically


@dataclass(frozen=True, eq=False)
class Segmentation:
    """The labels of one picture, at its own size.

    Attributes:
        labels: (H, W) uint8 train ids.
        confidence: (H, W) float32 probability of the label, in [0, 1].
        label_space: Names and colours of the classes.
        image: The picture as it was segmented: (W, H) RGB, upright.
        name: What the picture is called; the default name of its files.
    """

    labels: npt.NDArray[np.uint8]
    confidence: npt.NDArray[np.float32]
    label_space: LabelSpace
    image: Image.Image
    name: str = "picture"

    def colour(self) -> Image.Image:
        """The labels in the colours of the label space, RGB."""
        return Image.fromarray(self.label_space.colorize(self.labels))

    def overlay(self, alpha: float = 0.5) -> Image.Image:
        """The picture with the colours of its labels laid over it.

        Args:
            alpha: Weight of the colours, 0 (only the picture) to 1 (only the colours).

        Returns:
            RGB at the picture's size.

        Raises:
            ConfigError: If `alpha` is outside 0..1.
        """
        if not 0 <= alpha <= 1:
            raise ConfigError(f"alpha is between 0 and 1, not {alpha}.")
        return Image.blend(self.image, self.colour(), alpha)

    def shares(self) -> dict[str, float]:
        """Each class's share of the picture's pixels, in the order of the label space; they sum to 1."""
        counts = np.bincount(self.labels.ravel(), minlength=self.label_space.num_classes)
        return {
            name: float(count / self.labels.size) for name, count in zip(self.label_space.names, counts, strict=False)
        }

    def mean_confidence(self) -> float:
        """Mean of the labels' probabilities."""
        return float(self.confidence.mean(dtype=np.float64))

    def array(self, kind: str) -> npt.NDArray[np.uint8]:
        """One of the pictures that can be made of it.

        Args:
            kind: `labels` or `confidence` (0 to 255), (H, W); `colour`, `overlay` or, with the photograph on the left
                and the colours on the right, `side-by-side`, (H, W, 3) RGB.
        """
        if kind == "labels":
            return self.labels
        if kind == "confidence":
            return (self.confidence * 255 + 0.5).astype(np.uint8)
        if kind == "side-by-side":
            return np.concatenate((np.asarray(self.image), np.asarray(self.colour())), axis=1)
        return np.asarray(self.overlay() if kind == "overlay" else self.colour())

    def encoded(self, kind: str, file_name: str = "") -> bytes:
        """The content of a file of one kind of `OUTPUTS`.

        Args:
            kind: Its key.
            file_name: Of the picture, for `coco-json`; by default its name.
        """
        if kind == "coco-json":
            return json.dumps(coco_document(self, file_name or self.name)).encode()
        if kind != "npz":
            return encode_png(Image.fromarray(self.array(kind)))
        buffer = io.BytesIO()
        np.savez_compressed(
            buffer, labels=self.labels, confidence=self.confidence, classes=np.array(self.label_space.names)
        )
        return buffer.getvalue()

    def save(
        self, folder: str | Path, stem: str | None = None, kinds: Sequence[str] = DEFAULT_KINDS, file_name: str = ""
    ) -> list[Path]:
        """Write files; those of the same name are replaced.

        Each file appears under its name only when it is complete.

        Args:
            folder: Where to; made if need be.
            stem: What the files' names begin with, by default the picture's name without its ending.
            kinds: What is written: keys of `dsrnss.inference.sources.OUTPUTS`.
            file_name: Of the picture, for `coco-json`; by default its name.

        Returns:
            The files, by default `STEM_labels.png`, `STEM_colour.png` and `STEM_overlay.png`.

        Raises:
            ConfigError: If `stem` is no plain file name, or a kind is not known.
            OutputError: If a file cannot be written.
        """
        folder, stem = expanded(folder), self.name if stem is None else stem
        if not stem or Path(stem).name != stem:
            raise ConfigError(f"stem is the beginning of a file name, without folders, not '{stem}'.")
        for kind in kinds:
            if kind not in OUTPUTS:
                raise ConfigError(f"Unknown kind of result '{kind}'.{did_you_mean(kind, OUTPUTS)}")
        written: list[Path] = []
        try:
            for kind in kinds:
                file = folder / f"{stem}{OUTPUTS[kind]}"
                write_atomically(file, self.encoded(kind, file_name))
                written.append(file)
        except OutputError:
            for file in written:  # labels without an overlay would look like a result
                file.unlink(missing_ok=True)
            raise
        return written


def encode_png(image: Image.Image) -> bytes:
    """A picture as the bytes of a PNG file."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=3)  # half the time of the default 6, a few per cent larger
    return buffer.getvalue()
