import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from dsrnss.errors import CheckpointError, ConfigError, HardwareError, ImageError
from dsrnss.inference import labelling, torch_engine
from dsrnss.inference import segmenter as module
from dsrnss.inference.labelling import StripLabeller
from dsrnss.inference.segmenter import Segmenter
from dsrnss.inference.torch_engine import find_device


def agreement(labels: np.ndarray, truth: np.ndarray) -> float:
    return float((labels == truth).mean())


def test_every_kind_of_input_gives_labels_at_its_own_size(
    segmenter: Segmenter, photo: Image.Image, truth: np.ndarray, tmp_path: Path
) -> None:
    photo.save(tmp_path / "photo.png")
    for image in (photo, np.asarray(photo), tmp_path / "photo.png", str(tmp_path / "photo.png"), photo.convert("RGBA")):
        result = segmenter(image)
        assert result.labels.shape == result.confidence.shape == (40, 60)
        assert (result.labels.dtype, result.confidence.dtype) == (np.uint8, np.float32)
        assert agreement(result.labels, truth) > 0.97
        assert result.image.size == (60, 40)


def test_grey_arrays_are_taken(segmenter: Segmenter) -> None:
    for shape in ((40, 60), (40, 60, 1)):
        assert segmenter(np.full(shape, 90, np.uint8)).labels.shape == (40, 60)


def test_a_rotated_photo_comes_back_upright(
    segmenter: Segmenter, photo: Image.Image, truth: np.ndarray, tmp_path: Path
) -> None:
    exif = Image.Exif()
    exif[0x112] = 6
    photo.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "turned.png", exif=exif)
    assert agreement(segmenter(tmp_path / "turned.png").labels, truth) > 0.97
    assert agreement(segmenter(Image.open(tmp_path / "turned.png")).labels, truth) > 0.97


def test_confidence_is_high_inside_and_lower_at_borders(segmenter: Segmenter, photo: Image.Image) -> None:
    confidence = segmenter(photo).confidence
    assert confidence.min() > 1 / 3 - 1e-6
    assert confidence.max() <= 1
    assert confidence[5, 30] > confidence[20, 10]
    assert confidence[19:21].mean() < confidence[:15].mean()


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((40, 60, 3), np.float32),
        np.zeros((3, 40, 60), np.uint8),
        np.zeros((40, 60, 2), np.uint8),
        np.zeros((0, 60, 3), np.uint8),
        np.zeros((2, 2, 3), np.uint8),
        torch.zeros(3, 40, 60),
        None,
    ],
)
def test_what_is_no_picture_is_refused(segmenter: Segmenter, image: object) -> None:
    with pytest.raises(ImageError, match=r"image"):
        segmenter(image)  # type: ignore[arg-type]


@pytest.mark.parametrize(("height", "width", "rows"), [(30, 50, 7), (7, 90, 1), (64, 64, 100), (3, 5, 2), (500, 20, 3)])
def test_strips_give_what_interpolating_everything_gives(
    monkeypatch: pytest.MonkeyPatch, height: int, width: int, rows: int
) -> None:
    logits = torch.randn(5, 13, 21, generator=torch.Generator().manual_seed(1)) * 3
    monkeypatch.setattr(labelling, "_STRIP_PIXELS", width * rows)
    labeller = StripLabeller(13, (height, width), torch_engine.label_rows, torch_engine.join_rows)
    labeller.add(logits)
    labels, confidence = labeller.labels, labeller.confidence
    full = F.interpolate(logits[None], size=(height, width), mode="bilinear", align_corners=False)[0]
    best, index = full.softmax(dim=0).max(dim=0)
    assert agreement(labels, index.numpy()) > 0.995  # two logits may be equal to the last digit
    np.testing.assert_allclose(confidence, best.numpy(), atol=1e-5)


@pytest.mark.parametrize(
    ("photo_size", "working"),
    [
        ((64, 128), (64, 128)),
        ((100, 100), (64, 64)),
        ((3000, 4000), (64, 85)),
        ((32, 50), (64, 100)),
        ((20, 20), (64, 64)),
    ],
)
def test_photos_are_segmented_at_the_height_of_training(
    segmenter: Segmenter, photo_size: tuple[int, int], working: tuple[int, int]
) -> None:
    assert segmenter.working_size(photo_size) == working


def test_the_working_size_is_bounded_for_any_shape_of_photo(segmenter: Segmenter) -> None:
    for size in ((16, 3_000_000), (3_000_000, 16), (7000, 7000), (100, 100_000)):
        height, width = segmenter.working_size(size)
        assert height >= 32
        assert width >= 32
        assert height * width <= 2**20 + 2**15  # sides are rounded


