"""Decoding one picture: whatever a camera or a programme may have written becomes upright 8-bit RGB, or a clear no."""

import stat
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from dsrnss.errors import ImageError

MAX_MEGAPIXELS = 50.0
"""Larger pictures are refused before they are decoded; at this size segmenting takes about 2 GB of memory."""

SMALLEST_SIDE = 16
"""Pixels; nothing can be recognised in a smaller picture."""

_FORMATS = ("JPEG", "PNG", "BMP", "TIFF", "WEBP", "GIF", "PPM", "JPEG2000", "AVIF")
_MAGIC = (b"\xff\xd8\xff", b"\x89PNG", b"GIF8", b"II*\0", b"MM\0*", b"RIFF")
_GUARD = threading.Lock()


def read_picture(path: str | Path, *, max_megapixels: float = MAX_MEGAPIXELS) -> Image.Image:
    """Decode a picture.

    Args:
        path: A JPEG, PNG, BMP, TIFF, WebP, GIF, PPM, JPEG 2000 or AVIF file of any colour mode; of several frames the
            first is taken.
        max_megapixels: Above this the picture is refused, judging by its header alone.

    Returns:
        RGB, 8 bits a channel, turned upright as its EXIF orientation says.

    Raises:
        ImageError: If it cannot be read, naming it and why.
    """
    path = Path(path)
    _check_file(path)
    with warnings.catch_warnings(), _pillow_guard(max_megapixels):
        warnings.simplefilter("ignore")  # Pillow warns of odd EXIF and TIFF tags, which do not matter here
        try:
            with path.open("rb") as file:
                image = _open(path, file, max_megapixels)
                _check_size(path, image.size, max_megapixels)
                return upright_rgb(image, str(path))
        except OSError as error:
            raise ImageError(f"'{path}' cannot be opened: {error.strerror or error}.") from error


def _check_file(path: Path) -> None:
    try:
        status = path.stat()
    except FileNotFoundError as error:
        what = "is a link to a file that is gone" if path.is_symlink() else "does not exist"
        raise ImageError(f"'{path}' {what}.") from error
    except OSError as error:
        raise ImageError(f"'{path}' cannot be opened: {error.strerror}.") from error
    if stat.S_ISDIR(status.st_mode):
        raise ImageError(f"'{path}' is a folder, not a picture.")
    if not stat.S_ISREG(status.st_mode):  # opening a pipe would wait for ever
        raise ImageError(f"'{path}' is not an ordinary file.")
    if status.st_size == 0:
        raise ImageError(f"'{path}' is empty (0 bytes).")


@contextmanager
def _pillow_guard(max_megapixels: float) -> Iterator[None]:
    """Lift Pillow's own limit of 179 megapixels, a global, while a user allows more."""
    if Image.MAX_IMAGE_PIXELS is None or max_megapixels * 1e6 <= Image.MAX_IMAGE_PIXELS:
        yield
        return
    with _GUARD:
        before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, int(max_megapixels * 1e6)
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = before


def _open(path: Path, file: BinaryIO, max_megapixels: float) -> Image.Image:
    start = file.read(512)
    try:
        Image.init()
        return Image.open(file, formats=[kind for kind in _FORMATS if kind in Image.OPEN])  # older Pillows have no AVIF
    except UnidentifiedImageError as error:
        raise ImageError(f"'{path}' {_what_else(path, start)}") from error
    except Image.DecompressionBombError as error:
        pixels = next((int(word) for word in str(error).replace("(", " ").split() if word.isdigit()), 0)
        raise ImageError(f"'{path}' {_too_large(f'{pixels / 1e6:.0f} megapixels', max_megapixels)}") from error
    except Exception as error:  # a decoder given a damaged header raises whatever it stumbles over
        if isinstance(error, OSError) and error.errno:
            raise
        raise ImageError(f"'{path}' is damaged: its header cannot be read ({error}).") from error


