"""A network in a file of `dsrnss export`, run by ONNX Runtime; nothing here imports torch."""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from dsrnss.errors import CheckpointError, ConfigError, HardwareError
from dsrnss.inference.engine import LEAST_PROBABILITY, Engine, Pictures
from dsrnss.inference.labelling import StripLabeller, join_rows, label_rows
from dsrnss.labels import LabelSpace
from dsrnss.models.config import is_whole
from dsrnss.models.grid import averaged_bands
from dsrnss.optional import optional
from dsrnss.paths import expanded

INPUT, OUTPUT = "image", "logits"
"""Names of the file's input, (B, 3, H, W) uint8 RGB of any size, and output, (B, C, H, W) float32."""
METADATA_KEY = "dsrnss"
"""Under this key of the file's metadata stands its description, in JSON."""
FORMAT = 1
"""Counts up when an older version could no longer read what is written."""
_CUDA = "CUDAExecutionProvider"

Scores = npt.NDArray[np.float32]


class OnnxEngine(Engine):
    """A network in an ONNX file.

    Args:
        path: The file.
        device: `auto`, `cpu`, `cuda` or `cuda:1`, ...
        precision: `float32`: that of the file counts.

    Attributes:
        label_space: The classes it tells apart.
        card: What is known of its training.

    Raises:
        CheckpointError: If there is no such file, or `dsrnss export` did not write it.
        ConfigError: If ONNX Runtime is not installed, or the precision is another one.
        HardwareError: If this machine does not have the device.
    """

    def __init__(self, path: str | Path, device: str = "auto", precision: str = "float32") -> None:
        if precision != "float32":
            raise ConfigError(f"An ONNX file has its own precision: leave out '{precision}'.")
        self._path, self._runtime = expanded(path), library()
        if not self._path.is_file():
            raise CheckpointError(f"There is no file '{self._path}'.")
        self.device, providers = self._providers(str(device))
        try:
            self._session = self._runtime.InferenceSession(str(self._path), self._options(), providers=providers)
        except Exception as error:  # ONNX Runtime raises types of its own
            if "CUDA failure" in str(error):
                raise HardwareError(f"ONNX Runtime cannot use '{self.device}': {_first_line(error)}") from error
            raise CheckpointError(f"'{self._path}' is no ONNX file that can be run: {_first_line(error)}") from error
        if self.device != "cpu" and _CUDA not in self._session.get_providers():  # it goes to the CPU without a word
            if str(device) != "auto":
                raise HardwareError(
                    f"ONNX Runtime cannot use '{device}': libraries of CUDA or cuDNN that it needs are missing, or of "
                    "another version than its onnxruntime-gpu is for. Install them, or use 'cpu'."
                )
            self.device = "cpu"
        description = self._description()
        self.label_space, self.card = _label_space(description, self._path), dict(description.get("card") or {})
        self.precision = str(description.get("precision", "float32"))

    @cached_property
    def fingerprint(self) -> str:
        """Hash of the file."""
        return hashlib.sha256(self._path.read_bytes()).hexdigest()

    def _providers(self, device: str) -> tuple[str, list[Any]]:
        there = self._runtime.get_available_providers()
        kind, _, number = device.partition(":")
        if kind == "auto":
            kind = device = "cuda" if _CUDA in there else "cpu"
        if kind not in ("cpu", "cuda") or (number and not number.isdigit()):
            raise ConfigError(f"ONNX Runtime does not run on '{device}' here: give 'auto', 'cpu' or 'cuda'.")
        if kind == "cpu":
            return "cpu", ["CPUExecutionProvider"]
        if _CUDA not in there:
            raise HardwareError(
                f"There is no device '{device}': this ONNX Runtime knows no GPU. Install onnxruntime-gpu instead of "
                "onnxruntime, or use 'cpu'."
            )
        return device, [(_CUDA, {"device_id": int(number or 0)}), "CPUExecutionProvider"]

    def _options(self) -> Any:
        options = self._runtime.SessionOptions()
        options.log_severity_level = 3  # what concerns its own developers is no message of ours
        if threads := os.environ.get("OMP_NUM_THREADS"):  # as for PyTorch
            options.intra_op_num_threads = int(threads)
        return options

    def _description(self) -> dict[str, Any]:
        text = self._session.get_modelmeta().custom_metadata_map.get(METADATA_KEY)
        try:
            description = dict(json.loads(text or ""))
        except ValueError as error:
            raise CheckpointError(
                f"'{self._path}' does not tell its classes: expected a file that `dsrnss export` wrote."
            ) from error
        if not is_whole(description.get("format"), 1, FORMAT):
            raise CheckpointError(f"'{self._path}' was written by a newer dsrnss: pip install -U dsrnss.")
        return description

    def scores(self, pictures: Pictures, window: tuple[int, int] | None) -> Scores:
        """As of `Engine`."""
        if window is None:
            return self._run(np.ascontiguousarray(pictures.transpose(0, 3, 1, 2)))
        return np.concatenate([band.copy() for band in self.bands(pictures, window)], axis=-2)

    def bands(self, pictures: Pictures, window: tuple[int, int]) -> Iterator[Scores]:
        """As of `Engine`."""
        (batch, height, width, _), classes = pictures.shape, self.label_space.num_classes

        def zeros(channels: int, rows: int) -> Scores:
            return np.zeros((batch, channels, rows, width), np.float32)

        def logits_of(boxes: Sequence[tuple[slice, slice]]) -> Iterator[Scores]:
            for rows, columns in boxes:
                yield self._run(np.ascontiguousarray(pictures[:, rows, columns].transpose(0, 3, 1, 2)))

        return averaged_bands((height, width), window, None, classes, zeros, logits_of)

    def _run(self, images: npt.NDArray[np.uint8]) -> Scores:
        try:
            logits: Scores = self._session.run([OUTPUT], {INPUT: images})[0]
        except Exception as error:
            if "alloc" in str(error).lower():
                raise MemoryError(str(error)) from error
            raise
        return logits

    def mirrored(self, scores: Scores) -> Scores:
        """As of `Engine`."""
        return scores[..., ::-1]

    def mixed(self, first: Scores, second: Scores, weight: float) -> Scores:
        """As of `Engine`."""
        mean = weight * _softmax(first) + (1 - weight) * _softmax(second)
        return np.log(np.maximum(mean, LEAST_PROBABILITY))

    def labeller(self, rows: int, size: tuple[int, int]) -> StripLabeller:
        """As of `Engine`."""
        return StripLabeller(rows, size, label_rows, join_rows)

    def to_numpy(self, scores: Scores) -> Scores:
        """As of `Engine`."""
        return np.ascontiguousarray(scores)

    def from_numpy(self, array: Scores) -> Scores:
        """As of `Engine`."""
        return array


def library() -> ModuleType:
    """Module onnxruntime.

    Raises:
        ConfigError: If it is not installed.
    """
    return optional("onnxruntime", "ONNX files need ONNX Runtime", "onnxruntime")


def _softmax(scores: Scores) -> Scores:
    values: Scores = np.exp(scores - scores.max(axis=-3, keepdims=True))
    values /= values.sum(axis=-3, keepdims=True)
    return values


def _label_space(description: Mapping[str, Any], path: Path) -> LabelSpace:
    try:
        names = tuple(str(name) for name in description["classes"])
        red, green, blue = zip(*description["palette"], strict=True)
        return LabelSpace(names, tuple(zip(map(int, red), map(int, green), map(int, blue), strict=True)))
    except (KeyError, TypeError, ValueError, ConfigError) as error:
        raise CheckpointError(f"The description in '{path}' is wrong: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".") + "."
