"""One decoder for all: what it makes of any file, and that training sees the pixels that `segment` sees."""

import io
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from PIL import Image, features
from torch import Tensor, nn

from dsrnss.data import Folder
from dsrnss.errors import DsrnssError, ImageError
from dsrnss.inference.photograph import MAX_MEGAPIXELS, SMALLEST_SIDE
from dsrnss.inference.segmenter import Segmenter
from dsrnss.labels import CITYSCAPES
from dsrnss.pictures import decode, read_header, verify

ORIENTATION = 0x112
MODES = (
    "1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "LAB", "HSV",
    "I", "I;16", "I;16B", "F",
)  # fmt: skip
FORMATS = (
    "PNG",
    "TIFF",
    "WEBP",
    "JPEG",
    "BMP",
    "GIF",
    "PPM",
    "JPEG2000",
    *(["AVIF"] if features.check("avif") else []),
)


@pytest.fixture
def photo() -> Image.Image:
    """60 wide, 40 high: red above, below it green on the left and blue on the right."""
    pixels = np.empty((40, 60, 3), np.uint8)
    pixels[:20] = (220, 30, 30)
    pixels[20:, :30] = (30, 220, 30)
    pixels[20:, 30:] = (30, 30, 220)
    return Image.fromarray(pixels)


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
    image = decode(file)
    assert image.mode == "RGB"
    assert mean_difference(image, photo) < 6


@pytest.mark.parametrize("mode", ["L", "LA", "1"])
def test_grey_pictures_become_grey_rgb(photo: Image.Image, tmp_path: Path, mode: str) -> None:
    photo.convert(mode).save(tmp_path / "grey.png")
    image = decode(tmp_path / "grey.png")
    assert image.mode == "RGB"
    assert mean_difference(image, photo.convert(mode).convert("L").convert("RGB")) < 1


@pytest.mark.parametrize(("kind", "dtype"), [("PNG", "<u2"), ("TIFF", "<u2"), ("TIFF", ">u2")])
def test_16_bit_grey_is_scaled_by_its_full_range(photo: Image.Image, tmp_path: Path, kind: str, dtype: str) -> None:
    grey = np.asarray(photo.convert("L"))
    file = tmp_path / "deep"
    file.write_bytes(encoded(Image.fromarray((grey.astype(np.uint16) * 257).astype(dtype)), kind))
    assert mean_difference(decode(file), Image.fromarray(grey).convert("RGB")) < 1


def test_float_pictures_may_be_in_unit_or_byte_range(photo: Image.Image, tmp_path: Path) -> None:
    grey = np.asarray(photo.convert("L"), np.float32)
    for values in (grey / 255, grey):
        Image.fromarray(values).save(tmp_path / "float.tif")
        shown = Image.fromarray(grey.astype(np.uint8)).convert("RGB")
        assert mean_difference(decode(tmp_path / "float.tif"), shown) < 3


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
    assert mean_difference(decode(tmp_path / "turned.jpg"), photo) < 6


