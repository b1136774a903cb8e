"""Every published layout of checkpoint gives the same network as our own names."""

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from golden import HERE, fill_
from torch import Tensor, nn

from dsrnss.errors import CheckpointError, ConfigError
from dsrnss.models.backbones.mit import MixTransformer
from dsrnss.models.backbones.resnet import ResNet
from dsrnss.models.backbones.vgg import VGG16
from dsrnss.models.segmentor import NetworkConfig, Segmentor, build_segmentor
from dsrnss.models.weights.architecture import infer
from dsrnss.models.weights.files import find
from dsrnss.models.weights.formats import recognise
from dsrnss.models.weights.pretrained import account_of, load_backbone, load_pretrained

State = dict[str, Tensor]


@pytest.fixture
def segformer() -> Segmentor:
    torch.manual_seed(0)
    return build_segmentor(NetworkConfig("mit_b0", "segformer", 32)).eval()


def renamed(state: Mapping[str, Tensor], rules: Mapping[str, str]) -> State:
    """A state dict whose keys went through all rules."""
    result = {}
    for key, value in state.items():
        for pattern, replacement in rules.items():
            key = re.sub(pattern, replacement, key)
        result[key] = value
    return result


def to_mmseg(state: Mapping[str, Tensor]) -> State:
    """MiT in mmsegmentation's names: q and kv fused, linear layers of the FFN as 1x1 convolutions."""
    result = {}
    for key, value in state.items():
        if ".attn.kv." in key:
            continue
        if ".attn.q." in key:
            value = torch.cat((value, state[key.replace(".attn.q.", ".attn.kv.")]))
        if re.search(r"fc[12]\.weight", key):
            value = value[..., None, None]
        result[key] = value
    rules = {
        r"attn\.q\.(weight|bias)": r"attn.attn.in_proj_\1",
        r"attn\.proj": "attn.attn.out_proj",
        r"mlp\.fc1": "ffn.layers.0",
        r"mlp\.dwconv\.dwconv": "ffn.layers.1",
        r"mlp\.fc2": "ffn.layers.4",
        r"patch_embed(\d)\.proj": r"layers.\1.0.projection",
        r"patch_embed(\d)\.norm": r"layers.\1.0.norm",
        r"block(\d)\.": r"layers.\1.1.",
        r"^norm(\d)\.": r"layers.\1.2.",
    }
    return {
        re.sub(r"layers\.(\d)", lambda m: f"layers.{int(m[1]) - 1}", key, count=1): value
        for key, value in renamed(result, rules).items()
    }


@pytest.mark.parametrize(
    ("name", "tensors", "hrda"), [("05_keys_hrda_mit_b5", 1126, True), ("05_keys_daformer_mit_b5", 1110, False)]
)
@pytest.mark.parametrize("which", ["student", "teacher"])
def test_every_key_of_the_full_checkpoints_is_accounted_for(name: str, tensors: int, hrda: bool, which: Any) -> None:
    keys = _keys(name)
    state = {key: torch.empty(shape, device="meta") for key, shape in keys.items()}
    contents = recognise(state, which)
    config = infer(contents, name)
    assert (config.backbone, config.head, config.num_classes, config.hrda) == ("mit_b5", "daformer", 19, hrda)
    with torch.device("meta"):
        account = account_of(build_segmentor(config), contents.state, name, contents.left_out)
    assert account.complete
    assert f"{tensors}/{tensors} tensors loaded" in str(account)
    assert account.loaded + sum(contents.left_out.values()) == len(keys)


def test_refinenet_as_one_module_is_split() -> None:
    keys = _keys("04_refinenet")
    contents = recognise({key: torch.empty(shape, device="meta") for key, shape in keys.items()})
    config = infer(contents, "RefineNet")
    assert config == NetworkConfig("resnet101", "refinenet", 256)
    with torch.device("meta"):
        account = account_of(build_segmentor(config), contents.state, "RefineNet", {})
    assert (account.loaded, account.complete) == (len(keys), True)


def _keys(name: str) -> dict[str, list[int]]:
    return dict(json.loads((HERE / f"{name}.json").read_text())["state_dict"])


