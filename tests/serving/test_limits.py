"""What is refused before it is decoded."""

import tracemalloc

import pytest
from strangers import WRONG, bomb, encoded, photograph

from dsrnss.errors import DsrnssError, ImageError, RefusedError
from dsrnss.serving.limits import Limits, Upload, check_name, check_video, is_video, read_picture


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "BMP"])
def test_common_pictures_are_read(kind: str, limits: Limits) -> None:
    assert read_picture(Upload("a", encoded(photograph(), kind)), limits).size == (90, 60)


@pytest.mark.parametrize("name", WRONG)
def test_everything_else_is_named_with_its_reason(name: str, limits: Limits) -> None:
    content, reason = WRONG[name]
    with pytest.raises(DsrnssError, match=reason) as caught:
        read_picture(Upload(name, content), limits)
    assert f"'{name}'" in str(caught.value)
    assert "max_megapixels" not in str(caught.value)


def test_a_bomb_is_refused_by_its_header(limits: Limits) -> None:
    upload = Upload("bomb.png", bomb())
    tracemalloc.start()
    with pytest.raises(ImageError, match="2500 megapixels"):
        read_picture(upload, limits)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 10_000_000


def test_a_large_upload_is_refused(limits: Limits) -> None:
    with pytest.raises(RefusedError, match=r"larger than 0\.286 MB") as caught:
        read_picture(Upload("a.png", bytes(limits.max_bytes + 1)), limits)
    assert caught.value.status == 413


@pytest.mark.parametrize("name", ["../a.png", "a/b.png", "..\\a.png", "..", "a\0.png", "a\n.png", "x" * 300])
def test_names_of_folders_and_of_no_file_are_refused(name: str) -> None:
    with pytest.raises(RefusedError) as caught:
        check_name(name)
    assert caught.value.status == 400
    assert "\n" not in str(caught.value)


def test_other_names_are_kept() -> None:
    assert check_name("Straße ${1} <b>.png") == "Straße ${1} <b>.png"
    assert check_name("") == "picture"


def test_videos_are_told_by_their_beginning(limits: Limits) -> None:
    assert is_video(b"\0\0\0\x20ftypisom") and is_video(b"\x1a\x45\xdf\xa3")
    for other in (b"#EXTM3U\n/etc/passwd", b"ffconcat version 1.0", b"\0\0\0\x18ftypheic", encoded(photograph())):
        assert not is_video(other)
        with pytest.raises(RefusedError, match="is no video"):
            check_video(Upload("a.mp4", other), limits)
