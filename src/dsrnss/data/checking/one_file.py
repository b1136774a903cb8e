"""The check of one sample's files: each is read to its end, once."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from dsrnss.data.base import Size, histogram, unturned_label
from dsrnss.data.originals import MASK_MODES
from dsrnss.errors import ImageError
from dsrnss.labels import CITYSCAPES, IGNORE_INDEX, LabelSpace
from dsrnss.pictures import ID_MODES, decode, load, read_header, verify

_FEW_CLASSES = 3
"""In sets of so few classes a label of one class all over is nothing strange."""
Finding = tuple[str, Path, str]
"""Kind, file and message."""


@dataclass(frozen=True)
class Job:
    """Files to check.

    Attributes:
        image: The picture.
        label: Its label, if it has one.
        raw: Whether the label holds raw ids.
        reference: Its day reference, if it has one.
        mask: The mask of its invalid pixels, if it has one.
        space: Number of the label space.
    """

    image: Path
    label: Path | None = None
    raw: bool = False
    reference: Path | None = None
    mask: Path | None = None
    space: int = 0


@dataclass(frozen=True)
class Seen:
    """What was seen in the files of a job.

    Attributes:
        findings: What is wrong.
        size: (height, width) of the picture, upright; None: unreadable.
        turned: Whether EXIF turns the picture.
        digest: Hash of its pixels, None: unreadable or of one colour.
        counts: Train id -> pixels in the label, 255: the ignored ones. None: no readable label.
    """

    findings: tuple[Finding, ...]
    size: Size | None
    turned: bool
    digest: bytes | None
    counts: dict[int, int] | None


def check_job(spaces: tuple[LabelSpace, ...], job: Job) -> Seen:
    """Read the files of one sample.

    Args:
        spaces: The label spaces of the run.
        job: The files.
    """
    findings: list[Finding] = []
    image = _read(job.image, findings, decode)
    digest = None
    if image is not None:
        pixels = np.asarray(image)
        if _one_value(pixels):
            findings.append(("one-colour", job.image, "the whole picture is of one colour."))
        else:
            # of the hashes of the standard library the fastest by far
            digest = hashlib.sha1(str(pixels.shape).encode(), usedforsecurity=False)
            digest.update(np.ascontiguousarray(pixels).data)
    if job.reference is not None:
        _read(job.reference, findings, decode)
    counts = None
    if job.label is not None:
        counts = _check_label(job, image, spaces[job.space], findings)
    size = None if image is None else (image.height, image.width)
    turned = image is not None and read_header(job.image).turned
    # of 256 numbers most are 0, and a set may have 100,000 labels
    held = None if counts is None else {int(value): int(counts[value]) for value in np.flatnonzero(counts)}
    return Seen(tuple(findings), size, turned, None if digest is None else digest.digest(), held)


def _check_label(
    job: Job, image: Image.Image | None, space: LabelSpace, findings: list[Finding]
) -> npt.NDArray[np.int64] | None:
    """Check a label; returns the (256,) pixels of each train id."""
    path = job.label
    label = None if path is None else _read(path, findings, load)
    if path is None or label is None:
        return None
    if image is not None and image.size != (size := read_header(path).size[::-1]):
        sizes = " and ".join(f"{height} x {width}" for width, height in (image.size, size))
        why = unturned_label(read_header(job.image), size[::-1])
        findings.append(("size-mismatch", path, why or f"picture and label have {sizes} pixels (height x width)."))
    if label.mode not in ID_MODES:
        findings.append(("no-label-map", path, _no_label_map(label)))
        return None
    if job.mask is not None:
        _check_mask(job.mask, label, findings)
    counts = histogram(np.array(label))
    if job.raw:
        counts = np.bincount(space.raw_table(), counts, 256).astype(np.int64)
    findings += _value_findings(counts, space, path)
    return counts


def _no_label_map(label: Image.Image) -> str:
    """What a picture is that is no label map, and the cure where it is a black and white mask."""
    expected = "a label map is 8-bit ids in one channel"
    if label.mode == "1":
        return f"a mask of 1 bit: {expected}. Save it as grey of 8 bits, with 'raw: 0' and 'raw: 255' in labels.yaml."
    if label.mode in ("RGB", "RGBA"):
        red, green, blue = label.split()[:3]
        grey = red.tobytes() == green.tobytes() == blue.tobytes()
        return f"a {'grey' if grey else 'colour'} picture of three channels: {expected}."
    return f"a picture of mode '{label.mode}': {expected}."


def _check_mask(path: Path, label: Image.Image, findings: list[Finding]) -> None:
    mask = _read(path, findings, load)
    if mask is None:
        return
    if mask.mode not in MASK_MODES:
        findings.append(("mask", path, f"has mode '{mask.mode}': a mask is 8 bits in one channel."))
    if mask.size != label.size:
        sizes = " and ".join(f"{height} x {width}" for width, height in (label.size, mask.size))
        findings.append(("size-mismatch", path, f"label and mask have {sizes} pixels (height x width)."))


def _value_findings(counts: npt.NDArray[np.int64], space: LabelSpace, path: Path) -> list[Finding]:
    values = np.flatnonzero(counts).tolist()
    wrong = [value for value in values if value >= space.num_classes and value != IGNORE_INDEX]
    if wrong:
        known_as_raw = space.raw_ids == CITYSCAPES.raw_ids and max(wrong) <= max(space.raw_ids)
        text = f"values {wrong[:10]} are outside 0..{space.num_classes - 1} and 255"
        if known_as_raw:
            return [("raw-ids", path, f"{text}: they look like raw label ids, not train ids.")]
        own = space.raw_ids != CITYSCAPES.raw_ids
        hint = ": does labels.yaml give each class its raw values (docs/label_space.md)?" if own else "."
        return [("outside-values", path, text + hint)]
    if values == [IGNORE_INDEX]:
        return [("all-ignored", path, "no pixel has a class: all are 255 or translated to it.")]
    if len(values) == 1 and space.num_classes > _FEW_CLASSES:
        return [("one-class", path, f"every pixel is '{space.names[values[0]]}'.")]
    return []


def _read(path: Path, findings: list[Finding], how: Callable[[Path], Image.Image]) -> Image.Image | None:
    """Read a picture completely, with its checksums; None: a finding says why not."""
    try:
        verify(path)
        return how(path)
    except ImageError as error:
        findings.append(("unreadable", path, str(error).removeprefix(f"'{path}' ")))
        return None


def _one_value(pixels: npt.NDArray[np.uint8]) -> bool:
    if pixels.size == 0 or (pixels[::16, ::16] != pixels[0, 0]).any():
        return False
    return bool((pixels == pixels[0, 0]).all())
