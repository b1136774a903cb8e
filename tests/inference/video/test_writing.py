from fractions import Fraction

import av
import numpy as np
import pytest

from dsrnss.errors import OutputError
from dsrnss.inference.video.writing import Timing, TrackWriter, join_chunks

TIMING = Timing(Fraction(1, 90000), Fraction(25), Fraction(4, 3))


def write(folder, kind: str, size: tuple[int, int], pictures, pts, chunk: int = 3, timing=TIMING, last: int = 3600):
    """A video of chunks."""
    parts = []
    for start in range(0, len(pts), chunk):
        parts.append(folder / f"{start}.nut")
        writer = TrackWriter(parts[-1], kind, size, timing)
        for pixels, when in zip(pictures[start : start + chunk], pts[start : start + chunk], strict=True):
            writer.write(pixels, when)
        writer.close()
    out = folder / ("out.mkv" if kind == "labels" else "out.mp4")
    join_chunks(parts, out, pts[-1] + last, timing.time_base)
    return out


@pytest.mark.parametrize("size", [(64, 48), (65, 47), (17, 16)])
def test_labels_survive_to_the_last_bit(tmp_path, size: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    labels = [rng.integers(0, 255, size[::-1], np.uint8) for _ in range(8)]
    with av.open(str(write(tmp_path, "labels", size, labels, [3600 * i for i in range(8)]))) as container:
        read = [frame.to_ndarray() for frame in container.decode(video=0)]
        assert container.streams.video[0].codec_context.name == "ffv1"
    assert len(read) == 8
    assert all((one == other).all() for one, other in zip(labels, read, strict=True))


@pytest.mark.parametrize("size", [(64, 48), (65, 47)])
def test_pictures_keep_size_times_duration_and_pixel_ratio(tmp_path, size: tuple[int, int]) -> None:
    pts = [7804, 13899, 18988, 22146, 30000, 90000, 90100]
    colours = [np.full((size[1], size[0], 3), shade, np.uint8) for shade in range(40, 180, 20)]
    with av.open(str(write(tmp_path, "overlay", size, colours, pts))) as container:
        video = container.streams.video[0]
        frames = [*container.decode(video=0)]
        assert (video.codec_context.name, video.time_base) == ("h264", Fraction(1, 90000))
        assert video.duration == 90100 + 3600 - 7804
        assert video.sample_aspect_ratio == Fraction(4, 3)
    assert [frame.pts for frame in frames] == pts
    assert {(frame.width, frame.height) for frame in frames} == {size}
    for frame, pixels in zip(frames, colours, strict=True):
        assert abs(frame.to_ndarray(format="rgb24").mean() - pixels.mean()) < 3


@pytest.mark.parametrize("kind", ["labels", "overlay"])
@pytest.mark.parametrize("rate", [10, 25])
def test_the_last_frame_lasts_as_long_as_the_others(tmp_path, kind: str, rate: int) -> None:
    """Also where the unit of time is a frame, as in AVI; that of the chunks is finer."""
    grey = [np.full((48, 64) if kind == "labels" else (48, 64, 3), shade, np.uint8) for shade in range(40, 180, 20)]
    timing = Timing(Fraction(1, rate), Fraction(rate), Fraction(1))
    with av.open(str(write(tmp_path, kind, (64, 48), grey, range(7), timing=timing, last=1))) as container:
        assert container.duration / av.time_base == pytest.approx(7 / rate, abs=1e-3)


def test_a_folder_that_cannot_be_written_is_named(tmp_path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OutputError, match=r"file/a\.nut"):
        writer = TrackWriter(tmp_path / "file" / "a.nut", "labels", (64, 48), TIMING)
        writer.write(np.zeros((48, 64), np.uint8), 0)
        writer.close()
