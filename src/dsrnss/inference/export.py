"""Networks as files for other runtimes: ONNX, torch.export and OpenVINO, of any height, width and batch.

Each file takes uint8 RGB pictures `image` (B, 3, H, W) and gives float32 `logits` (B, C, H, W); normalisation and
padding are inside. Scaling pictures, sliding windows and choosing the best class are up to whoever runs it.
"""

import copy
import inspect
import json
import logging
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

import dsrnss
from dsrnss.errors import ConfigError
from dsrnss.inference.onnx_engine import FORMAT, INPUT, METADATA_KEY, OUTPUT, OnnxEngine
from dsrnss.inference.segmenter import Segmenter
from dsrnss.models.segmentor import Segmentor
from dsrnss.normalisation import IMAGENET_MEAN, IMAGENET_STD, normalise
from dsrnss.optional import optional
from dsrnss.writing import atomic

SUFFIXES = {"onnx": ".onnx", "torch-export": ".pt2", "openvino": ".xml"}
"""Format -> how its files end."""

_LIBRARIES = {
    "onnx": ("onnx", "onnxscript", "onnxruntime"),
    "torch-export": (),
    "openvino": ("onnx", "onnxscript", "openvino"),
}

LEAST_AGREEMENT = 0.9999
"""Share of the pixels whose best class must be the same in float32."""

_EXAMPLE = (2, 3, 224, 352)
"""Of the pictures that the network is traced with: no side may be one that another could be mistaken for."""
ANY_SIZE = {0: torch.export.Dim.DYNAMIC, 2: torch.export.Dim.DYNAMIC, 3: torch.export.Dim.DYNAMIC}
"""Batch, height and width of what an exported network takes."""
_OPSET = 18
"""Version of ONNX' operators: ONNX Runtime 1.14 and later know it."""


class ExportedNetwork(nn.Module):
    """What is in the files: uint8 pictures to logits at their own size.

    Args:
        segmentor: The network.
    """

    def __init__(self, segmentor: Segmentor) -> None:
        super().__init__()
        self.segmentor = segmentor

    def forward(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) uint8 RGB -> (B, C, H, W) float32 logits."""
        return self.segmentor.predict(normalise(image))


def description(segmenter: Segmenter, precision: str = "float32") -> dict[str, Any]:
    """What stands in the metadata of a file."""
    space = segmenter.label_space
    return {
        "format": FORMAT,
        "dsrnss": dsrnss.__version__,
        "classes": list(space.names),
        "palette": [list(colour) for colour in space.palette],
        "input": f"{INPUT}: uint8 RGB (B, 3, H, W), any size, not normalised",
        "output": f"{OUTPUT}: float32 (B, {space.num_classes}, H, W); the class is the greatest along axis 1",
        "normalisation": {"inside": True, "mean": list(IMAGENET_MEAN), "std": list(IMAGENET_STD)},
        "precision": precision,
        "network": segmenter.segmentor.config.to_dict(),
        "card": segmenter.card,
    }


def export(segmenter: Segmenter, out: Path, kind: str) -> None:
    """Write a network.

    Args:
        segmenter: The network; the file is of the CPU, wherever it is.
        out: The file; it appears when it is complete.
        kind: A key of `SUFFIXES`.

    Raises:
        ConfigError: If a library is missing, or the network cannot be exported.
        OutputError: If the file cannot be written.
    """
    text = json.dumps(description(segmenter))
    segmentor = on_cpu(segmenter.segmentor)
    if kind == "torch-export":
        program = _traced(segmentor)
        with atomic(out) as draft:
            torch.export.save(program, draft, extra_files={f"{METADATA_KEY}.json": text})
        return
    model = _to_onnx(segmentor)
    model.metadata_props[METADATA_KEY] = text
    if kind == "onnx":
        with atomic(out) as draft:
            _save_onnx(model, draft)
        return
    _save_openvino(model, out, text)


def on_cpu(segmentor: Segmentor) -> Segmentor:
    """A network, or its copy on the CPU if it is elsewhere: what is traced on a GPU asks for one ever after."""
    return segmentor if next(segmentor.parameters()).is_cpu else copy.deepcopy(segmentor).cpu()


def _save_openvino(model: Any, out: Path, text: str) -> None:
    openvino = _optional("openvino")
    with atomic(out) as draft, tempfile.TemporaryDirectory() as folder:
        _save_onnx(model, Path(folder) / "model.onnx")
        converted = openvino.convert_model(Path(folder) / "model.onnx")
        converted.set_rt_info(text, METADATA_KEY)
        openvino.save_model(converted, draft, compress_to_fp16=False)
        draft.with_suffix(".bin").replace(out.with_suffix(".bin"))


def check_libraries(kind: str) -> None:
    """See that what a format needs is installed, before a network is loaded.

    Raises:
        ConfigError: If it is not.
    """
    for name in _LIBRARIES[kind]:
        _optional(name)


def _optional(name: str) -> ModuleType:
    install = "'openvino'" if name == "openvino" else "'dsrnss[onnx]'"
    return optional(name, f"This export needs {name}", install)


def _traced(segmentor: Segmentor) -> torch.export.ExportedProgram:
    with quiet(segmentor):
        return torch.export.export(
            ExportedNetwork(segmentor).eval(), (torch.zeros(_EXAMPLE, dtype=torch.uint8),), dynamic_shapes=(ANY_SIZE,)
        )


def _to_onnx(segmentor: Segmentor) -> Any:
    with quiet(segmentor):
        program = torch.onnx.export(
            ExportedNetwork(segmentor).eval(),
            (torch.zeros(_EXAMPLE, dtype=torch.uint8),),
            dynamo=True,
            dynamic_shapes=(ANY_SIZE,),
            input_names=[INPUT],
            output_names=[OUTPUT],
            opset_version=_OPSET,
            verbose=False,
        )
    assert program is not None
    return program.model


def _save_onnx(model: Any, path: Path) -> None:
    import onnx_ir

    for value in (model.graph.inputs[0], model.graph.outputs[0]):
        value.shape = onnx_ir.Shape(["batch", value.shape[1], "height", "width"])
    onnx_ir.save(model, path, format="protobuf")


@contextmanager
def quiet(segmentor: Segmentor) -> Iterator[None]:
    """Without the remarks that exporters address to each other; what fails is a matter of the network."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except Exception as error:  # exporters raise whatever they stumble over
        first = (str(error).splitlines() or [""])[0]
        raise ConfigError(
            f"The network {segmentor.config} cannot be exported: {type(error).__name__}: {first}"
        ) from error
    finally:
        logging.disable(level)


