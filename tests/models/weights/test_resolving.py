"""Where the file of a registered name is looked for: the cache, the paper's folder, and only then the network."""

from pathlib import Path

import pytest

from dsrnss.errors import CheckpointError
from dsrnss.models.weights import download, resolve
from dsrnss.models.weights.registry import REGISTRY
from dsrnss.models.weights.resolving import find_here
from dsrnss.paths import cache_folder


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """./pretrained_models, an empty cache, and no network."""
    monkeypatch.setenv("DSRNSS_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(download, "download", lambda *_: pytest.fail("downloads"))
    Path("pretrained_models").mkdir()
    return Path("pretrained_models")


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("uawarpc_megadepth", "uawarpc_megadepth.ckpt"),
        ("mit_b5", "mit_b5.pth"),
        ("mit_b3", "mit_b3.pth"),
        ("segformer_b5_cityscapes", "segformer.b5.1024x1024.city.160k.pth"),
        ("refign_daformer_acdc", "refign_daformer_acdc.ckpt"),
        ("dsrnss_hrda_darkzurich", "dsrnss_hrda_darkzurich.ckpt"),
    ],
)
def test_the_papers_folder(folder: Path, name: str, file: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "dsrnss")
    assert find_here(REGISTRY[name]) is None
    (folder / file).write_bytes(b"x")
    assert resolve(name) == find_here(REGISTRY[name]) == folder / file
    assert str(folder / file) in caplog.text


def test_a_name_that_tells_nothing_is_not_taken(folder: Path) -> None:
    for name in ("pytorch_model.bin", "model.safetensors"):
        (folder / name).write_bytes(b"x")
    assert not any(find_here(entry) for entry in REGISTRY.values() if not entry.package)


def test_published_checksums_are_compared(folder: Path) -> None:
    (folder / "vgg16-397923af.pth").write_bytes(b"x")
    with pytest.raises(CheckpointError, match="damaged or another file"):
        resolve("vgg16")


def test_the_cache_comes_first(folder: Path) -> None:
    entry = REGISTRY["uawarpc_megadepth"]
    (folder / "uawarpc_megadepth.ckpt").write_bytes(b"x")
    kept = download.target(entry, entry.sources[0])
    kept.parent.mkdir(parents=True)
    kept.write_bytes(b"y")
    assert resolve("uawarpc_megadepth") == kept


def test_by_hand(folder: Path) -> None:
    with pytest.raises(CheckpointError, match=r"2310\.04747.*pretrained_models/dsrnss_refinenet_darkzurich\.ckpt"):
        resolve("dsrnss_refinenet_darkzurich")
    kept = cache_folder() / "dsrnss_refinenet_darkzurich" / "dsrnss_refinenet_darkzurich.ckpt"
    kept.parent.mkdir(parents=True)
    kept.write_bytes(b"x")
    assert resolve("dsrnss_refinenet_darkzurich") == kept
