"""A tiny network behind a service."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from dsrnss.inference.segmenter import Segmenter
from dsrnss.labels import CITYSCAPES
from dsrnss.models.config import NetworkConfig
from dsrnss.models.factory import build_segmentor
from dsrnss.serving.limits import Limits
from dsrnss.serving.work import Service


@pytest.fixture(scope="session")
def segmenter() -> Segmenter:
    torch.manual_seed(0)
    network = build_segmentor(NetworkConfig(backbone="compact", head_channels=16))
    return Segmenter(network, CITYSCAPES, {"image_height": 64, "image_width": 128}, device="cpu")


@pytest.fixture
def limits() -> Limits:
    return Limits(max_pixels=1_000_000, max_bytes=300_000, max_frames=6, seconds=60, waiting=2)


@pytest.fixture
def service(segmenter: Segmenter, limits: Limits, tmp_path: Path) -> Iterator[Service]:
    found = Service(segmenter, limits, tmp_path, "tiny")
    yield found
    found.desk.close()
