"""Encoders of timm: their features, gradients and layers are timm's own, at any size of picture."""

import sys

import pytest
import timm
import torch
from torch import Tensor

from dsrnss.errors import ConfigError
from dsrnss.models.backbones.timm_encoder import FeaturePyramid, TimmEncoder
from dsrnss.models.config import NetworkConfig
from dsrnss.models.factory import build_segmentor
from dsrnss.normalisation import denormalise, normalise

HIERARCHICAL = ("tf_efficientnet_lite0", "test_convnext", "pvt_v2_b0")
SWIN = "swin_tiny_patch4_window7_224"
PLAIN = ("test_vit", "vit_small_patch14_reg4_dinov2")


def relative(found: Tensor, expected: Tensor) -> float:
    found, expected = found.detach(), expected.detach()
    return float((found - expected).abs().max() / expected.abs().max())


def as_timm(images: Tensor, encoder: TimmEncoder) -> Tensor:
    """The same pictures in the model's own normalisation, the usual way round by pixels."""
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (encoder.mean, encoder.std))
    return (denormalise(images) - mean) / std


@pytest.mark.parametrize("name", [*HIERARCHICAL, SWIN])
def test_features_and_gradients_are_timms(name: str) -> None:
    torch.manual_seed(0)
    encoder = TimmEncoder(name).double().eval()
    options = {"strict_img_size": False} if name == SWIN else {}
    theirs = timm.create_model(name, features_only=True, **options).double().eval()
    whole = timm.create_model(name, num_classes=0, **options)
    theirs.load_state_dict({key: encoder.model.state_dict()[_plain_name(key, whole)] for key in theirs.state_dict()})
    images = torch.randn(1, 3, 64, 96, dtype=torch.float64)
    ours, expected = encoder(images), theirs(as_timm(images, encoder))[-4:]
    expected = [feature.permute(0, 3, 1, 2) if name == SWIN else feature for feature in expected]
    assert encoder.channels == tuple(feature.shape[1] for feature in expected)
    for feature, other in zip(ours, expected, strict=True):
        assert relative(feature, other) < 1e-6
    _same_gradients(encoder, ours, theirs, expected, whole)


def _plain_name(key: str, whole: torch.nn.Module) -> str:
    """timm flattens the names of modules where it returns features."""
    names = whole.state_dict()
    return key if key in names else key.replace("_", ".", 1)


def _same_gradients(
    encoder: TimmEncoder,
    ours: list[Tensor],
    theirs: torch.nn.Module,
    expected: list[Tensor],
    whole: torch.nn.Module,
) -> None:
    sum(feature.square().mean() for feature in ours).backward()
    sum(feature.square().mean() for feature in expected).backward()
    gradients = {key: parameter.grad for key, parameter in encoder.model.named_parameters()}
    others = {_plain_name(key, whole): parameter.grad for key, parameter in theirs.named_parameters()}
    used = {key for key, gradient in others.items() if gradient is not None}
    assert used == set(gradients)
    largest = max(float(gradient.abs().max()) for gradient in others.values() if gradient is not None)
    for key in used:
        assert float((gradients[key] - others[key]).abs().max()) < 1e-6 * max(largest, 1)


@pytest.mark.parametrize("name", PLAIN)
def test_tokens_and_gradients_of_plain_transformers_are_timms(name: str) -> None:
    torch.manual_seed(0)
    encoder = TimmEncoder(name).double().eval()
    theirs = timm.create_model(name, num_classes=0, dynamic_img_size=True).double().eval()
    theirs.load_state_dict(encoder.model.state_dict(), strict=False)
    side = 4 * encoder.stride
    images = torch.randn(1, 3, side, 2 * side, dtype=torch.float64)
    expected = theirs.forward_intermediates(
        as_timm(images, encoder), indices=encoder.indices, norm=True, intermediates_only=True
    )
    tokens: list[Tensor] = []
    encoder.pyramid.register_forward_pre_hook(lambda _, given: tokens.extend(given[0]))
    encoder(images)
    for found, other in zip(tokens, expected, strict=True):
        assert relative(found, other) < 1e-6
    sum(token.square().mean() for token in tokens).backward()
    sum(token.square().mean() for token in expected).backward()
    for key, parameter in encoder.model.named_parameters():
        other = theirs.get_parameter(key).grad
        assert float((parameter.grad - other).abs().max()) <= 1e-6 * max(float(other.abs().max()), 1)


