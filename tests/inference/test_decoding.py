import io
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dsrnss.errors import ImageError
from dsrnss.inference.decoding import SMALLEST_SIDE, read_picture

ORIENTATION = 0x112


def png_header(width: int, height: int) -> bytes:
    """A PNG of any size whose pixels are missing."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + struct.pack(">I", 13)
        + header
        + struct.pack(">I", zlib.crc32(header))
        + b"\0\0\xff\xffIDAT"
    )


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def mean_difference(left: Image.Image, right: Image.Image) -> float:
    assert left.size == right.size
    return float(np.abs(np.asarray(left, np.float32) - np.asarray(right, np.float32)).mean())


@pytest.mark.parametrize(
    ("mode", "kind"),
    [
        ("RGB", "JPEG"), ("RGB", "PNG"), ("RGB", "BMP"), ("RGB", "TIFF"), ("RGB", "WEBP"), ("RGB", "PPM"),
        ("RGBA", "PNG"), ("P", "PNG"), ("P", "GIF"), ("CMYK", "JPEG"), ("CMYK", "TIFF"),
    ],
)  # fmt: skip
def test_colours_survive_any_mode_and_format(photo: Image.Image, tmp_path: Path, mode: str, kind: str) -> None:
    file = tmp_path / "picture"
    file.write_bytes(encoded(photo.quantize(8) if mode == "P" else photo.convert(mode), kind))
    image = read_picture(file)
    assert image.mode == "RGB"
    assert mean_difference(image, photo) < 6


@pytest.mark.parametrize("mode", ["L", "LA", "1"])
def test_grey_pictures_become_grey_rgb(photo: Image.Image, tmp_path: Path, mode: str) -> None:
    photo.convert(mode).save(tmp_path / "grey.png")
    image = read_picture(tmp_path / "grey.png")
    assert image.mode == "RGB"
    assert mean_difference(image, photo.convert(mode).convert("L").convert("RGB")) < 1


@pytest.mark.parametrize(("kind", "dtype"), [("PNG", "<u2"), ("TIFF", "<u2"), ("TIFF", ">u2")])
def test_16_bit_grey_is_scaled_by_its_full_range(photo: Image.Image, tmp_path: Path, kind: str, dtype: str) -> None:
    grey = np.asarray(photo.convert("L"))
    file = tmp_path / "deep"
    file.write_bytes(encoded(Image.fromarray((grey.astype(np.uint16) * 257).astype(dtype)), kind))
    assert mean_difference(read_picture(file), Image.fromarray(grey).convert("RGB")) < 1


def test_float_pictures_may_be_in_unit_or_byte_range(photo: Image.Image, tmp_path: Path) -> None:
    grey = np.asarray(photo.convert("L"), np.float32)
    for values in (grey / 255, grey):
        Image.fromarray(values).save(tmp_path / "float.tif")
        shown = Image.fromarray(grey.astype(np.uint8)).convert("RGB")
        assert mean_difference(read_picture(tmp_path / "float.tif"), shown) < 3


@pytest.mark.parametrize(
    ("orientation", "turn"),
    [
        (3, Image.Transpose.ROTATE_180),
        (6, Image.Transpose.ROTATE_90),
        (8, Image.Transpose.ROTATE_270),
        (2, Image.Transpose.FLIP_LEFT_RIGHT),
    ],
)
def test_rotated_photos_are_turned_upright(
    photo: Image.Image, tmp_path: Path, orientation: int, turn: Image.Transpose
) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    photo.transpose(turn).save(tmp_path / "turned.jpg", exif=exif)
    assert mean_difference(read_picture(tmp_path / "turned.jpg"), photo) < 6


def test_broken_exif_does_not_cost_the_picture(photo: Image.Image, tmp_path: Path) -> None:
    photo.save(tmp_path / "odd.jpg", exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff\x01\x12rubbish")
    assert read_picture(tmp_path / "odd.jpg").size == photo.size


def test_transparent_parts_are_white_but_an_all_zero_alpha_is_left_out(photo: Image.Image, tmp_path: Path) -> None:
    half = photo.convert("RGBA")
    half.paste((0, 0, 0, 0), (0, 0, 60, 20))
    half.save(tmp_path / "half.png")
    pixels = np.asarray(read_picture(tmp_path / "half.png"))
    assert (pixels[:20] == 255).all()
    assert (pixels[20:] == np.asarray(photo)[20:]).all()
    photo.putalpha(0)
    photo.save(tmp_path / "none.png")
    assert mean_difference(read_picture(tmp_path / "none.png"), photo.convert("RGB")) == 0


def test_of_several_frames_the_first_is_taken(photo: Image.Image, tmp_path: Path) -> None:
    photo.save(tmp_path / "film.gif", save_all=True, append_images=[Image.new("RGB", photo.size)])
    assert mean_difference(read_picture(tmp_path / "film.gif"), photo) < 6


def broken_files(photo: Image.Image) -> dict[str, tuple[bytes, str]]:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (200, 200, 3), np.uint8))
    jpeg, png = encoded(noise, "JPEG"), encoded(noise, "PNG")
    return {
        "empty.jpg": (b"", "empty (0 bytes)"),
        "text.jpg": ("grüße, no picture".encode(), "holds text"),
        "page.png": (b"<!doctype html><title>404</title>", "holds text"),
        "bytes.jpg": (bytes(range(128, 256)) * 9, "not a picture of a known kind"),
        "photo.heic": (b"\0\0\0\x18ftypheic" + bytes(99), "HEIC"),
        "paper.jpg": (b"%PDF-1.7\n", "PDF"),
        "half.jpg": (jpeg[: len(jpeg) // 2], "truncated"),
        "half.png": (png[: len(png) // 2], "truncated"),
        "flipped.png": (png[:100] + bytes(200) + png[300:], "damaged"),
        "start.png": (png[:20], "header cannot be read"),
        "one.png": (encoded(Image.new("RGB", (1, 1)), "PNG"), f"{SMALLEST_SIDE} x {SMALLEST_SIDE}"),
        "line.png": (encoded(Image.new("RGB", (3000, 1)), "PNG"), "3000 x 1"),
        "large.png": (png_header(10_000, 10_000), "100.0 megapixels (10000 x 10000), above the limit of 50"),
        "bomb.png": (png_header(60_000, 60_000), "3600 megapixels, above the limit of 50"),
    }


@pytest.mark.parametrize("name", broken_files(Image.new("RGB", (60, 40))))
def test_a_broken_picture_is_named_with_the_reason(photo: Image.Image, tmp_path: Path, name: str) -> None:
    data, reason = broken_files(photo)[name]
    (tmp_path / name).write_bytes(data)
    with pytest.raises(ImageError) as caught:
        read_picture(tmp_path / name)
    assert name in str(caught.value)
    assert reason in str(caught.value)


def test_what_is_no_file_is_refused_without_waiting_for_it(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "folder.jpg").mkdir()
    (tmp_path / "gone.jpg").symlink_to("nowhere.jpg")
    said = {"pipe.jpg": "ordinary", "folder.jpg": "folder", "gone.jpg": "link", "none.jpg": "does not exist"}
    for name, reason in said.items():
        with pytest.raises(ImageError, match=reason):
            read_picture(tmp_path / name)


def test_a_picture_without_permission_is_named(
    photo: Image.Image, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photo.save(tmp_path / "secret.png")

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)  # file modes do not stop a superuser
    with pytest.raises(ImageError, match=r"secret\.png' cannot be opened: Permission denied"):
        read_picture(tmp_path / "secret.png")


def test_the_limit_can_be_raised_and_lowered(photo: Image.Image, tmp_path: Path) -> None:
    photo.save(tmp_path / "small.png")
    with pytest.raises(ImageError, match="above the limit of"):
        read_picture(tmp_path / "small.png", max_megapixels=0.001)
    limit = Image.MAX_IMAGE_PIXELS
    (tmp_path / "large.png").write_bytes(png_header(20_000, 20_000))
    with pytest.raises(ImageError, match=r"truncated|damaged"):  # it gets as far as the pixels that are not there
        read_picture(tmp_path / "large.png", max_megapixels=500)
    assert limit == Image.MAX_IMAGE_PIXELS
