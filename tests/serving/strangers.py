"""Files of the kinds that strangers send."""

import io
import struct
import zlib

import numpy as np
from PIL import Image


def encoded(image: Image.Image, kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind)
    return buffer.getvalue()


def photograph(width: int = 90, height: int = 60) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 255, (height, width, 3), np.uint8))


def bomb(side: int = 50_000) -> bytes:
    """A PNG file of some kilobytes whose pixels would fill the memory."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(bytes(10**6)))
        + chunk(b"IEND", b"")
    )


WRONG = {
    "a.gif": (encoded(photograph(), "GIF"), "is a GIF file"),
    "a.svg": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "vector drawing"),
    "a.txt": (b"no picture", "it holds text"),
    "a.tif": (encoded(photograph(), "TIFF"), "is a TIFF file"),
    "a.pdf": (b"%PDF-1.7", "PDF"),
    "a.jpg": (b"", "is empty"),
    "half.png": (encoded(photograph())[:2000], "truncated"),
    "bomb.png": (bomb(), "megapixels"),
    "tiny.png": (encoded(photograph(5, 5)), "too small"),
}
"""Name -> content, and what is said of it."""
