from collections.abc import Callable
from pathlib import Path

import pytest
from videos import damage, encode


@pytest.fixture
def damaged(tmp_path: Path) -> Path:
    """A video of 50 frames, one of which cannot be decoded."""
    path = encode(tmp_path / "clip.mkv", range(0, 2000, 40), codec="mjpeg")
    damage(path, 20)
    return path


@pytest.fixture
def video(tmp_path: Path) -> Callable[..., Path]:
    """`encode` into a folder of the test."""
    return lambda name, pts, **options: encode(tmp_path / name, pts, **options)
