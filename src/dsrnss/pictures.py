"""Reading pictures: one decoder and one set of rules for training, evaluation, checks and inference.

Whatever a camera or a programme may have written becomes upright 8-bit RGB, or an `ImageError` that says why not:

- 16-bit and float grey is scaled by its full range;
- transparent pixels are shown on white;
- EXIF orientation turns a picture upright, and its size is the upright one. A label map is turned only if its own file
  carries such an orientation.
"""

import io
import mmap
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from dsrnss.errors import DataError, ImageError
from dsrnss.paths import expanded

Source = str | Path | bytes
"""A file, or the content of one."""
ID_MODES = ("L", "P")
"""Colour modes of label maps: 8-bit ids in one channel."""

_FORMATS = ("JPEG", "PNG", "BMP", "TIFF", "WEBP", "GIF", "PPM", "JPEG2000", "AVIF")
_MAGIC = (b"\xff\xd8\xff", b"\x89PNG", b"GIF8", b"II*\0", b"MM\0*", b"RIFF")
_ORIENTATION = 0x0112
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}  # fmt: skip
_PNG_TEXTS = ("Raw profile type exif", "XML:com.adobe.xmp")
"""Texts of a PNG that may hold an orientation, beside its EXIF."""
_GUARD = threading.Lock()


@dataclass(frozen=True)
class Header:
    """What a picture's header says.

    Attributes:
        size: (height, width) in pixels, upright.
        mode: Colour mode in Pillow's words, such as `RGB`.
        turned: Whether EXIF says that the stored pixels are to be turned or mirrored.
    """

    size: tuple[int, int]
    mode: str
    turned: bool


def decode(
    source: Source, *, name: str = "", max_megapixels: float | None = None, smallest_side: int = 1
) -> Image.Image:
    """Decode a picture.

    Args:
        source: A JPEG, PNG, BMP, TIFF, WebP, GIF, PPM, JPEG 2000 or AVIF file of any colour mode; of several frames the
            first is taken.
        name: What to call it in messages, by default the path.
        max_megapixels: Above this the picture is refused, judging by its header alone; None: Pillow's limit.
        smallest_side: Pixels below which it is refused.

    Returns:
        RGB, 8 bits a channel, turned upright as its EXIF orientation says.

    Raises:
        ImageError: If it cannot be read, naming it and why.
    """
    name = name or _name(source)
    return upright_rgb(load(source, name=name, max_megapixels=max_megapixels, smallest_side=smallest_side), name)


def load(source: Source, *, name: str = "", max_megapixels: float | None = None, smallest_side: int = 1) -> Image.Image:
    """Read all pixels of a picture as they are stored, in any mode and not turned; arguments as of `decode`.

    Raises:
        ImageError: If it cannot be read, naming it and why.
    """
    name = name or _name(source)
    with _lifted(max_megapixels), _opened(source, name, max_megapixels) as (image, _):
        _check_size(name, image.size, max_megapixels, smallest_side)
        _load(image, name)
        return image


def read_header(path: str | Path) -> Header:
    """Read what is to be known of a picture without decoding it.

    Raises:
        ImageError: If it is missing or no picture, naming it.
    """
    with _opened(path, str(path), None) as (image, file):
        # as stored: of a TIFF file, Pillow may or may not have turned the size already
        tags = getattr(image, "tag_v2", {})
        width, height = tags.get(256, image.width), tags.get(257, image.height)
        orientation = _orientation(image) if _may_be_turned(image, file) else 1
        return Header((width, height) if orientation > 4 else (height, width), image.mode, orientation > 1)


def read_ids(path: str | Path, modes: tuple[str, ...] = ID_MODES, what: str = "label map") -> Image.Image:
    """Read a map of ids; it is turned only if its own file has an EXIF orientation.

    Args:
        path: The file.
        modes: Colour modes that hold ids.
        what: What to call it in messages.

    Returns:
        A picture of one channel, whose values are the ids.

    Raises:
        ImageError: If it cannot be read.
        DataError: If it has another mode.
    """
    image = load(path)
    check_ids(path, image.mode, modes, what)
    return _upright(image)


def check_ids(path: str | Path, mode: str, modes: tuple[str, ...] = ID_MODES, what: str = "label map") -> None:
    """Refuse a colour mode that holds no ids.

    Raises:
        DataError: If it is none of `modes`.
    """
    if mode not in modes:
        raise DataError(f"'{path}' is no {what}: expected 8 bits in one channel, found mode '{mode}'.")


