"""Pictures for reports: painted label maps, overlays, contact sheets and images inside a page."""

import base64
import io
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from dsrnss.errors import ConfigError
from dsrnss.labels import LabelSpace

Picture = npt.NDArray[np.uint8] | Image.Image
"""(H, W, 3) or (H, W) uint8, or a Pillow image."""

JPEG: dict[str, Any] = {"quality": 86, "optimize": True}
"""How photographs are stored."""

_PAPER, _INK, _GAP = (255, 255, 255), (40, 44, 52), 6


def overlay(
    image: npt.NDArray[np.uint8], labels: npt.NDArray[np.integer], label_space: LabelSpace, alpha: float = 0.5
) -> npt.NDArray[np.uint8]:
    """Lay the class colours over a picture; pixels outside the label space keep the picture.

    Args:
        image: (H, W, 3) uint8 RGB.
        labels: (H, W) train ids.
        label_space: The classes.
        alpha: Share of the class colour, in [0, 1].

    Returns:
        (H, W, 3) uint8 RGB.
    """
    painted = label_space.colorize(labels)
    known = (labels >= 0) & (labels < label_space.num_classes)
    weight = np.where(known, np.float32(alpha), np.float32(0.0))[..., None]
    mixed: npt.NDArray[np.uint8] = np.rint(image * (1 - weight) + painted * weight).astype(np.uint8)
    return mixed


def contact_sheet(
    rows: Sequence[Sequence[Picture]],
    titles: Sequence[str],
    *,
    cell_width: int | None = None,
    row_titles: Sequence[str] | None = None,
) -> Image.Image:
    """Arrange pictures in a table on white paper.

    Args:
        rows: Pictures, row by row; rows may be shorter than the table is wide.
        titles: One heading a column.
        cell_width: Width of every picture in pixels; None takes the width of the first, at most 512.
        row_titles: A line of text above each row.

    Returns:
        The sheet, RGB.

    Raises:
        ConfigError: If there is no picture, or a row is longer than `titles`.
    """
    pictures = [[_to_image(picture) for picture in row] for row in rows]
    if not any(pictures):
        raise ConfigError("A contact sheet needs at least one picture.")
    if max(map(len, pictures)) > len(titles):
        raise ConfigError(f"A row of {max(map(len, pictures))} pictures does not fit under {len(titles)} titles.")
    width = cell_width or min(512, next(row[0].width for row in pictures if row))
    fitted = [[_fit_width(picture, width) for picture in row] for row in pictures]
    return _arrange(fitted, titles, row_titles, width)


def _arrange(
    rows: list[list[Image.Image]], titles: Sequence[str], row_titles: Sequence[str] | None, width: int
) -> Image.Image:
    """Paste pictures of one width under their headings."""
    font = ImageFont.load_default(size=max(11, min(20, width // 20)))
    line = int(font.getbbox("Åg")[3]) + _GAP
    above = line if row_titles else 0
    heights = [max((picture.height for picture in row), default=0) + above for row in rows]
    left = [_GAP + column * (width + _GAP) for column in range(len(titles))]
    sheet = Image.new("RGB", (left[-1] + width + _GAP, line + sum(heights) + (len(rows) + 1) * _GAP), _PAPER)
    draw = ImageDraw.Draw(sheet)
    for x, title in zip(left, titles, strict=True):
        draw.text((x, _GAP // 2), title, _INK, font)
    top = line + _GAP
    for index, row in enumerate(rows):
        if row_titles:
            draw.text((_GAP, top), row_titles[index], _INK, font)
        for x, picture in zip(left, row, strict=False):
            sheet.paste(picture, (x, top + above))
        top += heights[index] + _GAP
    return sheet


def photo_uri(image: npt.NDArray[np.uint8], max_width: int) -> str:
    """A picture as a JPEG data URI.

    Args:
        image: (H, W, 3) uint8 RGB.
        max_width: Wider pictures are scaled down to this many pixels.
    """
    return _data_uri(shrunk(image, max_width), "JPEG", **JPEG)


def label_uri(labels: npt.NDArray[np.integer], label_space: LabelSpace, max_width: int) -> str:
    """A label map as a palette PNG data URI, painted in the class colours.

    Args:
        labels: (H, W) train ids; anything outside the label space becomes black.
        label_space: The classes.
        max_width: Wider maps are thinned out to this many pixels.
    """
    return _data_uri(label_picture(labels, label_space, max_width), "PNG", optimize=True)


def shrunk(image: npt.NDArray[np.uint8], max_width: int) -> Image.Image:
    """A picture, (H, W, 3) uint8 RGB, of at most that width."""
    return _fit_width(Image.fromarray(image), min(image.shape[1], max_width))


def label_picture(labels: npt.NDArray[np.integer], label_space: LabelSpace, max_width: int) -> Image.Image:
    """A label map of at most that width, whose pixels are train ids (255: none) and whose palette are the colours."""
    known = (labels >= 0) & (labels < label_space.num_classes)
    picture = Image.fromarray(np.where(known, labels, 255).astype(np.uint8))
    picture = _fit_width(picture, min(labels.shape[1], max_width), Image.Resampling.NEAREST)
    picture.putpalette(label_space.flat_palette())
    return picture


def heat_map(values: npt.NDArray[np.floating]) -> npt.NDArray[np.uint8]:
    """Paint (H, W) numbers in [0, 1], such as a confidence, from dark (0) to bright (1): (H, W, 3) uint8 RGB."""
    grey = np.rint(np.clip(values, 0, 1) * 255).astype(np.uint8)
    return np.asarray(cv2.applyColorMap(grey, cv2.COLORMAP_VIRIDIS)[..., ::-1], np.uint8)


def paint_flow(flow: npt.NDArray[np.floating]) -> npt.NDArray[np.uint8]:
    """Paint a flow: its direction is the hue, its length how far the colour is from white.

    Args:
        flow: (H, W, 2) x then y, in pixels; the longest but for one in a hundred is painted in full colour.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    length = np.hypot(flow[..., 0], flow[..., 1])
    full = max(float(np.quantile(length, 0.99)), 1e-6)
    hue = (np.arctan2(flow[..., 1], flow[..., 0]) / (2 * np.pi)) % 1
    saturation = np.minimum(length / full, 1)
    wheel = np.stack((hue * 180, saturation * 255, np.full_like(hue, 255)), -1).clip(0, (179, 255, 255))
    return np.asarray(cv2.cvtColor(wheel.astype(np.uint8), cv2.COLOR_HSV2RGB), np.uint8)


def _to_image(picture: Picture) -> Image.Image:
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    return image.convert("RGB")


def _fit_width(
    picture: Image.Image, width: int, resampling: Image.Resampling = Image.Resampling.LANCZOS
) -> Image.Image:
    if picture.width == width:
        return picture
    return picture.resize((width, max(1, round(picture.height * width / picture.width))), resampling)


def _data_uri(picture: Image.Image, kind: str, **options: Any) -> str:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"
