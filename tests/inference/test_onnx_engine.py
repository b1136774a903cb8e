"""Networks in ONNX files; the one here is made by hand: its logits are the colour channels."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper
from PIL import Image
from videos import encode

from dsrnss.errors import CheckpointError, ConfigError, HardwareError
from dsrnss.inference import labelling, torch_engine
from dsrnss.inference.labelling import StripLabeller
from dsrnss.inference.onnx_engine import OnnxEngine
from dsrnss.inference.segmenter import Segmenter

DESCRIPTION = {
    "format": 1,
    "classes": ["red", "green", "blue"],
    "palette": [[220, 30, 30], [30, 220, 30], [30, 30, 220]],
    "card": {"image_height": 64, "image_width": 128},
}


def save(path: Path, description: object = DESCRIPTION) -> Path:
    sizes = ["batch", 3, "height", "width"]
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["image"], ["pixels"], to=TensorProto.FLOAT),
            helper.make_node("Mul", ["pixels", "scale"], ["logits"]),
        ],
        "channels",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, sizes)],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, sizes)],
        [helper.make_tensor("scale", TensorProto.FLOAT, [], [1 / 32])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    if description is not None:
        helper.set_model_props(model, {"dsrnss": json.dumps(description)})
    onnx.save(model, str(path))
    return path


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return save(tmp_path / "channels.onnx")


def test_a_photograph_is_segmented_as_its_card_says(file: Path, photo: Image.Image, truth: np.ndarray) -> None:
    segmenter = Segmenter.from_pretrained(file)
    result = segmenter(photo)
    assert (result.labels == truth).mean() > 0.97
    assert result.label_space.names == ("red", "green", "blue")
    assert segmenter.working_size((100, 100)) == (64, 64)
    assert result.confidence.max() <= 1 and result.confidence[5, 30] > result.confidence[20, 10]


def test_windows_and_flips_give_the_same_where_pixels_stand_alone(file: Path, photo: Image.Image) -> None:
    plain = Segmenter.from_onnx(file)(photo)
    for options in ({"window": (32, 40)}, {"flip": True}):
        other = Segmenter.from_onnx(file, **options)(photo)
        assert (other.labels == plain.labels).all()
        np.testing.assert_allclose(other.confidence, plain.confidence, atol=1e-5)


@pytest.mark.parametrize("size", [(30, 50), (7, 90), (64, 64), (3, 5), (200, 20)])
def test_labels_at_full_size_are_those_of_torch(size: tuple[int, int]) -> None:
    logits = torch.randn(5, 13, 21, generator=torch.Generator().manual_seed(1)) * 3
    ours = StripLabeller(13, size, labelling.label_rows, labelling.join_rows)
    torchs = StripLabeller(13, size, torch_engine.label_rows, torch_engine.join_rows)
    ours.add(logits.numpy())
    torchs.add(logits)
    assert (ours.labels == torchs.labels).mean() > 0.995
    np.testing.assert_allclose(ours.confidence, torchs.confidence, atol=1e-4)


def test_a_gpu_that_the_runtime_cannot_use_is_no_gpu(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where libraries of CUDA are missing, ONNX Runtime lists the GPU and computes on the CPU, as this one does."""
    there = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: there)
    assert OnnxEngine(file).device == "cpu"
    with pytest.raises(HardwareError, match="cannot use 'cuda:1': libraries of CUDA"):
        OnnxEngine(file, "cuda:1")


@pytest.mark.parametrize(("asked", "told"), [("auto", "cuda"), ("cuda", "cuda"), ("cuda:1", "cuda:1"), ("cpu", "cpu")])
def test_the_device_is_told(asked: str, told: str, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: there)
    monkeypatch.setattr("onnxruntime.InferenceSession.get_providers", lambda _: there)
    assert OnnxEngine(file, asked).device == told


def test_averages_of_certain_predictions_stay_finite(file: Path, segmenter: Segmenter) -> None:
    sure = np.zeros((3, 4, 4), np.float32)
    sure[0] = 1000
    for engine in (OnnxEngine(file), segmenter.engine):
        mixed = engine.mixed(engine.from_numpy(sure), engine.from_numpy(sure), 0.5)
        labeller = engine.labeller(4, (9, 9))
        labeller.add(mixed)
        assert (labeller.labels == 0).all() and (labeller.confidence == 1).all()


@pytest.mark.parametrize(
    ("description", "told"),
    [
        (None, "dsrnss export"),
        ({**DESCRIPTION, "format": 99}, "newer dsrnss"),
        ({**DESCRIPTION, "palette": [[1, 2, 3]]}, "one RGB a class"),
        ({**DESCRIPTION, "classes": None}, "wrong"),
    ],
)
def test_files_of_others_are_refused(tmp_path: Path, description: object, told: str) -> None:
    with pytest.raises(CheckpointError, match=told):
        OnnxEngine(save(tmp_path / "x.onnx", description))


def test_what_is_no_model_is_named(file: Path, tmp_path: Path) -> None:
    (tmp_path / "text.onnx").write_text("no model")
    for name in ("text.onnx", "gone.onnx"):
        with pytest.raises(CheckpointError, match=name):
            Segmenter.from_pretrained(tmp_path / name)
    with pytest.raises(HardwareError, match="onnxruntime-gpu"):
        OnnxEngine(file, "cuda:1")
    with pytest.raises(ConfigError, match="mps"):
        OnnxEngine(file, "mps")
    with pytest.raises(ConfigError, match="own precision"):
        OnnxEngine(file, precision="float16")
    with pytest.raises(ConfigError, match="takes no tensors"):
        Segmenter.from_onnx(file).logits(torch.zeros(1, 3, 32, 32))


def test_the_command_needs_no_torch(file: Path, photo: Image.Image, tmp_path: Path) -> None:
    """As in an environment where it is not installed: its import fails."""
    (tmp_path / "photos").mkdir()
    photo.save(tmp_path / "photos" / "a.png")
    encode(tmp_path / "photos" / "clip.mp4", range(0, 200, 40))
    code = (
        "import sys\n"
        "for name in ('torch', 'torchvision', 'lightning', 'torchmetrics'): sys.modules[name] = None\n"
        "from dsrnss.cli import main\n"
        f"sys.exit(main(['segment', {str(tmp_path / 'photos')!r}, '--model', {str(file)!r}, "
        f"'--out', {str(tmp_path / 'out')!r}, '--smooth', '0.2', '--flip']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert {"a_labels.png", "clip_labels.mkv"} <= {path.name for path in (tmp_path / "out").iterdir()}
