"""Exporting a network that is not on the CPU; `tests/commands/test_export.py` looks at the files."""

from pathlib import Path

import pytest
import torch
from torch import nn

from dsrnss.inference.export import export, load_program
from dsrnss.inference.segmenter import Segmenter
from dsrnss.labels import CITYSCAPES
from dsrnss.models.config import NetworkConfig
from dsrnss.models.factory import build_segmentor


@pytest.mark.slow
def test_the_file_is_of_the_cpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a GPU `meta` is the other device, whose numbers cannot come along."""
    network = build_segmentor(NetworkConfig("compact", "fpn", 8))
    segmenter = Segmenter(network, CITYSCAPES, device="cpu")
    network.to("meta")
    monkeypatch.setattr(nn.Module, "cpu", lambda module: module.to_empty(device="cpu"))
    export(segmenter, tmp_path / "network.pt2", "torch-export")
    assert load_program(tmp_path / "network.pt2")(torch.zeros(1, 3, 40, 70, dtype=torch.uint8)).shape == (1, 19, 40, 70)
    assert next(network.parameters()).is_meta, "it stays where it is"
