"""Where pictures were taken: GPS in EXIF, or a list of positions."""

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from dsrnss.data.listing import read_lines
from dsrnss.errors import DataError

EARTH_RADIUS = 6_371_000.0
"""Metres."""
_GPS = 0x8825
_LATITUDE, _LONGITUDE, _DIRECTION = 2, 4, 17
_COLUMNS = ("picture", "latitude", "longitude")
_EXPECTED = "picture,latitude,longitude[,heading]"


@dataclass(frozen=True)
class Position:
    """Where a picture was taken.

    Attributes:
        latitude: Degrees, north positive.
        longitude: Degrees, east positive.
        heading: Degrees clockwise from north that the camera faced, None: not known.
    """

    latitude: float
    longitude: float
    heading: float | None = None


def exif_position(path: Path) -> Position | None:
    """The position in a picture's EXIF, None: there is none that makes sense."""
    try:
        with Image.open(path) as image:
            tags = image.getexif().get_ifd(_GPS)
        latitude, longitude = (_degrees(tags[tag]) * _sign(tags.get(tag - 1)) for tag in (_LATITUDE, _LONGITUDE))
        heading = float(tags[_DIRECTION]) if _DIRECTION in tags else None
        return checked(latitude, longitude, heading)
    except Exception:  # none, or damaged: what is wrong with a picture is said when it is decoded
        return None


def checked(latitude: float, longitude: float, heading: float | None) -> Position:
    """A position.

    Raises:
        ValueError: If it is nowhere on the earth.
    """
    if not (abs(latitude) <= 90 and abs(longitude) <= 180):
        raise ValueError(f"latitude {latitude:g}, longitude {longitude:g}")
    return Position(latitude, longitude, None if heading is None or not math.isfinite(heading) else heading % 360)


def read_positions(path: Path) -> dict[str, Position]:
    """Read a CSV whose first line names the columns `picture`, `latitude`, `longitude` and perhaps `heading`.

    Returns:
        Name of the picture, with slashes and without its ending -> position.

    Raises:
        DataError: If it cannot be read, lacks a column, or a line is no position, naming it.
    """
    try:
        rows = list(csv.DictReader(read_lines(path, "positions"), skipinitialspace=True))
    except csv.Error as error:
        raise DataError(f"Cannot read the positions '{path}': {error}.") from error
    found = {}
    for number, row in enumerate(rows, 2):
        cells = {str(key).strip().lower(): value for key, value in row.items()}
        missing = [column for column in _COLUMNS if column not in cells]
        if missing:
            raise DataError(f"'{path}' has no column {', '.join(missing)}: expected {_EXPECTED}.")
        try:
            heading = cells.get("heading")
            place = checked(float(cells["latitude"]), float(cells["longitude"]), float(heading) if heading else None)
        except (TypeError, ValueError) as error:
            raise DataError(f"Line {number} of '{path}' is no position in degrees: {error}.") from error
        found[bare(cells["picture"])] = place
    if not found:
        raise DataError(f"'{path}' holds no position: expected {_EXPECTED}.")
    return found


def bare(name: str) -> str:
    """A picture's path with slashes inside, and without its ending."""
    return Path(name.strip().replace("\\", "/")).with_suffix("").as_posix().lstrip("/")


def positions_of(pictures: Sequence[Path], listed: Mapping[str, Position]) -> list[Position | None]:
    """The position of each picture: listed by the end of its path, the longest first, else from its EXIF.

    Args:
        pictures: The files.
        listed: As of `read_positions`.
    """
    found = []
    for path in pictures:
        parts = path.with_suffix("").parts[path.is_absolute() :]
        names = ("/".join(parts[-count:]) for count in range(len(parts), 0, -1))
        known = next((listed[name] for name in names if name in listed), None)
        found.append(known or exif_position(path))
    return found


def distances(nights: Sequence[Position | None], days: Sequence[Position | None]) -> npt.NDArray[np.float64]:
    """Metres between pictures: (N, M), not a number where one is not known."""
    lat1, lon1 = np.radians(_degrees_of(nights)).T[:, :, None]
    lat2, lon2 = np.radians(_degrees_of(days)).T[:, None, :]
    haversine = np.sin((lat1 - lat2) / 2) ** 2 + np.cos(lat1) * np.cos(lat2) * np.sin((lon1 - lon2) / 2) ** 2
    metres: npt.NDArray[np.float64] = 2 * EARTH_RADIUS * np.arcsin(np.sqrt(np.clip(haversine, 0, 1)))
    return metres


def turns(nights: Sequence[Position | None], days: Sequence[Position | None]) -> npt.NDArray[np.float64]:
    """Degrees between the headings of pictures, 0 to 180: (N, M), not a number where one is not known."""
    one, other = (
        np.array([np.nan if p is None or p.heading is None else p.heading for p in places], np.float64)
        for places in (nights, days)
    )
    turn: npt.NDArray[np.float64] = np.abs((one[:, None] - other[None] + 180) % 360 - 180)
    return turn


def _degrees_of(places: Sequence[Position | None]) -> npt.NDArray[np.float64]:
    return np.array([(np.nan, np.nan) if p is None else (p.latitude, p.longitude) for p in places], np.float64)


def _degrees(value: Any) -> float:
    """Degrees, minutes and seconds as one number."""
    degrees, minutes, seconds = (float(part) for part in value)
    return degrees + minutes / 60 + seconds / 3600


def _sign(reference: Any) -> int:
    """-1 for south and west."""
    return -1 if str(reference).strip("\0 ").upper() in ("S", "W") else 1
