"""Every packaged experiment describes what it says, with each baseline on top."""

from pathlib import Path

import pytest

from dsrnss.errors import UsageError
from dsrnss.experiment import files as experiments
from dsrnss.experiment.cli import ExperimentCLI, build
from dsrnss.experiment.files import packaged_names

BASELINES = [name for name in packaged_names() if name.startswith("baselines/")]
BASES = [name for name in packaged_names() if not name.startswith(("baselines/", "overlays/"))]
FOUNDATION = [name for name in BASES if "dinov2" in name]
REAL = [name for name in BASES if name.startswith("cityscapes_") and name not in FOUNDATION]
SMALL = {"mit_b5": "mit_b0", "resnet101_v1c": "resnet18_v1c", "resnet101": "resnet18"}
SMALL |= {f"timm/vit_{size}_patch14_reg4_dinov2.lvd142m": "timm/test_vit" for size in ("small", "base", "large")}


def _build(*names: str) -> ExperimentCLI:
    small = [f"--model.network.backbone={SMALL[b]}" for b in SMALL if _uses(names[0], b)]
    return build("fit", names, [*small, "--model.network.head_channels=16", "--trainer.logger=false"])


def _uses(name: str, backbone: str) -> bool:
    return f"backbone: {backbone}," in experiments.resolve(name).read_text()


@pytest.mark.parametrize("name", BASES)
def test_experiments_build(name: str) -> None:
    cli = _build(name)
    assert cli.name == name.removesuffix(".yaml")
    assert list(cli.datamodule.test)


def test_the_seven_configurations_of_the_paper() -> None:
    assert {name.partition("dsrnss_")[2].removesuffix(".yaml") for name in REAL} == {
        "hrda", "daformer", "deeplabv2", "refinenet"
    }  # fmt: skip
    assert len(REAL) == 7


@pytest.mark.parametrize("name", REAL)
def test_configurations_are_the_authors(name: str) -> None:
    cli = _build(name)
    task, data = cli.model, cli.datamodule
    hrda, target = "hrda" in name, "Dark" if "darkzurich" in name else "ACDC"
    assert task.student.config.hrda == hrda
    assert data.crop_size == ((1024, 1024) if hrda else (512, 512))
    assert data.rare_class_sampling.min_crop_ratio == (2.0 if hrda else 0.5)
    assert (task.inference.window, task.inference.stride) == (((1080, 1080), (420, 420)) if hrda else (None, None))
    reference = "acdc" in name or "deeplabv2" in name or "refinenet" in name
    assert task.method.config.self_training.adapt_to_reference == reference
    assert (task.method.reference is None) == ("refinenet" in name)
    assert type(data.target).__name__.startswith(target)
    switches = task.method.config
    assert switches.prototypes.enabled and switches.mixing.co_occurrence and task.method.bank.config.size == 3
    assert type(task.method.aligner).__name__ == "UAWarpCAligner"
    assert (data.source_batch_size, data.target_batch_size) == (2, 2)
    assert ("bdd100k_night" in data.test) == ("darkzurich" in name and "daformer" not in name)


@pytest.mark.parametrize("name", FOUNDATION)
def test_configurations_of_foundation_encoders(name: str) -> None:
    cli = _build(name)
    task, data = cli.model, cli.datamodule
    optimizer, switches = task.optimizer_config, task.method.config
    assert (optimizer.lr, optimizer.backbone_lr_factor, optimizer.layer_decay) == (5e-5, 0.1, 0.9)
    assert switches.masking.weight == 1 and switches.masking.ratio == 0.7
    assert switches.feature_distance.weight == 0.1 and switches.feature_distance.distance == "cosine"
    assert switches.prototypes.enabled and switches.mixing.co_occurrence and switches.refinement.enabled
    assert switches.self_training.adapt_to_reference == ("acdc" in name)
    assert data.crop_size == (1024, 1024)
    images = data.source_batch_size + data.target_batch_size
    assert images * cli.trainer.accumulate_grad_batches == 8


@pytest.mark.parametrize("baseline", BASELINES)
@pytest.mark.parametrize("base", ["synthnight/adapt.yaml", "cityscapes_darkzurich/dsrnss_daformer.yaml"])
def test_baselines_switch_parts_off(base: str, baseline: str) -> None:
    cli = _build(base, baseline)
    task, name = cli.model, baseline.removeprefix("baselines/").removesuffix(".yaml")
    assert cli.name == f"{base.removesuffix('.yaml')}+{name}"
    assert not task.method.config.prototypes.enabled
    if name == "source_only":
        assert cli.datamodule.target is None
        return
    assert not task.method.config.mixing.co_occurrence and task.method.bank.config.size == 0
    assert task.method.config.refinement.enabled == (name == "refign")
    assert (task.method.reference is not None) == (name != "dacs")
    assert task.student.config.hrda == (name == "hrda")
    assert (cli.datamodule.rare_class_sampling is None) == (name == "dacs")


def test_hrda_goes_on_top_of_the_whole_method() -> None:
    plain, cli = _build("synthnight/adapt.yaml"), _build("synthnight/adapt.yaml", "overlays/dsrnss_hrda.yaml")
    assert cli.name == "synthnight/adapt+dsrnss_hrda"
    assert cli.model.student.config.hrda and not plain.model.student.config.hrda
    method = cli.model.method
    assert method.config.prototypes.enabled and method.config.mixing.co_occurrence and method.bank.config.size == 1


def test_night_aware_source_images_go_on_top_and_are_off_without() -> None:
    plain, cli = _build("synthnight/adapt.yaml"), _build("synthnight/adapt.yaml", "overlays/night_aware.yaml")
    assert not plain.model.method.config.night_aware.enabled
    config = cli.model.method.config.night_aware
    assert (config.method, config.beta, config.probability, config.strength) == ("fda", 0.02, 0.5, 1.0)


def test_a_name_that_begins_like_a_home_folder_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("~draft.yaml").write_text("trainer: {max_steps: 1}\n")
    assert experiments.resolve("~draft.yaml") == Path("~draft.yaml")
    with pytest.raises(UsageError, match=r"'~nobody-here/e\.yaml' not found"):
        experiments.resolve("~nobody-here/e.yaml")