def test_broken_exif_does_not_cost_the_picture(photo: Image.Image, tmp_path: Path) -> None:
    photo.save(tmp_path / "odd.jpg", exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff\x01\x12rubbish")
    assert decode(tmp_path / "odd.jpg").size == photo.size


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("tag", [0x010E, 0x011A, 0x8298])
def test_a_turned_picture_may_have_other_tags_that_are_damaged(
    photo: Image.Image, tmp_path: Path, kind: str, tag: int
) -> None:
    exif = turned(6)
    exif[0x010E], exif[0x011A], exif[0x8298] = "a street", 72.0, "me"
    data = bytearray(exif.tobytes())
    entry = data.index(struct.pack(">H", tag)) if data[6:8] == b"MM" else data.index(struct.pack("<H", tag))
    data[entry + 2 : entry + 4] = b"\0\7" if data[6:8] == b"MM" else b"\7\0"  # bytes instead of a text or a number
    photo.save(tmp_path / "odd", kind, exif=bytes(data))
    assert decode(tmp_path / "odd").size == photo.size[::-1]
    assert read_header(tmp_path / "odd").size == photo.size


def test_transparent_parts_are_white_but_an_all_zero_alpha_is_left_out(photo: Image.Image, tmp_path: Path) -> None:
    half = photo.convert("RGBA")
    half.paste((0, 0, 0, 0), (0, 0, 60, 20))
    half.save(tmp_path / "half.png")
    pixels = np.asarray(decode(tmp_path / "half.png"))
    assert (pixels[:20] == 255).all()
    assert (pixels[20:] == np.asarray(photo)[20:]).all()
    photo.putalpha(0)
    photo.save(tmp_path / "none.png")
    assert mean_difference(decode(tmp_path / "none.png"), photo.convert("RGB")) == 0


def test_of_several_frames_the_first_is_taken(photo: Image.Image, tmp_path: Path) -> None:
    photo.save(tmp_path / "film.gif", save_all=True, append_images=[Image.new("RGB", photo.size)])
    assert mean_difference(decode(tmp_path / "film.gif"), photo) < 6


def test_a_pixel_without_bounds_does_not_darken_the_others(tmp_path: Path) -> None:
    values = np.full((4, 4), 0.5, np.float32)
    values[0] = np.inf, -np.inf, np.nan, 1
    Image.fromarray(values).save(tmp_path / "float.tif")
    grey = np.asarray(decode(tmp_path / "float.tif"))[..., 0]
    assert grey[0].tolist() == [255, 0, 0, 255]
    assert (grey[1:] == 128).all()


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
        decode(tmp_path / name, max_megapixels=MAX_MEGAPIXELS, smallest_side=SMALLEST_SIDE)
    assert name in str(caught.value)
    assert reason in str(caught.value)


def test_what_is_no_file_is_refused_without_waiting_for_it(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "folder.jpg").mkdir()
    (tmp_path / "gone.jpg").symlink_to("nowhere.jpg")
    said = {"pipe.jpg": "ordinary", "folder.jpg": "folder", "gone.jpg": "link", "none.jpg": "does not exist"}
    for name, reason in said.items():
        with pytest.raises(ImageError, match=reason):
            decode(tmp_path / name)


def test_a_picture_without_permission_is_named(
    photo: Image.Image, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photo.save(tmp_path / "secret.png")

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)  # file modes do not stop a superuser
    with pytest.raises(ImageError, match=r"secret\.png' cannot be opened: Permission denied"):
        decode(tmp_path / "secret.png")


def test_the_limit_can_be_raised_and_lowered(photo: Image.Image, tmp_path: Path) -> None:
    photo.save(tmp_path / "small.png")
    with pytest.raises(ImageError, match="above the limit of"):
        decode(tmp_path / "small.png", max_megapixels=0.001)
    limit = Image.MAX_IMAGE_PIXELS
    (tmp_path / "large.png").write_bytes(png_header(20_000, 20_000))
    with pytest.raises(ImageError, match=r"truncated|damaged"):  # it gets as far as the pixels that are not there
        decode(tmp_path / "large.png", max_megapixels=500)
    assert limit == Image.MAX_IMAGE_PIXELS


def turned(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    return exif


@pytest.mark.parametrize("kind", [kind for kind in FORMATS if kind not in ("BMP", "GIF", "PPM", "JPEG2000")])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_header_tells_the_upright_size_without_decoding(
    photo: Image.Image, tmp_path: Path, kind: str, orientation: int
) -> None:
    path = tmp_path / "picture"
    path.write_bytes(encoded(photo, kind, exif=turned(orientation)))
    header, picture = read_header(path), decode(path)
    assert header.size == (picture.height, picture.width) == ((60, 40) if orientation > 4 else (40, 60))
    assert header.turned == (orientation > 1)


@pytest.mark.parametrize("text", [False, True])
def test_an_orientation_behind_the_pixels_of_a_png_counts_too(photo: Image.Image, tmp_path: Path, text: bool) -> None:
    data = encoded(photo, "PNG")
    content = turned(6).tobytes()
    if text:
        kind, content = b"tEXt", b"Raw profile type exif\0\nexif\n%8d\n%s\n" % (len(content), content.hex().encode())
    else:
        kind = b"eXIf"
    chunk = struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
    (tmp_path / "late.png").write_bytes(data[:-12] + chunk + data[-12:])
    assert decode(tmp_path / "late.png").size == (40, 60)
    assert read_header(tmp_path / "late.png").size == (60, 40)


def test_png_files_are_verified_to_their_end(photo: Image.Image, tmp_path: Path) -> None:
    path, data = tmp_path / "a.png", encoded(photo.effect_spread(5), "PNG")
    for good in (data, data + b"rubbish behind the end"):
        path.write_bytes(good)
        verify(path)
    for end in (8, 20, len(data) - 12):
        path.write_bytes(data[:end])
        with pytest.raises(ImageError, match=r"truncated|damaged"):
            verify(path)
    for place in range(29, len(data) - 12, 97):
        path.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
        with pytest.raises(ImageError, match=r"truncated|damaged"):
            verify(path)


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow reads no AVIF")
def test_a_damaged_avif_is_an_image_error_in_a_data_set(photo: Image.Image, tmp_path: Path) -> None:
    data = bytearray(encoded(photo, "AVIF"))
    data[-60:] = bytes(60)
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a.png").write_bytes(data[: len(data) - 40])
    with pytest.raises(ImageError, match=r"a\.png"):
        _ = Folder(tmp_path)[0]


class Blank(nn.Module):
    """A segmentor that takes anything."""

    def predict(self, images: Tensor, *_: object) -> Tensor:
        return images


SEGMENTER = Segmenter(Blank(), CITYSCAPES, {"image_height": 32, "image_width": 32}, device="cpu")


def stored(mode: str, size: tuple[int, int], seed: int) -> Image.Image:
    """Random pixels in any mode."""
    rng = np.random.default_rng(seed)
    width, height = size
    if mode in ("I;16", "I;16B"):
        # a ramp of 12 bits as cameras store it, or the full range
        values = rng.integers(0, (4096, 65536)[seed % 2], (height, width)).astype(">u2" if mode == "I;16B" else "<u2")
        return Image.frombytes(mode, size, values.tobytes())
    if mode == "I":
        return Image.fromarray(rng.integers(0, 65536, (height, width)).astype(np.int32))
    if mode == "F":
        return Image.fromarray(rng.random((height, width), np.float32) * (1, 255)[seed % 2])
    if mode == "LAB":
        return Image.frombytes(mode, size, rng.bytes(3 * width * height))
    layered = Image.fromarray(rng.integers(0, 256, (height, width, 4), np.uint8))  # with hidden colours
    if mode == "P":
        image = layered.convert("RGB").quantize(16)
        if seed % 2:
            image.info["transparency"] = 3
        return image
    if mode == "PA":
        return layered.convert("RGB").quantize(16).convert("PA")
    if mode in ("La", "RGBa"):
        return layered.convert(mode.upper()).convert(mode)
    return layered.convert(mode) if mode in ("1", "L", "LA", "RGBA") else layered.convert("RGB").convert(mode)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    mode=st.sampled_from(MODES),
    kind=st.sampled_from(FORMATS),
    orientation=st.integers(1, 8),
    size=st.tuples(st.integers(SMALLEST_SIDE, 40), st.integers(SMALLEST_SIDE, 40)),
    seed=st.integers(0, 9),
)
@example(mode="I;16", kind="PNG", orientation=1, size=(30, 20), seed=0)
@example(mode="F", kind="TIFF", orientation=6, size=(30, 20), seed=0)
@example(mode="RGBA", kind="PNG", orientation=3, size=(20, 20), seed=0)
@example(mode="P", kind="PNG", orientation=5, size=(30, 20), seed=1)
def test_a_data_set_gives_the_pixels_that_are_segmented(
    tmp_path_factory: pytest.TempPathFactory, mode: str, kind: str, orientation: int, size: tuple[int, int], seed: int
) -> None:
    image = stored(mode, size, seed)
    try:
        data = encoded(image, kind, exif=turned(orientation))
    except (OSError, ValueError, KeyError):  # no file of this format holds this mode
        return
    root = tmp_path_factory.mktemp("set")
    path = root / "images" / "a.png"  # the content tells what it is, not the ending
    path.parent.mkdir()
    path.write_bytes(data)
    try:
        segmented = SEGMENTER(path).image
    except ImageError as error:
        with pytest.raises(DsrnssError) as caught:
            _ = Folder(root)[0]
        assert str(caught.value) == str(error)
        return
    sample = Folder(root)[0]["image"]
    assert np.array_equal(sample.permute(1, 2, 0).numpy(), np.asarray(segmented))
    header = read_header(path)
    assert header.size == sample.shape[-2:]