def verify(path: str | Path) -> None:
    """Check what decoding does not look at: the checksums of a PNG file, and whether it has its end.

    Raises:
        ImageError: If it is damaged or cut short.
    """
    with _opened(path, str(path), None) as (image, _):
        try:
            image.verify()
        except Exception as error:  # whatever it stumbles over
            raise _damaged(str(path), error) from error


def upright_rgb(image: Image.Image, name: str) -> Image.Image:
    """Turn a picture upright as its EXIF orientation says and convert it to 8-bit RGB.

    Args:
        image: A PIL image of any mode, decoded or not.
        name: What to call it in messages.

    Raises:
        ImageError: If its data are damaged, its mode cannot be converted, or it does not fit in memory.
    """
    _load(image, name)
    try:
        return _to_rgb(_upright(image))
    except MemoryError as error:
        raise _too_big(name, image) from error
    except ValueError as error:
        raise ImageError(f"'{name}' has the colour mode {image.mode}: convert it to RGB.") from error


def _name(source: Source) -> str:
    return "picture" if isinstance(source, bytes) else str(source)


@contextmanager
def _opened(source: Source, name: str, max_megapixels: float | None) -> Iterator[tuple[Image.Image, BinaryIO]]:
    """Open a picture, of which only the header is read, and its file."""
    try:
        with _file(source, name) as file:
            yield _open(file, name, max_megapixels), file
    except OSError as error:
        raise ImageError(f"'{name}' cannot be opened: {error.strerror or error}.") from error


def _file(source: Source, name: str) -> BinaryIO:
    if isinstance(source, bytes):
        if not source:
            raise ImageError(f"'{name}' is empty (0 bytes).")
        return io.BytesIO(source)
    path = expanded(source)
    try:
        status = path.stat()
    except FileNotFoundError as error:
        what = "is a link to a file that is gone" if path.is_symlink() else "does not exist"
        raise ImageError(f"'{name}' {what}.") from error
    if stat.S_ISDIR(status.st_mode):
        raise ImageError(f"'{name}' is a folder, not a picture.")
    if not stat.S_ISREG(status.st_mode):  # opening a pipe would wait for ever
        raise ImageError(f"'{name}' is not an ordinary file.")
    if status.st_size == 0:
        raise ImageError(f"'{name}' is empty (0 bytes).")
    return path.open("rb")


@contextmanager
def _lifted(max_megapixels: float | None) -> Iterator[None]:
    """Lift Pillow's own limit of 179 megapixels, a global, while a user allows more."""
    if max_megapixels is None or Image.MAX_IMAGE_PIXELS is None or max_megapixels * 1e6 <= Image.MAX_IMAGE_PIXELS:
        yield
        return
    with _GUARD:
        before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, int(max_megapixels * 1e6)
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = before


def _open(file: BinaryIO, name: str, max_megapixels: float | None) -> Image.Image:
    try:
        Image.init()
        return Image.open(file, formats=[kind for kind in _FORMATS if kind in Image.OPEN])  # older Pillows have no AVIF
    except UnidentifiedImageError as error:
        file.seek(0)
        raise ImageError(f"'{name}' {what_else(name, file.read(512))}") from error
    except Image.DecompressionBombError as error:
        pixels = next((int(word) for word in str(error).replace("(", " ").split() if word.isdigit()), 0)
        raise ImageError(f"'{name}' {_too_large(f'{pixels / 1e6:.0f} megapixels', max_megapixels)}") from error
    except Exception as error:  # a decoder given a damaged header raises whatever it stumbles over
        if isinstance(error, OSError) and error.errno:
            raise
        raise ImageError(f"'{name}' is damaged: its header cannot be read ({error}).") from error


def what_else(name: str, start: bytes) -> str:
    """Guess what a file is that is no picture: a sentence without its subject.

    Args:
        name: Of the file.
        start: Its first 512 bytes.
    """
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
    suffix = Path(name).suffix
    named = f" in spite of its ending {suffix}" if suffix else ""
    return f"is not a picture of a known kind{named} (JPEG, PNG, BMP, TIFF, WebP, GIF, PPM, JPEG 2000, AVIF)."


