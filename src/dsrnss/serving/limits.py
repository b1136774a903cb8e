"""What of an upload is refused, and looked at before anything is decoded."""

import re
from dataclasses import dataclass

from PIL import Image

from dsrnss.errors import ImageError, RefusedError
from dsrnss.inference.photograph import SMALLEST_SIDE
from dsrnss.pictures import decode, what_else

PICTURES = {"JPEG": b"\xff\xd8\xff", "PNG": b"\x89PNG\r\n\x1a\n", "WebP": b"RIFF....WEBP", "BMP": b"BM"}
"""Kinds of pictures that are decoded -> how they begin; a dot is any byte. Each is a decoder open to strangers."""
VIDEOS = {"MP4": b"....ftyp", "Matroska": b"\x1a\x45\xdf\xa3", "AVI": b"RIFF....AVI "}
"""The same for videos. No playlists: they name other files."""
_OTHERS = {"GIF": b"GIF8", "TIFF": b"II\\*\0", "TIFF ": b"MM\0\\*", "HEIC": b"....ftyp(heic|heix|hevc|mif1)"}
_LONGEST_NAME = 255
MEGABYTE = 2**20


def megabytes(size: int) -> str:
    """Bytes in words, without the unit."""
    return f"{size / MEGABYTE:.3g}"


@dataclass(frozen=True)
class Limits:
    """What a server takes.

    Attributes:
        max_pixels: Of a picture, or of a frame of a video.
        max_bytes: Of an upload.
        max_frames: Of a video.
        seconds: From the arrival of a request to its answer.
        waiting: Requests that may wait while one is computed.
    """

    max_pixels: int = 25_000_000
    max_bytes: int = 32 * MEGABYTE
    max_frames: int = 900
    seconds: float = 120.0
    waiting: int = 8

    def check_size(self, size: int) -> None:
        """Refuse an upload by its size in bytes.

        Raises:
            RefusedError: If it is too large.
        """
        if size > self.max_bytes:
            raise RefusedError(f"This is larger than {megabytes(self.max_bytes)} MB, the most that is taken here.", 413)


@dataclass(frozen=True)
class Upload:
    """A file that a visitor gave.

    Attributes:
        name: What the visitor calls it.
        content: Its bytes.
    """

    name: str
    content: bytes

    @property
    def stem(self) -> str:
        """Its name without the ending."""
        return self.name.rpartition(".")[0] or self.name


def check_name(name: str) -> str:
    """Refuse what is no plain file name.

    Returns:
        The name, or `picture` where there is none.

    Raises:
        RefusedError: If it names a folder, is too long, or holds control characters.
    """
    shown = "".join(character if character.isprintable() else "?" for character in name[:80])
    if "/" in name or "\\" in name or name in (".", ".."):
        raise RefusedError(f"'{shown}' names a folder: give a plain file name.", 400)
    if len(name) > _LONGEST_NAME or not name.isprintable():
        raise RefusedError(f"'{shown}' is no file name: it is too long, or holds characters that cannot be shown.", 400)
    return name or "picture"


def is_video(content: bytes) -> bool:
    """Whether a file begins like a video that is taken."""
    return _kind(content, _OTHERS) is None and _kind(content, VIDEOS) is not None


def read_picture(upload: Upload, limits: Limits) -> Image.Image:
    """Decode a picture whose header is within the limits.

    Returns:
        RGB, upright.

    Raises:
        RefusedError: If it is of no kind that is taken.
        ImageError: If it is no picture, is damaged, too large or too small.
    """
    limits.check_size(len(upload.content))
    if _kind(upload.content, PICTURES) is None:
        known = _kind(upload.content, {**_OTHERS, **VIDEOS})
        what = f"is a {known.strip()} file." if known else what_else(upload.name, upload.content[:512])
        if not upload.content:
            what = "is empty (0 bytes)."
        raise RefusedError(f"'{upload.name}' {what} Taken are {_listed(PICTURES)}.", 415)
    try:
        return decode(
            upload.content, name=upload.name, max_megapixels=limits.max_pixels / 1e6, smallest_side=SMALLEST_SIDE
        )
    except ImageError as error:  # whoever visits a page cannot raise its limits
        raise ImageError(str(error).replace(", or raise max_megapixels", "")) from error


def check_video(upload: Upload, limits: Limits) -> None:
    """Refuse a file that does not begin like a video.

    Raises:
        RefusedError: If it does not.
    """
    limits.check_size(len(upload.content))
    if not is_video(upload.content):
        raise RefusedError(f"'{upload.name}' is no video of a kind that is taken: {_listed(VIDEOS)}.", 415)


def _kind(content: bytes, kinds: dict[str, bytes]) -> str | None:
    return next((name for name, start in kinds.items() if re.match(start, content, re.DOTALL)), None)


def _listed(kinds: dict[str, bytes]) -> str:
    *names, last = kinds
    return f"{', '.join(names)} and {last}"