def test_student_only_and_teacher_only_files(tmp_path: Path) -> None:
    network = build_segmentor(NetworkConfig("mit_b0", "daformer", 16))
    torch.save(network.state_dict(), tmp_path / "bare.pth")
    torch.save({"state_dict": {f"m_{k}": v for k, v in network.state_dict().items()}}, tmp_path / "teacher.ckpt")
    assert load_pretrained(tmp_path / "bare.pth").segmentor.config == network.config
    with pytest.raises(CheckpointError, match="only a student"):
        load_pretrained(tmp_path / "bare.pth", "teacher")
    with pytest.raises(CheckpointError, match="only a teacher"):
        load_pretrained(tmp_path / "teacher.ckpt")
    assert load_pretrained(tmp_path / "teacher.ckpt", "teacher").account.complete


@pytest.mark.parametrize(
    ("config", "prefix"),
    [
        (NetworkConfig("resnet18_v1c", "deeplabv2", num_classes=7), ""),
        (NetworkConfig("resnet101", "refinenet", 8), "backbone."),
        (NetworkConfig("mit_b0", "daformer", 24, hrda=True), "module."),
        (NetworkConfig("mit_b1", "segformer", 24, num_classes=3), ""),
    ],
)
def test_architecture_is_inferred(config: NetworkConfig, prefix: str, tmp_path: Path) -> None:
    network = build_segmentor(config)
    state = network.state_dict()
    if config.head == "refinenet":
        state = {f"backbone.{key.partition('.')[2]}": value for key, value in state.items()}
    elif prefix:
        state = {prefix + key: value for key, value in state.items()}
    torch.save({"state_dict": state}, tmp_path / "x.ckpt")
    read = load_pretrained(tmp_path / "x.ckpt")
    # a file of DeepLabV2 does not tell channels that its head has not
    assert (read.segmentor.config, read.label_space.num_classes) == (
        config if config.head != "deeplabv2" else NetworkConfig("resnet18_v1c", "deeplabv2", num_classes=7),
        config.num_classes,
    )
    for key, value in read.segmentor.state_dict().items():
        assert torch.equal(value, network.state_dict()[key])


def test_nvidia_segformer(segformer: Segmentor, tmp_path: Path) -> None:
    state = renamed(segformer.state_dict(), {r"^head\.": "decode_head."})
    state |= {"decode_head.conv_seg.weight": torch.zeros(19, 32, 1, 1), "decode_head.conv_seg.bias": torch.zeros(19)}
    torch.save({"state_dict": state, "meta": {"iter": 160000}}, tmp_path / "city.pth")
    read = load_pretrained(tmp_path / "city.pth")
    assert sum(read.account.left_out.values()) == 2
    images = torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        assert torch.equal(read.segmentor.predict(images), segformer.predict(images))


