from fractions import Fraction

import numpy as np
import pytest

from dsrnss.errors import ConfigError, ImageError
from dsrnss.inference.video import library as module
from dsrnss.inference.video.reading import VideoReader

UNEVEN = [0, 40, 90, 250, 260, 400, 1000]
"""Milliseconds."""


def test_frames_come_with_their_times_however_uneven(video) -> None:
    with VideoReader(video("a.mkv", UNEVEN), 50) as reader:
        frames = [*reader.frames()]
        assert [round(float(frame.pts * reader.time_base) * 1000) for frame in frames] == UNEVEN
        assert (reader.damaged, reader.live, reader.stream) == ([], False, False)


def test_skipped_frames_are_the_first_ones(video) -> None:
    path = video("a.mp4", range(0, 400, 40))
    with VideoReader(path, 50) as whole, VideoReader(path, 50) as rest:
        assert [frame.pts for frame in whole.frames()][7:] == [frame.pts for frame in rest.frames(skip=7)]


@pytest.mark.parametrize(("rotation", "bright"), [(90, "left"), (180, "below"), (-90, "right")])
def test_frames_are_turned_upright(video, rotation: int, bright: str) -> None:
    with VideoReader(video("a.mp4", range(0, 200, 40), rotation=rotation), 50) as reader:
        picture = next(reader.frames()).picture
    assert picture.size == ((64, 48) if rotation == 180 else (48, 64))
    pixels = np.asarray(picture).astype(int).sum(axis=2)
    middle, across = pixels.shape[0] // 2, pixels.shape[1] // 2
    halves = {"left": pixels[:, :across], "right": pixels[:, across:], "below": pixels[middle:]}
    assert halves[bright].mean() > 1.2 * pixels.mean()


def test_colours_are_those_that_were_encoded(video) -> None:
    with VideoReader(video("a.mp4", range(0, 200, 40)), 50) as reader:
        pixels = np.asarray(next(reader.frames()).picture)
    assert np.abs(pixels[5, 5].astype(int) - (128, 64, 128)).max() <= 6


def test_what_is_no_video_is_named(tmp_path, video) -> None:
    (tmp_path / "text.mp4").write_text("no video")
    (tmp_path / "empty.mp4").write_bytes(b"")
    for name in ("text.mp4", "empty.mp4", "gone.mp4"):
        with pytest.raises(ImageError, match=name):
            VideoReader(tmp_path / name, 50)
    with pytest.raises(ImageError, match=r"megapixels.*raise max_megapixels"):
        VideoReader(video("a.mp4", [0, 40]), 0.001)
    with pytest.raises(ImageError, match=r"camera:99' cannot be opened"):
        VideoReader("camera:99", 50)


def test_a_password_in_an_address_is_not_shown() -> None:
    with pytest.raises(ImageError, match=r"'rtsp://127\.0\.0\.1:1/x' cannot") as told:
        VideoReader("rtsp://me:secret@127.0.0.1:1/x", 50)
    assert "secret" not in str(told.value)


def test_a_damaged_frame_is_left_out_and_named(damaged) -> None:
    with VideoReader(damaged, 50) as reader:
        frames = [*reader.frames()]
    assert [frame.pts for frame in frames] == [40 * number for number in range(50) if number != 20]
    assert len(reader.damaged) == 1
    assert "clip.mkv" in reader.damaged[0] and "at 0.80 s" in reader.damaged[0]


def test_a_video_that_was_cut_short_says_so(video) -> None:
    path = video("a.mkv", range(0, 5000, 40))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with VideoReader(path, 50) as reader:
        assert [*reader.frames()]
    assert len(reader.damaged) == 1


def test_rate_and_length_are_known_before(video) -> None:
    with VideoReader(video("a.mp4", range(0, 1000, 40)), 50) as reader:
        assert (reader.rate, reader.frame_count) == (Fraction(25), 25)


def test_without_pyav_the_extra_is_named(monkeypatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "av", None)
    with pytest.raises(ConfigError, match=r"dsrnss\[video\]"):
        module.library()