def _what_else(path: Path, start: bytes) -> str:
    """Guess what a file is that is no picture."""
    if start[4:12] in (b"ftypheic", b"ftypheix", b"ftypmif1", b"ftyphevc"):
        return "is a HEIC picture, which cannot be read: convert it to JPEG or PNG."
    if start.lstrip()[:4] == b"<svg" or b"<svg" in start:
        return "is a vector drawing (SVG), not a photograph."
    if start[:4] == b"%PDF":
        return "is a PDF document, not a picture."
    if start.startswith(_MAGIC):
        return "is damaged: it begins like a picture, but its header cannot be read."
    try:
        text = start.decode("utf-8")
    except UnicodeDecodeError:
        text = "\0"
    if all(character.isprintable() or character.isspace() for character in text):
        return "is not a picture: it holds text."
    named = f" in spite of its ending {path.suffix}" if path.suffix else ""
    return f"is not a picture of a known kind{named} (JPEG, PNG, BMP, TIFF, WebP, GIF, PPM, JPEG 2000, AVIF)."


def _too_large(what: str, limit: float) -> str:
    return f"has {what}, above the limit of {limit:g}: shrink it, or raise the limit by --max-megapixels."


def _check_size(path: Path, size: tuple[int, int], max_megapixels: float) -> None:
    width, height = size
    megapixels = width * height / 1e6
    if megapixels > max_megapixels:
        raise ImageError(f"'{path}' {_too_large(f'{megapixels:.1f} megapixels ({width} x {height})', max_megapixels)}")
    if min(size) < SMALLEST_SIDE:
        least = f"{SMALLEST_SIDE} x {SMALLEST_SIDE}"
        raise ImageError(f"'{path}' is too small to segment: {width} x {height} pixels, at least {least} are needed.")


def upright_rgb(image: Image.Image, name: str) -> Image.Image:
    """Turn a picture upright as its EXIF orientation says and convert it to 8-bit RGB.

    Args:
        image: A PIL image of any mode, decoded or not.
        name: What to call it in messages.

    Raises:
        ImageError: If its data are damaged, or do not fit in memory.
    """
    try:
        image.load()
        return _to_rgb(_upright(image))
    except MemoryError as error:
        raise ImageError(f"'{name}' does not fit in memory ({image.width} x {image.height} pixels).") from error
    except Exception as error:  # decoders raise OSError, SyntaxError, ValueError, struct.error, ... on damaged data
        if "truncated" in str(error).lower() or isinstance(error, EOFError):
            raise ImageError(f"'{name}' is truncated: the file ends before the picture does.") from error
        raise ImageError(f"'{name}' is damaged: {error}.") from error


def _upright(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # damaged EXIF data: the pixels are still good
        return image


def _to_rgb(image: Image.Image) -> Image.Image:
    """Convert any colour mode to RGB.

    Transparent pixels are shown on white, unless all are: then the alpha channel means something else and is left out.
    Grey of 16 bits is scaled by its full range.
    """
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        return Image.fromarray(_to_8_bit(np.asarray(image))).convert("RGB")
    if "A" not in image.getbands() and "transparency" not in image.info:
        return image.convert("RGB")
    layered = image.convert("RGBA")
    alpha = layered.getchannel("A")
    if alpha.getextrema() == (0, 0):
        return layered.convert("RGB")
    flat = Image.new("RGB", layered.size, "white")
    flat.paste(layered, mask=alpha)
    return flat


def _to_8_bit(values: npt.NDArray[np.generic]) -> npt.NDArray[np.uint8]:
    """Scale (H, W) grey values of more than 8 bits, or floats in [0, 1] or [0, 255], to (H, W) uint8."""
    floats = np.nan_to_num(values.astype(np.float32))
    largest = float(floats.max())
    full = 65535.0 if np.issubdtype(values.dtype, np.integer) else 255.0 if largest > 1 else 1.0
    scaled: npt.NDArray[np.float32] = floats * np.float32(255 / max(full, largest)) + np.float32(0.5)
    return scaled.clip(0, 255).astype(np.uint8)
