"""Frames of a video file, a camera or a network stream, upright, with their times."""

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from dsrnss.errors import ImageError
from dsrnss.inference.sources import is_stream, without_password
from dsrnss.inference.video.library import library

_UNKNOWN_RATE = Fraction(25)
"""Frames a second taken for granted where a source does not tell."""
_TIMEOUT = 20.0
"""Seconds that a camera or a server may stay silent."""
_CAMERAS = {"linux": ("v4l2", "/dev/video{}"), "darwin": ("avfoundation", "{}"), "win32": ("dshow", "video={}")}
"""System -> the device of FFmpeg that reads cameras, and how it calls one."""
_SHORT_SECONDS, _SHORT_SHARE = 1.0, 0.02
"""A video whose last frames are missing by more than the greater of both was cut short."""


@dataclass(frozen=True)
class Frame:
    """One frame.

    Attributes:
        pts: When it is shown, in units of the reader's time base.
        duration: For how long, likewise.
        picture: RGB, upright.
    """

    pts: int
    duration: int
    picture: Image.Image


class VideoReader:
    """An open video.

    Args:
        source: A file, an address such as `rtsp://...`, or a camera, `camera:0`.
        max_megapixels: Larger frames are refused.

    Attributes:
        name: What to call it.
        stream: Whether it is no file, so that it cannot be read twice.
        live: Whether it does not wait for whoever reads it.
        time_base: Seconds of one unit of time.
        rate: Frames a second, on average.
        frame_count: How many there are, as far as its header tells; None where it has no end.
        pixel_ratio: Width to height of a pixel, upright.
        damaged: A sentence for each frame, or rest of a file, that could not be decoded.

    Raises:
        ImageError: If it cannot be opened, or has no frames.
        ConfigError: If PyAV is not installed.
    """

    def __init__(self, source: str | Path, max_megapixels: float) -> None:
        self._av, self._camera = library(), None
        self.name, self.stream = without_password(str(source)), isinstance(source, str) and is_stream(source)
        scheme = self.name.partition(":")[0].lower() if self.stream else ""
        self.live = self.stream and not scheme.startswith("http")
        self._container = self._open(str(source), scheme)
        try:
            self._video = self._check(max_megapixels)
        except ImageError:
            self.close()
            raise
        self.time_base: Fraction = self._video.time_base or Fraction(1, 90000)
        self.rate: Fraction = self._video.average_rate or self._video.guessed_rate or _UNKNOWN_RATE
        self.pixel_ratio: Fraction = self._video.sample_aspect_ratio or Fraction(1)
        self.frame_count = self._count()
        self.damaged: list[str] = []
        self._size: tuple[int, int] | None = None
        self._usual = max(round(1 / self.rate / self.time_base), 1)

    def __enter__(self) -> "VideoReader":
        """Itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the source."""
        self.close()

    def close(self) -> None:
        """Close the source."""
        self._container.close()

    def _open(self, source: str, scheme: str) -> Any:
        try:
            if scheme == "camera":
                device, pattern = _CAMERAS[sys.platform]
                return self._av.open(pattern.format(source.partition(":")[2]), format=device, timeout=_TIMEOUT)
            options = {"rtsp_transport": "tcp"} if scheme.startswith("rtsp") else {}
            # a file is named by its protocol: `a:b.mp4` is no address, and a playlist must not lead elsewhere
            place = source if self.stream else f"file:{source}"
            return self._av.open(place, options=options, timeout=_TIMEOUT if self.stream else None)
        except (self._av.FFmpegError, KeyError) as error:  # KeyError: no cameras on this system
            raise ImageError(f"'{self.name}' cannot be opened as a video: {_reason(error)}.") from error

    def _check(self, max_megapixels: float) -> Any:
        if not self._container.streams.video:
            raise ImageError(f"'{self.name}' holds no video.")
        video = self._container.streams.video[0]
        context = video.codec_context
        if context is None or not context.width:
            raise ImageError(f"'{self.name}' is damaged, or in a format that this FFmpeg does not decode.")
        megapixels = context.width * context.height / 1e6
        if megapixels > max_megapixels:
            raise ImageError(
                f"'{self.name}' has frames of {megapixels:.1f} megapixels ({context.width} x {context.height}), above "
                f"the limit of {max_megapixels:g}: shrink it, or raise max_megapixels."
            )
        return video

    def _count(self) -> int | None:
        if self.live:
            return None
        if self._video.frames:
            return int(self._video.frames)
        seconds = self._seconds()
        return round(seconds * float(self.rate)) if seconds else None

    def _seconds(self) -> float | None:
        """Length by the header."""
        if self._video.duration:
            return float(self._video.duration * self.time_base)
        return self._container.duration / 1e6 if self._container.duration else None

    def frames(self, skip: int = 0) -> Iterator[Frame]:
        """Decode.

        Args:
            skip: So many frames at the beginning are decoded, since others depend on them, but not given.
        """
        last, first = None, None
        for number, frame in enumerate(self._decoded()):
            duration = int(frame.duration or self._usual)
            pts = frame.pts if frame.pts is not None else 0 if last is None else last + self._usual
            if self.stream:  # clocks of cameras begin anywhere
                first = pts if first is None else first
                pts -= first
            last = pts if last is None else max(pts, last + 1)
            if number >= skip:
                yield Frame(last, duration, self._picture(frame))
        self._tell_cut(0 if last is None else float((last + self._usual) * self.time_base))

    def _decoded(self) -> Iterator[Any]:
        """The good frames; of the others, it is noted when they were to be shown."""
        packets = self._container.demux(self._video)
        while True:
            try:
                packet = next(packets)
            except StopIteration:
                return
            except self._av.FFmpegError as error:
                self.damaged.append(f"'{self.name}' cannot be read to its end: {_reason(error)}.")
                return
            try:
                frames = packet.decode()
            except self._av.FFmpegError as error:
                self._note(packet.pts, _reason(error))
                continue
            for frame in frames:
                if frame.is_corrupt:
                    self._note(frame.pts, "it is damaged")
                else:
                    yield frame

    def _note(self, pts: int | None, reason: str) -> None:
        when = "" if pts is None else f" at {float(pts * self.time_base):.2f} s"
        self.damaged.append(f"'{self.name}': a frame{when} was left out: {reason}.")

    def _tell_cut(self, end: float) -> None:
        seconds = None if self.stream else self._seconds()
        start = float((self._video.start_time or 0) * self.time_base)
        if seconds and seconds - (end - start) > max(_SHORT_SECONDS, _SHORT_SHARE * seconds) and not self.damaged:
            self.damaged.append(
                f"'{self.name}' ends after {end - start:.1f} s, although its header tells {seconds:.1f} s: copy it "
                "again."
            )

    def _picture(self, frame: Any) -> Image.Image:
        """RGB, turned as the source says; a frame of another size is scaled to that of the first."""
        self._size = self._size or (frame.width, frame.height)
        pixels = frame.reformat(*self._size, format="rgb24").to_ndarray()
        turns = round(frame.rotation / 90) % 4
        if turns % 2 and self.pixel_ratio == (self._video.sample_aspect_ratio or 1):
            self.pixel_ratio = 1 / self.pixel_ratio
        return Image.fromarray(np.ascontiguousarray(np.rot90(pixels, turns)))


def _reason(error: Exception) -> str:
    """FFmpeg's words without its numbers and names."""
    said = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return re.sub(r"^\[Errno -?\d+\] ", "", said).rstrip(".")