def _too_large(what: str, limit: float | None) -> str:
    if limit is None:
        return f"has {what}, more than Pillow decodes: shrink it."
    return f"has {what}, above the limit of {limit:g}: shrink it, or raise max_megapixels."


def _check_size(name: str, size: tuple[int, int], max_megapixels: float | None, smallest_side: int) -> None:
    width, height = size
    megapixels = width * height / 1e6
    if max_megapixels is not None and megapixels > max_megapixels:
        raise ImageError(f"'{name}' {_too_large(f'{megapixels:.1f} megapixels ({width} x {height})', max_megapixels)}")
    if min(size) < smallest_side:
        least = f"{smallest_side} x {smallest_side}"
        raise ImageError(f"'{name}' is too small: {width} x {height} pixels, at least {least} are needed.")


def _load(image: Image.Image, name: str) -> None:
    try:
        image.load()
    except MemoryError as error:
        raise _too_big(name, image) from error
    except Exception as error:  # decoders raise OSError, SyntaxError, ValueError, struct.error, ... on damaged data
        raise _damaged(name, error) from error


def _damaged(name: str, error: Exception) -> ImageError:
    if "truncated" in str(error).lower() or isinstance(error, EOFError):
        return ImageError(f"'{name}' is truncated: the file ends before the picture does. Copy it again.")
    return ImageError(f"'{name}' is damaged: {error}. Copy it again.")


def _too_big(name: str, image: Image.Image) -> ImageError:
    return ImageError(f"'{name}' does not fit in memory ({image.width} x {image.height} pixels).")


def _may_be_turned(image: Image.Image, file: BinaryIO) -> bool:
    """Whether it is worth asking Pillow, which decodes a whole PNG to see what stands behind its pixels."""
    if image.format != "PNG" or "exif" in image.info:
        return True
    if isinstance(file, io.BytesIO):  # from an archive
        content = file.getvalue()
        behind = content[content.rfind(b"IDAT") :]
    else:
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
            behind = mapped[mapped.rfind(b"IDAT") :]
    return b"eXIf" in behind or any(text in image.info or text.encode() in behind for text in _PNG_TEXTS)


def _orientation(image: Image.Image) -> int:
    """How the stored pixels are to be turned: 2 to 8 of EXIF, 1 for not at all."""
    try:
        value = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # damaged EXIF data: the pixels are still good
        return 1
    return value if value in range(2, 9) else 1


def _upright(image: Image.Image) -> Image.Image:
    if (turn := _TURNS.get(_orientation(image))) is None:
        return image
    # not ImageOps.exif_transpose: it writes all tags anew, which fails where another one is damaged
    upright = image.transpose(turn)
    for told in ("exif", "xmp", *_PNG_TEXTS):  # nobody shall turn it again
        upright.info.pop(told, None)
    return upright


def _to_rgb(image: Image.Image) -> Image.Image:
    """Convert any colour mode to RGB.

    Transparent pixels are shown on white, unless all are: then the alpha channel means something else and is left out.
    Grey of 16 bits is scaled by its full range.
    """
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        return Image.fromarray(_to_8_bit(np.asarray(image))).convert("RGB")
    if image.mode in ("La", "RGBa"):  # colours multiplied by their alpha
        image = image.convert(image.mode.upper())
    if "A" not in image.getbands() and "transparency" not in image.info:
        return image if image.mode == "RGB" else image.convert("RGB")
    layered = image.convert("RGBA")
    alpha = layered.getchannel("A")
    if alpha.getextrema() == (0, 0):
        return layered.convert("RGB")
    flat = Image.new("RGB", layered.size, "white")
    flat.paste(layered, mask=alpha)
    return flat


def _to_8_bit(values: npt.NDArray[np.generic]) -> npt.NDArray[np.uint8]:
    """Scale (H, W) grey values of more than 8 bits, or floats in [0, 1] or [0, 255], to (H, W) uint8."""
    # in place: a picture of 100 megapixels is 400 MB as floats
    floats = np.nan_to_num(values.astype(np.float32), copy=False, posinf=np.inf, neginf=-np.inf)
    largest = float(np.max(floats, where=np.isfinite(floats), initial=0))
    full = 65535.0 if np.issubdtype(values.dtype, np.integer) else 255.0 if largest > 1 else 1.0
    floats *= np.float32(255 / max(full, largest))
    floats += np.float32(0.5)
    return floats.clip(0, 255, out=floats).astype(np.uint8)
