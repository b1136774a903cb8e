"""Encoding: H.264 for the eye, FFV1 for what must stay as it is; chunks are joined without encoding them again."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dsrnss.errors import OutputError
from dsrnss.inference.video.library import library
from dsrnss.writing import atomic, output_error

LOSSLESS = ("labels", "confidence")
"""Kinds whose numbers count; the others are pictures."""

CHUNK_SUFFIX = ".nut"
"""A container that keeps every time base exactly."""

# without B-frames packets lie in the order of the frames, so that chunks can be joined
_H264 = {"preset": "veryfast", "crf": "20", "bf": "0"}
_FFV1 = {"level": "3", "slices": "4", "slicecrc": "1", "g": "1"}
_LARGEST = 2**31 - 1
_BT709, _LIMITED, _FULL = 1, 1, 2
"""Numbers of H.273: matrix, primaries and transfer; range of the values."""


@dataclass(frozen=True)
class Timing:
    """When the frames of a video are shown, and how wide their pixels are.

    Attributes:
        time_base: Seconds of one unit of time.
        rate: Frames a second, on average.
        pixel_ratio: Width to height of a pixel.
    """

    time_base: Fraction
    rate: Fraction
    pixel_ratio: Fraction


class TrackWriter:
    """Encodes one kind of picture of the frames of a chunk.

    Args:
        path: The file.
        kind: A key of `dsrnss.inference.sources.VIDEO_OUTPUTS`.
        size: Width and height in pixels; an odd side stays odd.
        timing: Of the video.

    Raises:
        OutputError: If it cannot be written.
    """

    def __init__(self, path: Path, kind: str, size: tuple[int, int], timing: Timing) -> None:
        self._av, self._path, self._timing = library(), path, timing
        self.lossless = kind in LOSSLESS
        try:
            self._container = self._av.open(str(path), "w", format="nut")
        except OSError as error:
            raise output_error(path, error) from error
        codec, options = ("ffv1", _FFV1) if self.lossless else ("libx264", _H264)
        self._stream = self._container.add_stream(codec, rate=timing.rate, options=dict(options))
        context = self._stream.codec_context
        context.width, context.height = size
        # an odd side has no halved colours
        self._format = "gray" if self.lossless else "yuv444p" if size[0] % 2 or size[1] % 2 else "yuv420p"
        context.pix_fmt = self._format
        context.time_base = self._stream.time_base = timing.time_base
        context.sample_aspect_ratio = timing.pixel_ratio
        context.color_range = _FULL if self.lossless else _LIMITED
        if not self.lossless:
            context.colorspace = context.color_primaries = context.color_trc = _BT709

    def write(self, pixels: npt.NDArray[np.uint8], pts: int) -> None:
        """Encode a frame: (H, W) of a lossless kind, else (H, W, 3) RGB.

        Raises:
            OutputError: If it cannot be written.
        """
        pixels = np.ascontiguousarray(pixels)
        frame = self._av.VideoFrame.from_ndarray(pixels, format="gray" if self.lossless else "rgb24")
        if not self.lossless:
            frame = frame.reformat(format=self._format, dst_colorspace="ITU709")
        frame.pts, frame.time_base = pts, self._timing.time_base
        self._mux(frame)

    def close(self, *, complete: bool = True) -> None:
        """Write what the encoder still holds, unless the file is given up.

        Raises:
            OutputError: If it cannot be written.
        """
        if complete:
            self._mux(None)
        try:
            self._container.close()
        except OSError as error:
            if complete:
                raise output_error(self._path, error) from error

    def _mux(self, frame: Any) -> None:
        try:
            for packet in self._stream.encode(frame):
                self._container.mux(packet)
        except OSError as error:
            raise output_error(self._path, error) from error


def join_chunks(chunks: Sequence[Path], out: Path, end: int, time_base: Fraction) -> None:
    """Make one video of chunks that follow each other, as they were encoded.

    Args:
        chunks: Files of a `TrackWriter` each.
        out: `.mp4` or `.mkv`; it appears when it is complete.
        end: When the last frame ends, in units of the time base.
        time_base: Seconds of one unit; that of a chunk is finer where this one is coarse.

    Raises:
        OutputError: If it cannot be written.
    """
    av = library()
    mp4 = out.suffix == ".mp4"
    kind, options = "mp4" if mp4 else "matroska", _muxing(mp4, time_base.denominator)
    with atomic(out) as draft:
        try:
            with av.open(str(draft), "w", format=kind, options=options) as joined:
                stream, before = None, None
                for chunk in chunks:
                    with av.open(str(chunk)) as part:
                        video = part.streams.video[0]
                        if stream is None:
                            stream = joined.add_stream_from_template(video)
                            stream.time_base = video.time_base
                        for packet in part.demux(video):
                            if packet.dts is None:  # the end of a chunk
                                continue
                            if before is not None:
                                _mux(joined, stream, before, packet.pts)
                            before = packet
                if before is not None:
                    _mux(joined, stream, before, round(end * time_base / before.time_base))
        except av.error.FFmpegError as error:
            if isinstance(error, OSError):
                raise
            raise OutputError(f"Cannot write '{out}': {error}.") from error


def _muxing(mp4: bool, units: int) -> dict[str, str]:
    if not mp4:
        return {"fflags": "+bitexact"}  # no random marks: the same video is the same file
    # the index in front: a browser shows the video while it loads it; a start that is not 0 stays exact
    return {"movflags": "+faststart", "movie_timescale": str(min(units, _LARGEST))}


def _mux(joined: Any, stream: Any, packet: Any, end: int) -> None:
    packet.duration = max(end - packet.pts, 1)
    packet.stream = stream
    joined.mux(packet)
