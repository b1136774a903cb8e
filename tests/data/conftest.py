"""A tiny data set in memory and a writer of pictures, for the tests of the data layer."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import tv_tensors

from dsrnss.data.base import SegmentationDataset
from dsrnss.errors import DataError
from dsrnss.labels import CITYSCAPES


class ToySet(SegmentationDataset):
    """Pictures whose pixels say where they come from: red = sample, green = row, blue = column."""

    label_space = CITYSCAPES

    def __init__(self, length=10, size=(40, 60), labelled=True, references=False, flow=False, broken=()):
        self.length, self.size, self.split = length, size, "toy"
        self.labelled, self.references, self.flow, self.broken = labelled, references, flow, broken
        self.verified = 0

    def __len__(self):
        return self.length

    def __getitem__(self, index):
        if index in self.broken:
            raise DataError(f"'toy_{index}.png' is damaged.\nCopy it again.")
        height, width = self.size
        row, column = np.mgrid[:height, :width].astype(np.uint8)
        picture = np.stack([np.full_like(row, index), row, column])
        sample = {"image": tv_tensors.Image(torch.from_numpy(picture)), "name": f"toy_{index}"}
        if self.labelled:
            sample["label"] = tv_tensors.Mask(torch.from_numpy(self.labels(index)))
        if self.references:
            sample["reference"] = tv_tensors.Image(torch.from_numpy(picture + np.uint8(100)))
        if self.flow:
            sample["flow"] = torch.from_numpy(np.stack([column, row]).astype(np.float32))
            sample["confidence"] = torch.from_numpy(column[None].astype(np.float32) / 255)
        return sample

    def labels(self, index):
        """Road above sky, and a square of a rare class whose place and kind depend on the sample."""
        label = np.zeros(self.size, np.uint8)
        label[self.size[0] // 2 :] = 10
        label[5:15, 5:15] = 11 + index % 8
        label[:, -2:] = 255
        return label

    def verify(self):
        self.verified += 1

    def class_counts(self):
        return np.stack([np.bincount(self.labels(i).ravel(), minlength=256)[:19] for i in range(self.length)])

    def counted_size(self):
        return self.size


@pytest.fixture
def toy():
    return ToySet


@pytest.fixture
def write_png():
    def write(path: Path, pixels, mode=None):
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.asarray(pixels, np.uint8)).save(path)
        return path

    return write


@pytest.fixture(scope="session")
def miniatures():
    """The module that makes tiny copies of all data sets."""
    spec = importlib.util.spec_from_file_location("make_miniatures", Path(__file__).with_name("make_miniatures.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
