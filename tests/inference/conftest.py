"""A stand-in network whose answer can be told by eye: the class of a pixel is its strongest colour channel."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from dsrnss.inference.segmenter import Segmenter
from dsrnss.labels import LabelSpace
from dsrnss.models.config import NetworkConfig
from dsrnss.models.factory import build_segmentor
from dsrnss.models.weights import save_pretrained

RED, GREEN, BLUE = (220, 30, 30), (30, 220, 30), (30, 30, 220)


class StrongestChannel(nn.Module):
    """Has a segmentor's `predict`; logits are the normalised channels."""

    def __init__(self) -> None:
        super().__init__()
        self.config = NetworkConfig("compact", num_classes=3)
        self.calls: list[tuple[tuple[int, ...], str, tuple[int, int] | None]] = []

    def predict(
        self,
        images: Tensor,
        mode: str = "whole",
        window: tuple[int, int] | None = None,
        stride: tuple[int, int] | None = None,
    ) -> Tensor:
        self.calls.append((tuple(images.shape[-2:]), mode, window))
        return images.float() * 4


@pytest.fixture
def space() -> LabelSpace:
    return LabelSpace(("red", "green", "blue"), (RED, GREEN, BLUE))


@pytest.fixture
def segmenter(space: LabelSpace) -> Segmenter:
    return Segmenter(StrongestChannel(), space, {"image_height": 64, "image_width": 128}, device="cpu")


@pytest.fixture
def photo() -> Image.Image:
    """60 wide, 40 high: red above, below it green on the left and blue on the right."""
    pixels = np.empty((40, 60, 3), np.uint8)
    pixels[:20] = RED
    pixels[20:, :30] = GREEN
    pixels[20:, 30:] = BLUE
    return Image.fromarray(pixels)


@pytest.fixture
def truth() -> np.ndarray:
    labels = np.zeros((40, 60), np.uint8)
    labels[20:, :30] = 1
    labels[20:, 30:] = 2
    return labels


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory):
    """A saved network with random weights."""
    torch.manual_seed(0)
    network = build_segmentor(NetworkConfig(backbone="compact", head_channels=16))
    card = {"image_height": 64, "image_width": 128}
    return save_pretrained(network, tmp_path_factory.mktemp("model") / "random.safetensors", card=card, half=True)
