"""Where pictures were taken: EXIF and lists, and the distances between them."""

import math

import numpy as np
import pytest
from PIL import Image

from dsrnss.errors import DataError
from dsrnss.pairing.positions import Position, distances, exif_position, positions_of, read_positions, turns


def photograph(path, gps):
    exif = Image.Exif()
    exif.get_ifd(0x8825).update(gps)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (32, 32)).save(path, exif=exif)
    return path


def test_exif_holds_degrees_minutes_and_seconds(tmp_path):
    place = {1: "S", 2: (33.0, 51.0, 24.0), 3: "W", 4: (70.0, 30.0, 0.0), 17: 271.5}
    found = exif_position(photograph(tmp_path / "a.jpg", place))
    assert found.latitude == pytest.approx(-33.856667, abs=1e-5) and found.longitude == pytest.approx(-70.5)
    assert found.heading == pytest.approx(271.5)


@pytest.mark.parametrize("gps", [{}, {2: (33.0, 51.0, 24.0)}, {2: (99.0, 0.0, 0.0), 4: (0.0, 0.0, 0.0)}])
def test_exif_without_a_sensible_place_is_none(tmp_path, gps):
    assert exif_position(photograph(tmp_path / "a.jpg", gps)) is None


def test_a_list_goes_before_exif_and_the_longest_name_wins(tmp_path):
    (tmp_path / "p.csv").write_text("heading,picture,latitude,longitude\n90,a.jpg,1,2\n,day\\a,3,4\n")
    listed = read_positions(tmp_path / "p.csv")
    exif = {1: "N", 2: (5.0, 0.0, 0.0), 3: "E", 4: (6.0, 0.0, 0.0)}
    files = [photograph(tmp_path / name, exif) for name in ("night/a.jpg", "day/a.jpg", "day/b.jpg")]
    assert positions_of(files, listed) == [Position(1, 2, 90), Position(3, 4), Position(5, 6)]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("picture,lat,lon\na,1,2\n", "no column latitude, longitude"),
        ("picture,latitude,longitude\na,1,2\nb,north,2\n", "Line 3"),
        ("picture,latitude,longitude\na,91,2\n", "Line 2"),
        ("picture,latitude,longitude\na,1\n", "Line 2"),
        ("", "holds no position"),
    ],
)
def test_wrong_lists_are_told(tmp_path, text, words):
    (tmp_path / "p.csv").write_text(text)
    with pytest.raises(DataError, match=words):
        read_positions(tmp_path / "p.csv")
    with pytest.raises(DataError, match="Cannot read"):
        read_positions(tmp_path / "none.csv")


def test_distances_and_turns():
    cambridge, near, unknown = Position(52.2053, 0.1218, 350), Position(52.2062, 0.1218, 15), None
    metres = distances([cambridge, unknown], [near, cambridge, unknown])
    assert metres[0, 0] == pytest.approx(math.radians(0.0009) * 6_371_000, rel=1e-4) and metres[0, 1] == 0
    assert np.isnan(metres[1]).all() and np.isnan(metres[0, 2])
    assert turns([cambridge], [near, Position(0, 0)])[0, 0] == 25