@dataclass(frozen=True)
class Agreement:
    """How far two runtimes agree on pictures of one size.

    Attributes:
        size: Batch, height and width.
        same_class: Share of the pixels whose best class is the same.
        difference: Greatest difference of two logits.
    """

    size: tuple[int, int, int]
    same_class: float
    difference: float


def compare(
    segmenter: Segmenter, out: Path, kind: str, pictures: Mapping[tuple[int, int], npt.NDArray[np.uint8]]
) -> list[Agreement]:
    """Compare a file with the network that it was made of.

    Args:
        segmenter: The network.
        out: The file.
        kind: Its format.
        pictures: (height, width) -> pictures (B, height, width, 3) RGB.
    """
    run = _runner(out, kind)
    found = []
    for (height, width), batch in pictures.items():
        expected = segmenter.engine.to_numpy(segmenter.engine.scores(batch, None))
        logits = run(np.ascontiguousarray(batch.transpose(0, 3, 1, 2)))
        same = float((logits.argmax(axis=1) == expected.argmax(axis=1)).mean())
        found.append(Agreement((len(batch), height, width), same, float(np.abs(logits - expected).max())))
    return found


def load_program(path: Path) -> nn.Module:
    """A file of torch.export as a module: (B, 3, H, W) uint8 RGB -> (B, C, H, W) float32 logits."""
    program = torch.export.load(path)
    # newer releases of torch write guards, such as that no map has one row only; the graph is right without
    unguarded = {"check_guards": False} if "check_guards" in inspect.signature(program.module).parameters else {}
    return program.module(**unguarded)


def _runner(out: Path, kind: str) -> Any:
    """Pictures (B, 3, H, W) uint8 -> logits, by a file."""
    if kind == "onnx":
        engine = OnnxEngine(out, "cpu")
        return lambda images: engine.scores(np.ascontiguousarray(images.transpose(0, 2, 3, 1)), None)
    if kind == "openvino":
        compiled = _optional("openvino").compile_model(out, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        return lambda images: compiled(images)[0]
    module = load_program(out)

    def run(images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        with torch.no_grad():
            logits: npt.NDArray[np.float32] = module(torch.from_numpy(images)).numpy()
        return logits

    return run
