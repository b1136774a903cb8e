"""UAWarpC gives what the authors' code gives, from any file that holds it, and says what is wrong with others."""

import copy
import pickle

import pytest
import torch
import torch.nn.functional as F
from golden import Golden, fill_, randn, smooth
from safetensors.torch import save_file
from torch import nn

from dsrnss.adaptation.alignment import Aligner, uawarpc_weights
from dsrnss.adaptation.alignment.uawarpc import UAWarpC, UAWarpCAligner
from dsrnss.adaptation.alignment.uawarpc_decoders import CHUNKS, UncertaintyDecoder
from dsrnss.adaptation.alignment.uawarpc_network import confidence, upsample
from dsrnss.adaptation.alignment.uawarpc_weights import HEAD, VGG, split
from dsrnss.adaptation.geometry import warp
from dsrnss.errors import CheckpointError, ConfigError, ImageError
from dsrnss.models.backbones.vgg import VGG16

SIZE = (192, 256)


@pytest.fixture(scope="module")
def states():
    network = UAWarpC()
    return fill_(network.head).state_dict(), fill_(network.vgg).state_dict()


class Averages(nn.Module):
    """Stands in for VGG-16, at no cost: means of blocks, turned about."""

    def __init__(self):
        super().__init__()
        self.mixing = nn.ParameterList(torch.randn(c, 3, 1, 1) for c in VGG16.channels).requires_grad_(False)

    def forward(self, images, pools):
        return [F.conv2d(F.avg_pool2d(images, 2**i), self.mixing[i - 1]).sin() for i in pools]


@pytest.fixture(scope="module")
def light_aligner():
    aligner = UAWarpCAligner("random", "random")
    aligner.network.vgg = Averages()
    return aligner


def under(prefix, state):
    return {prefix + key: value for key, value in state.items()}


def authors(states):
    """All parts of their checkpoint, in short."""
    head, vgg = states
    others = {"head.conv_seg.weight": torch.zeros(1), "backbone.x": torch.zeros(1), "m_head.bias": torch.zeros(1)}
    return {**others, **under("alignment_head.", head), **under("alignment_backbone.", vgg)}


def lightning(path, state):
    torch.save({"epoch": 1, "state_dict": state, "hyper_parameters": {"lr": 1e-4}}, path)
    return path


@pytest.mark.parametrize("name", ["06_align", "06_align_wide"])
def test_golden(name, states, tmp_path):
    golden = Golden(name)
    head, vgg = copy.deepcopy(states)
    assert {key: list(value.shape) for key, value in head.items()} == golden.keys()
    assert {key: list(value.shape) for key, value in vgg.items()} == dict(golden.meta["state_dict_vgg"])
    if name == "06_align_wide":
        head["decoder4.predict_mapping.weight"] *= 16
        head["decoder4.predict_mapping.bias"] = torch.tensor([-5.38, -2.86])
    aligner = UAWarpCAligner(lightning(tmp_path / "refign.ckpt", authors((head, vgg))))
    reference, target = (smooth(seed, 1, *SIZE, 13, 17) for seed in (106, 107))

    levels = []
    aligner.network.head.register_forward_hook(lambda _module, _inputs, output: levels.extend(output))
    flow, certain = aligner(target, reference)
    for number, level in zip((4, 3, 2, 1), levels, strict=True):
        assert golden.relative_error(f"level{number}_flow", level.flow) < 1e-5
        assert golden.relative_error(f"level{number}_logvar", level.log_variance) < 1e-5
    assert golden.relative_error("flow", flow) < 1e-5
    assert golden.relative_error("logvar", upsample(levels[-1], SIZE).log_variance) < 1e-5
    assert golden.relative_error("cert", certain) < 1e-4

    warped, inside = warp(4 * randn(108, 1, 19, *SIZE), flow)
    # logits that are noise turn a thousandth of a pixel into more than 1e-4: theirs differ as much between kernels
    noise = golden.meta["noise_other_conv_kernels"]["warped_logits"]
    assert golden.relative_error("warped_logits", warped) < noise / golden.meta["outputs"]["warped_logits"]["absmax"]
    assert torch.equal(inside, golden.tensor("mask").bool())