def test_card_and_argument_fix_the_working_height(segmenter: Segmenter) -> None:
    fixed = Segmenter(segmenter.segmentor, segmenter.label_space, {"image_height": 90}, device="cpu")
    assert fixed.working_size((900, 1000)) == (90, 100)
    asked = Segmenter(segmenter.segmentor, segmenter.label_space, {"image_height": 90}, device="cpu", height=300)
    assert asked.working_size((900, 1500)) == (300, 500)


def test_a_window_is_handed_to_the_network(segmenter: Segmenter, photo: Image.Image) -> None:
    sliding = Segmenter(segmenter.segmentor, segmenter.label_space, segmenter.card, device="cpu", window=(48, 48))
    sliding(photo)
    assert {size for size, _, _ in sliding.segmentor.calls} == {(48, 48)}


def test_logits_have_the_size_of_their_input(model: Path) -> None:
    segmenter = Segmenter.from_pretrained(model, device="cpu")
    images = torch.randn(2, 3, 45, 70)
    whole = segmenter.logits(images)
    sliding = segmenter.logits(images, mode="slide", window=(32, 32), stride=(20, 20))
    assert whole.shape == sliding.shape == (2, 19, 45, 70)
    assert whole.dtype == sliding.dtype == torch.float32
    for wrong in (images[0], images[:, :1], images.long(), images[:, :, :0], images[:0], [1.0]):
        with pytest.raises(ConfigError, match=r"\(B, 3, H, W\)"):
            segmenter.logits(wrong)
    with pytest.raises(ConfigError, match="window"):
        segmenter.logits(images, mode="slide")


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_any_floating_point_type_is_computed_in_float32(model: Path, dtype: torch.dtype) -> None:
    segmenter, images = Segmenter.from_pretrained(model, device="cpu"), torch.randn(1, 3, 32, 40).to(dtype)
    logits = segmenter.logits(images)
    assert logits.dtype == torch.float32
    assert torch.equal(logits, segmenter.logits(images.float()))


def test_a_saved_network_answers_the_same_each_time(model: Path, photo: Image.Image) -> None:
    first, second = (Segmenter.from_pretrained(model, device="cpu")(photo) for _ in range(2))
    assert (first.labels == second.labels).all()
    assert (first.confidence == second.confidence).all()


def test_missing_models_and_odd_settings_are_refused(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(CheckpointError, match=r"none\.ckpt"):
        Segmenter.from_pretrained(tmp_path / "none.ckpt")
    monkeypatch.setattr(module, "DEMO_MODEL", tmp_path / "gone.safetensors")
    with pytest.raises(CheckpointError, match="demo model"):
        Segmenter.from_pretrained()
    with pytest.raises(ConfigError, match="at least 32"):
        Segmenter.from_pretrained(model, height=8)
    with pytest.raises(ConfigError, match="32 x 32"):
        Segmenter.from_pretrained(model, window=(8, 100))
    with pytest.raises(ConfigError, match="height and a width"):
        Segmenter.from_pretrained(model, window=64)  # type: ignore[arg-type]


def test_devices_that_are_not_there_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert find_device("auto") == find_device("cpu") == torch.device("cpu")
    for name in ("cuda", "cuda:1", "mps"):
        with pytest.raises(HardwareError, match=name):
            find_device(name)
    with pytest.raises(ConfigError, match="Did you mean 'cuda'"):
        find_device("cude")
    with pytest.raises(ConfigError, match="meta"):
        find_device("meta")


def test_a_gpu_number_too_high_says_how_many_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert find_device("auto") == torch.device("cuda")
    assert find_device("cuda:1") == torch.device("cuda:1")
    with pytest.raises(HardwareError, match="2 CUDA GPUs"):
        find_device("cuda:2")


def test_too_little_memory_is_said_with_the_remedy(
    segmenter: Segmenter, photo: Image.Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run_out(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(segmenter.segmentor, "predict", run_out)
    with pytest.raises(ImageError, match=r"photo.*lower the height"):
        segmenter(photo, name="photo")


def test_segmenting_imports_no_lightning(model: Path, photo: Image.Image, tmp_path: Path) -> None:
    photo.save(tmp_path / "photo.png")
    code = (
        "import sys\n"
        "from dsrnss import Segmenter\n"
        f"Segmenter.from_pretrained({str(model)!r})({str(tmp_path / 'photo.png')!r}).save({str(tmp_path)!r})\n"
        "print([name for name in sys.modules if name.split('.')[0] in ('lightning', 'pytorch_lightning')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    assert (tmp_path / "photo_labels.png").is_file()
