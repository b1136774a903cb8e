"""Tiny videos, encoded when a test needs them."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

COLOURS = [(128, 64, 128), (70, 130, 180), (220, 20, 60), (0, 0, 142), (30, 220, 30)]
"""Of the frames, in turn: by them it can be told which frame is which."""


def encode(
    path: Path,
    pts: Sequence[int],
    *,
    size: tuple[int, int] = (64, 48),
    time_base: Fraction = Fraction(1, 1000),
    codec: str = "libx264",
    rotation: int = 0,
) -> Path:
    """Write frames of one colour each, brighter above than below."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height = size
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv444p" if size[0] % 2 or size[1] % 2 else "yuv420p"
        stream.codec_context.time_base = stream.time_base = time_base
        if rotation:
            if not hasattr(av.VideoStream, "set_display_rotation"):
                pytest.skip("this PyAV cannot write a rotation")
            stream.set_display_rotation(rotation)
        for number, when in enumerate(pts):
            pixels = np.empty((size[1], size[0], 3), np.uint8)
            pixels[:] = COLOURS[number % len(COLOURS)]
            pixels[size[1] // 2 :] //= 2
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = when, time_base
            for packet in stream.encode(frame):
                container.mux(packet)
        for packet in stream.encode(None):
            container.mux(packet)
    return path


def damage(path: Path, number: int) -> None:
    """Overwrite one packet of a video with zeros; the container stays as it is."""
    with av.open(str(path)) as container:
        packet = [packet for packet in container.demux(video=0) if packet.size][number]
        place, size = packet.pos, packet.size
        content = bytes(packet)
    data = bytearray(path.read_bytes())
    place = data.index(content, place)
    data[place : place + size] = bytes(size)
    path.write_bytes(data)
