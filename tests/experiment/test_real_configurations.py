"""The configurations of the paper on miniature copies of the benchmark sets: fit, test, predict, as typed."""

import json
from pathlib import Path

import pytest
import torch
import yaml

import dsrnss
from dsrnss.cli import main
from dsrnss.data.stand_in.layouts import synthesize
from dsrnss.models.config import NetworkConfig
from dsrnss.models.factory import build_segmentor

CONFIGS = Path(dsrnss.__file__).parent / "configs"

SMALL = [
    "--model.network.backbone=compact",
    "--model.network.head=fpn",
    "--model.network.head_channels=8",
    "--model.network.strides=null",
    "--data.workers=0",
]
TRAINING = [
    "--trainer.max_steps=1",
    "--trainer.limit_val_batches=1",
    "--trainer.accelerator=cpu",
    "--model.backbone_weights=random",
    "--model.aligner.init_args.weights=random",
    "--model.aligner.init_args.vgg_weights=random",
    "--data.crop_size=[64,64]",
    "--data.source.init_args.size=[64,128]",
    "--data.target.init_args.size=[72,128]",
]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("layout", "kind", "measured"),
    [
        ("cityscapes_darkzurich", "deeplabv2", {"dark_zurich", "nighttime_driving", "acdc_night", "bdd100k_night"}),
        ("cityscapes_acdc", "hrda", {"acdc_night"}),
    ],
)
def test_fit_test_predict(
    layout: str, kind: str, measured: set[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synthesize(tmp_path / "data", layout, source=2, target=2, val=1, test=2, size=(64, 128), workers=1)
    monkeypatch.setenv("DATA_DIR", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    config = ["--config", f"configs/{layout}/dsrnss_{kind}.yaml", *SMALL]
    assert main(["fit", *config, *TRAINING]) == 0
    assert main(["test", *config, "--ckpt_path", "last"]) == 0
    results = {path.stem: json.loads(path.read_text()) for path in tmp_path.rglob("last_test/*.json")}
    assert set(results) == measured
    assert main(["predict", *config, "--ckpt_path", "last"]) == 0
    assert len(list(tmp_path.glob("predictions/**/labelTrainIds/**/*.png"))) == 2


@pytest.mark.slow
@pytest.mark.parametrize(
    ("layout", "size", "overlay"),
    [
        ("cityscapes_darkzurich", "s", False),
        ("cityscapes_acdc", "s", True),
    ],
)
def test_foundation_encoders(
    layout: str, size: str, overlay: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synthesize(tmp_path / "data", layout, source=4, target=4, val=1, test=1, size=(64, 128), workers=1)
    monkeypatch.setenv("DATA_DIR", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    config = ["--config", f"configs/{layout}/dsrnss_dinov2_{size}.yaml"]
    config += ["--config", f"configs/overlays/dinov3_{size}.yaml"] if overlay else []
    config += ["--data.workers=0", "--model.network.head_channels=8", "--model.prototypes.start_step=0"]
    assert main(["fit", *config, *TRAINING]) == 0
    assert main(["test", *config, "--ckpt_path", "last"]) == 0
    assert main(["predict", *config, "--ckpt_path", "last"]) == 0
    assert list(tmp_path.glob("predictions/**/labelTrainIds/**/*.png"))


@pytest.mark.parametrize("layout", ["cityscapes_darkzurich", "cityscapes_acdc"])
@pytest.mark.parametrize("size", ["s", "b", "l"])
def test_foundation_encoders_are_named_rightly(layout: str, size: str) -> None:
    with torch.device("meta"):
        config = yaml.safe_load((CONFIGS / layout / f"dsrnss_dinov2_{size}.yaml").read_text())
        overlay = yaml.safe_load((CONFIGS / "overlays" / f"dinov3_{size}.yaml").read_text())
        network = config["model"]["network"]
        for parts in (network, network | overlay["model"]["network"]):
            assert build_segmentor(NetworkConfig(**parts))(torch.empty(1, 3, 64, 64)).logits.shape[-1] == 16