def test_hugging_face_segformer_computes_the_same(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(1)
    theirs = transformers.SegformerForSemanticSegmentation(
        transformers.SegformerConfig(num_labels=19, decoder_hidden_size=64)
    ).eval()
    with torch.no_grad():
        for parameter in theirs.parameters():  # its own start is so small that a wrong layer hardly shows
            parameter.add_(torch.randn_like(parameter) * 0.05)
        for name, buffer in theirs.named_buffers():
            if "running" in name:
                buffer.uniform_(0.5, 1.5)
    theirs.save_pretrained(tmp_path / "hub")
    torch.save(theirs.state_dict(), tmp_path / "in_memory.pth")
    images = torch.randn(2, 3, 96, 128)
    with torch.no_grad():
        output = theirs(images, output_hidden_states=True)
    for path in (tmp_path / "hub", tmp_path / "hub" / "model.safetensors", tmp_path / "in_memory.pth"):
        ours = load_pretrained(path).segmentor
        with torch.no_grad():
            logits, features, _ = ours(images)
        for mine, other in zip([logits, *features], [output.logits, *output.hidden_states], strict=True):
            assert (mine - other).abs().max() < 1e-4 * other.abs().max()


def test_hugging_face_class_names(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    names = {0: "wall", 1: "sky", 2: "tree"}
    config = transformers.SegformerConfig(id2label=names, label2id={v: k for k, v in names.items()})
    transformers.SegformerForSemanticSegmentation(config).save_pretrained(tmp_path)
    assert load_pretrained(tmp_path).label_space.names == ("wall", "sky", "tree")


def nvidia_mit(state: State) -> State:
    return {**state, "head.weight": torch.zeros(1000, 256), "head.bias": torch.zeros(1000)}


def hugging_face_mit(state: State) -> State:
    rules = {
        r"patch_embed(\d)\.proj": r"segformer.encoder.patch_embeddings.\1.proj",
        r"patch_embed(\d)\.norm": r"segformer.encoder.patch_embeddings.\1.layer_norm",
        r"attn\.q\.": "attention.self.query.",
        r"attn\.sr\.": "attention.self.sr.",
        r"attn\.norm\.": "attention.self.layer_norm.",
        r"attn\.proj\.": "attention.output.dense.",
        r"mlp\.fc": "mlp.dense",
        r"block(\d)\.(\d+)\.norm(\d)": r"block\1.\2.layer_norm_\3",
        r"block(\d)\.": r"segformer.encoder.block.\1.",
        r"^norm(\d)": r"segformer.encoder.layer_norm.\1",
    }
    result: State = {}
    for key, value in renamed(state, rules).items():
        key = re.sub(
            r"(patch_embeddings|block|encoder\.layer_norm)\.(\d)", lambda m: f"{m[1]}.{int(m[2]) - 1}", key, count=1
        )
        if ".attn.kv." in key:
            stem, _, kind = key.partition(".attn.kv.")
            for name, half in zip(("key", "value"), value.chunk(2), strict=True):
                result[f"{stem}.attention.self.{name}.{kind}"] = half
        else:
            result[key] = value
    return {**result, "classifier.weight": torch.zeros(10, 256), "classifier.bias": torch.zeros(10)}


@pytest.mark.parametrize(
    "layout",
    [
        lambda state: state,
        nvidia_mit,
        to_mmseg,
        lambda state: {f"backbone.{key}": value for key, value in to_mmseg(state).items()},
        hugging_face_mit,
    ],
    ids=["bare", "nvidia", "mmseg", "mmseg_prefixed", "hugging_face"],
)
def test_backbone_of_every_mit_layout(layout: Callable[[State], State], tmp_path: Path) -> None:
    source, mine = fill_(MixTransformer("mit_b0")), MixTransformer("mit_b0")
    torch.save({"state_dict": layout(source.state_dict())}, tmp_path / "mit.pth")
    account = load_backbone(mine, tmp_path / "mit.pth")
    assert (account.loaded, account.total, account.complete) == (176, 176, True)
    for key, value in mine.state_dict().items():
        assert torch.equal(value, source.state_dict()[key]), key


def test_mmsegmentation_network_gives_its_backbone_and_says_why_not_its_head(tmp_path: Path) -> None:
    source = fill_(MixTransformer("mit_b0"))
    state = {f"backbone.{key}": value for key, value in to_mmseg(source.state_dict()).items()}
    state |= {"decode_head.convs.0.conv.weight": torch.zeros(8, 32, 1, 1), "decode_head.conv_seg.bias": torch.zeros(19)}
    torch.save({"state_dict": state}, tmp_path / "mmseg.pth")
    account = load_backbone(MixTransformer("mit_b0"), tmp_path / "mmseg.pth")
    assert account.complete
    assert "mmsegmentation" in str(account)
    with pytest.raises(CheckpointError, match=r"mmsegmentation's own SegFormer head"):
        load_pretrained(tmp_path / "mmseg.pth")


@pytest.mark.parametrize(
    ("make", "extra"),
    [
        (lambda: ResNet("resnet18"), "fc"),
        (lambda: ResNet("resnet18_v1c"), "head.fc"),
        (VGG16, "classifier.0"),
    ],
    ids=["torchvision", "openmmlab", "vgg"],
)
def test_convolutional_backbones(make: Callable[[], nn.Module], extra: str, tmp_path: Path) -> None:
    source, mine = fill_(make()), make()
    state = {**source.state_dict(), f"{extra}.weight": torch.zeros(10, 4), f"{extra}.bias": torch.zeros(10)}
    # torchvision's older files have no batch counters
    state = {key: value for key, value in state.items() if not key.endswith("num_batches_tracked")}
    torch.save(state, tmp_path / "x.pth")
    account = load_backbone(mine, tmp_path / "x.pth")
    assert account.complete
    assert sum(account.left_out.values()) == 2
    for key, value in mine.state_dict().items():
        assert torch.equal(value, source.state_dict()[key])


def test_torchvisions_own_models_fit(tmp_path: Path) -> None:
    torchvision = pytest.importorskip("torchvision")
    torch.save(torchvision.models.resnet18().state_dict(), tmp_path / "resnet.pth")
    assert load_backbone(ResNet("resnet18"), tmp_path / "resnet.pth").complete


def test_backbone_of_a_whole_network(segformer: Segmentor, tmp_path: Path) -> None:
    torch.save(segformer.state_dict(), tmp_path / "whole.pth")
    backbone = MixTransformer("mit_b0")
    account = load_backbone(backbone, tmp_path / "whole.pth")
    assert account.left_out["head"] > 0
    assert torch.equal(backbone.norm4.weight, segformer.backbone.norm4.weight)


def authors_whole(backbone: State, teachers: State, vgg: State) -> State:
    """A checkpoint of the authors in little: a head of one tensor."""
    return {
        **{f"backbone.{key}": value for key, value in backbone.items()},
        **{f"m_backbone.{key}": value for key, value in teachers.items()},
        **{f"alignment_backbone.{key}": value for key, value in vgg.items()},
        "head.conv_seg.weight": torch.zeros(19, 8, 1, 1),
    }


def test_backbones_of_student_and_teacher_and_the_aligners(tmp_path: Path) -> None:
    student, vgg = fill_(MixTransformer("mit_b0")).state_dict(), VGG16().state_dict()
    teacher = {key: value + 1 for key, value in student.items()}
    torch.save({"state_dict": authors_whole(student, teacher, vgg)}, tmp_path / "whole.ckpt")
    mine = MixTransformer("mit_b0")
    for which, expected in (("student", student), ("teacher", teacher)):
        assert load_backbone(mine, tmp_path / "whole.ckpt", which=which).complete  # type: ignore[arg-type]
        assert torch.equal(mine.norm4.weight, expected["norm4.weight"])
    network = VGG16()
    account = load_backbone(network, tmp_path / "whole.ckpt")
    assert (account.complete, dict(account.left_out)) == (True, {"m_backbone": 176, "network": 177})
    assert torch.equal(network.features[28].weight, vgg["features.28.weight"])


@pytest.mark.parametrize("head", [{}, {"alignment_head.decoder4.conv_0.conv.weight": torch.zeros(1)}])
def test_a_file_of_the_aligner_alone_fills_its_vgg(head: State, tmp_path: Path) -> None:
    source, mine = VGG16(), VGG16()
    state = {f"alignment_backbone.{key}": value for key, value in source.state_dict().items()}
    torch.save({"state_dict": state | head}, tmp_path / "aligner.ckpt")
    account = load_backbone(mine, tmp_path / "aligner.ckpt")
    assert (account.complete, sum(account.left_out.values())) == (True, len(head))
    assert torch.equal(mine.features[0].weight, source.features[0].weight)


def test_a_file_of_the_frozen_backbone_alone(tmp_path: Path) -> None:
    source, mine = MixTransformer("mit_b0"), MixTransformer("mit_b0")
    torch.save({f"imnet_backbone.{key}": value for key, value in source.state_dict().items()}, tmp_path / "imnet.pth")
    assert load_backbone(mine, tmp_path / "imnet.pth").complete
    assert torch.equal(mine.norm4.weight, source.norm4.weight)
    with pytest.raises(CheckpointError, match="no head"):
        load_pretrained(tmp_path / "imnet.pth")


def test_which_is_student_or_teacher(tmp_path: Path) -> None:
    torch.save({"state_dict": {"a": torch.zeros(1)}}, tmp_path / "x.ckpt")
    for load in (load_pretrained, find, lambda path, which: load_backbone(nn.Identity(), path, which=which)):
        with pytest.raises(ConfigError, match="Did you mean 'teacher'"):
            load(tmp_path / "x.ckpt", "Teacher")


def test_aligner_is_recognised_and_refused_as_a_network(tmp_path: Path) -> None:
    torch.save({"state_dict": {"alignment_head.decoder4.conv_0.conv.weight": torch.zeros(1)}}, tmp_path / "u.ckpt")
    with pytest.raises(CheckpointError, match="UAWarpC"):
        load_pretrained(tmp_path / "u.ckpt")