@pytest.mark.parametrize("name", [*PLAIN, "test_convnext", "vit_small_patch16_dinov3", "vit_base_patch16_siglip_224"])
@pytest.mark.parametrize("size", [(33, 65), (64, 128), (127, 14), (1, 5)])
def test_maps_have_the_strides_of_the_field_at_any_size(name: str, size: tuple[int, int]) -> None:
    with torch.device("meta"):
        encoder = TimmEncoder(name)
        maps = encoder(torch.empty(2, 3, *size))
    assert [feature.shape[-2:] for feature in maps] == [
        (-(-size[0] // stride), -(-size[1] // stride)) for stride in (4, 8, 16, 32)
    ]


@pytest.mark.parametrize("patch", [8, 14, 16, 32])
def test_the_pyramid_stays_where_the_picture_is(patch: int) -> None:
    """A ramp over the columns of the tokens is the same ramp in pixels on each map."""
    tokens = 12
    pyramid = FeaturePyramid(4, patch)
    pixels = (torch.arange(tokens) + 0.5) * patch
    ramp = pixels.expand(1, 4, tokens, tokens)
    for number, stride in ((2, 16), (3, 32)):
        row = pyramid([ramp] * 4)[number][0, 0, 0]
        expected = (torch.arange(len(row)) + 0.5) * stride
        inner = slice(1, tokens * patch // stride - 2)
        # the coarsest map takes the larger of two columns
        shift = patch / 2 if stride == 32 else 0
        torch.testing.assert_close(row[inner], expected[inner] + shift)


def test_a_picture_in_other_statistics_is_the_same_picture() -> None:
    encoder = TimmEncoder("test_vit")
    assert encoder.mean == encoder.std == (0.5, 0.5, 0.5)
    pixels = torch.rand(1, 3, 8, 8)
    torch.testing.assert_close(normalise(pixels) * encoder.scale + encoder.shift, (pixels - 0.5) / 0.5)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("timm/vit_smal_patch16_224", "no model 'vit_smal_patch16_224'. Did you mean 'vit_small_patch16_224'"),
        (
            "timm/vit_small_patch14_dinov2.nonsense",
            "no weights 'nonsense' of 'vit_small_patch14_dinov2': vit_small_patch14_dinov2.lvd142m",
        ),
        ("timm/hf-hub:somebody/model", "no model 'hf-hub:somebody/model'"),
        ("timm/local-dir:folder", "no model"),
        ("timm/../x", "no model"),
        ("timm/", "no model ''"),
        ("timm/beit_base_patch16_224", "takes pictures of 224x224 only"),
        ("timm/test_maxvit", "takes pictures of 160x160 only"),
    ],
)
def test_what_is_no_encoder_is_refused(name: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message.replace("(", "\\(")):
        build_segmentor(NetworkConfig(name))


def test_without_timm_one_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(ConfigError, match=r"pip install 'dsrnss\[timm\]'"):
        build_segmentor(NetworkConfig("timm/test_vit"))


def test_layers_are_counted_from_the_input() -> None:
    layers = TimmEncoder("test_vit").layer_ids()
    assert layers["model.patch_embed.proj.weight"] == layers["model.pos_embed"] == 0
    assert layers["model.blocks.0.attn.qkv.weight"] == 1
    assert layers["model.norm.weight"] == layers["model.blocks.5.mlp.fc2.bias"] == max(layers.values()) == 6
    assert set(TimmEncoder("test_efficientnet").layer_ids().values()) == set(range(6))
    with pytest.raises(ConfigError, match=r"layer_decay must be 1"):
        TimmEncoder("caformer_s18").layer_ids()