@pytest.mark.parametrize(
    ("head_prefix", "vgg_prefix"),
    [
        ("alignment_head.", "alignment_backbone."),
        ("head.", "backbone."),
        ("", "features_of."),
        ("head.", ""),
        ("", ""),
        ("model.", "model."),
    ],
)
def test_one_file_holds_both_under_any_names(head_prefix, vgg_prefix):
    head, vgg = {"decoder4.conv_0.conv.weight": 1, "reduce.bias": 2}, {"features.0.weight": 3, "features.28.bias": 4}
    state = {**under(head_prefix, head), **under(vgg_prefix, vgg)}
    assert split(state) == {HEAD: head, VGG: vgg}
    state["strange.bias"] = 5
    taken = split(state)
    # what bears no prefix cannot be told from a part without one, so that it is named as unexpected
    assert ("strange.bias" in taken[HEAD]) == (head_prefix == "")
    assert ("strange.bias" in taken[VGG]) == (vgg_prefix == "" != head_prefix)


def test_head_and_vgg_in_two_files(states, tmp_path):
    head, vgg = lightning(tmp_path / "head.ckpt", under("head.", states[0])), tmp_path / "vgg16.safetensors"
    save_file({**states[1], "classifier.0.weight": torch.zeros(2)}, vgg)
    network = UAWarpCAligner(head, vgg).network
    for part, state in zip((network.head, network.vgg), states, strict=True):
        assert all(torch.equal(value, state[key]) for key, value in part.state_dict().items())


def without(state, key):
    return {name: value for name, value in state.items() if name != key}


SPOILT = {
    "missing": lambda head, vgg: (without(head, "reduce.bias"), vgg, "1 missing: reduce.bias"),
    "unexpected": lambda head, vgg: ({**head, "decoder9.x": torch.ones(1)}, vgg, "1 unexpected: decoder9.x"),
    "shape": lambda head, vgg: ({**head, "reduce.bias": torch.ones(3)}, vgg, r"reduce.bias \(3,\) for \(2,\)"),
    "nan": lambda head, vgg: (
        {**head, "reduce.bias": torch.tensor([1, torch.nan])},
        vgg,
        "1 with NaN or infinite values: reduce.bias",
    ),
    "vgg": lambda head, vgg: (head, without(vgg, "features.28.bias"), "VGG-16.*1 missing: features.28.bias"),
    "no head": lambda head, vgg: (
        {},
        vgg,
        "holds no UAWarpC: no tensor's name in it ends in 'decoder4.conv_0.conv.weight'",
    ),
}


@pytest.mark.parametrize("how", SPOILT)
def test_a_file_that_does_not_fit_is_refused_with_a_list(how, states, tmp_path):
    head, vgg, message = SPOILT[how](*states)
    aligner = UAWarpCAligner(lightning(tmp_path / "bad.ckpt", authors((head, vgg))))
    with pytest.raises(CheckpointError, match=message):
        aligner(torch.zeros(1, 3, 32, 32), torch.zeros(1, 3, 32, 32))


class Malicious:
    def __reduce__(self):
        return (print, ("executed",))


def test_files_that_are_no_weights_are_refused(tmp_path, capsys):
    contents = {
        "text.ckpt": b"hello",
        "empty.pth": b"",
        "code.pth": pickle.dumps(Malicious(), 2),
        "x.safetensors": b"{",
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(CheckpointError, match=name):
            UAWarpCAligner(tmp_path / name).load()
    assert not capsys.readouterr().out
    with pytest.raises(CheckpointError, match=r"gone\.ckpt"):
        UAWarpCAligner(tmp_path / "gone.ckpt").load()
    with pytest.raises(CheckpointError, match="folder"):
        UAWarpCAligner(tmp_path).load()


def test_making_one_reads_nothing_and_a_name_that_cannot_be_had_says_how_to_fetch(monkeypatch):
    def resolve(name):
        raise CheckpointError(f"Cannot download '{name}'.")

    monkeypatch.setattr(uawarpc_weights, "resolve", resolve)
    aligner = UAWarpCAligner()
    with pytest.raises(CheckpointError, match="dsrnss weights fetch uawarpc_megadepth"):
        aligner.load()


def test_names_are_looked_up_in_the_registry(states, tmp_path, monkeypatch):
    lightning(tmp_path / "uawarpc_megadepth", under("head.", states[0]))
    lightning(tmp_path / "vgg16", states[1])
    monkeypatch.setattr(uawarpc_weights, "resolve", tmp_path.joinpath)
    assert torch.equal(UAWarpCAligner().network.head.reduce.weight, states[0]["reduce.weight"])


def test_wrong_arguments():
    with pytest.raises(ConfigError, match="radius"):
        UAWarpCAligner(radius=0)


def test_random_is_always_the_same_and_leaves_the_random_state():
    before = torch.get_rng_state()
    one, other = (UAWarpCAligner("random", "random").network.parameters() for _ in range(2))
    assert torch.equal(before, torch.get_rng_state())
    assert all(torch.equal(mine, theirs) for mine, theirs in zip(one, other, strict=True))


@pytest.mark.parametrize("size", [(8, 8), (33, 70), (90, 41)])
def test_any_size(size, light_aligner):
    assert isinstance(light_aligner, Aligner)
    target, reference = torch.rand(2, 2, 3, *size)
    flow, certain = light_aligner(target, reference)
    assert flow.shape == (2, 2, *size)
    assert certain.shape == (2, 1, *size)
    assert flow.isfinite().all()
    assert ((certain >= 0) & (certain <= 1)).all()
    assert not flow.requires_grad
    # a pair is matched as it is alone
    alone = light_aligner(target[1:], reference[1:])
    torch.testing.assert_close(flow[1:], alone.flow, rtol=1e-4, atol=1e-3)


def test_in_32_bits_under_autocast(light_aligner):
    images = torch.rand(2, 1, 3, 32, 40)
    plain = light_aligner(images[0], images[1])
    with torch.autocast("cpu", torch.bfloat16):
        mixed = light_aligner(images[0], images[1])
        half = light_aligner(images[0].bfloat16(), images[1].bfloat16())
    assert torch.equal(mixed.flow, plain.flow)
    assert half.flow.dtype == torch.float32


def test_loaded_in_inference_mode_it_serves_later():
    aligner = UAWarpCAligner("random", "random")
    with torch.inference_mode():
        aligner.load()
    assert not any(tensor.is_inference() for tensor in aligner.network.state_dict().values())


def test_pictures_that_cannot_be_matched(light_aligner):
    with pytest.raises(ImageError, match="differ in shape"):
        light_aligner(torch.zeros(1, 3, 16, 16), torch.zeros(1, 3, 16, 24))
    with pytest.raises(ImageError, match="8x8"):
        light_aligner(torch.zeros(1, 3, 7, 16), torch.zeros(1, 3, 7, 16))
    for shape in ((3, 16, 16), (1, 1, 16, 16)):
        with pytest.raises(ImageError, match=r"\(B, 3, H, W\)"):
            light_aligner(torch.zeros(shape), torch.zeros(shape))


def test_confidence_is_the_probability_of_being_within_the_radius():
    log_variance = torch.full((1, 1, 1, 1), 2.0).log()  # a standard deviation of sqrt(2) on each axis
    errors = torch.randn(100_000, 2, generator=torch.Generator().manual_seed(0)) * 2**0.5
    within = (errors.norm(dim=1) < 3).float().mean()
    assert abs(confidence(log_variance, 3).item() - within) < 0.01
    assert confidence(torch.tensor(-200.0)) == 1
    assert confidence(torch.tensor(200.0)) == 0


@pytest.mark.parametrize("size", [9, 16])
def test_reading_pixels_in_chunks_changes_nothing(size):
    decoder = UncertaintyDecoder(size, 32).eval()
    height, width = 5, CHUNKS["cpu"] // 4 + 1
    correlation = torch.rand(2, size**2, height, width)
    patches = correlation.permute(0, 2, 3, 1).reshape(-1, 1, size, size)
    with torch.no_grad():
        expected = decoder.read_patches(patches).view(2, height, width, 6).permute(0, 3, 1, 2)
        torch.testing.assert_close(decoder.read(correlation), expected)


def test_a_forked_process_leaves_alone_what_its_parent_has_on_a_gpu(monkeypatch):
    """Without a GPU `meta` is the other device: there, too, nothing can be fetched from."""
    night, day = torch.randn(2, 1, 3, 32, 32)
    aligner = UAWarpCAligner("random", "random")
    expected = aligner(night, day)
    aligner.network.to("meta")
    monkeypatch.setattr("multiprocessing.parent_process", lambda: object())
    found = aligner(night, day)
    assert torch.equal(found.flow, expected.flow) and torch.equal(found.confidence, expected.confidence)
