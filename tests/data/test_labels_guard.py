"""A label value outside the classes is refused when its file is read, by every data set and in worker processes."""

import re

import pytest

import dsrnss.data
from dsrnss import cli
from dsrnss.data.boxes import Box
from dsrnss.data.loading import TrainStream, make_eval_loader, make_loader
from dsrnss.errors import DataError

KINDS = {
    "Cityscapes": ("cityscapes", {"split": "train"}, "ulm_000002_000019_gtFine_labelTrainIds.png"),
    "DarkZurich": ("dark_zurich", {"split": "val"}, "GOPR0356_frame_000005_gt_labelTrainIds.png"),
    "ACDC": ("acdc", {"split": "val"}, "_gt_labelTrainIds.png"),
    "NighttimeDriving": ("nighttime_driving", {}, "01_frame_0001_gtCoarse_labelTrainIds.png"),
    "BDD100kNight": ("bdd100k", {"split_file": "night.txt"}, "a1.png"),
}
EXPERIMENT = """
trainer: {max_steps: 2, logger: false, accelerator: cpu, enable_progress_bar: false, enable_model_summary: false,
          enable_checkpointing: false}
model: {network: {backbone: compact, head: fpn, head_channels: 8}, weights: random}
data:
  source: {class_path: dsrnss.data.Cityscapes, init_args: {root: ROOT, split: train}}
  crop_size: [16, 16]
  source_batch_size: 2
"""


@pytest.fixture
def spoilt(tmp_path, miniatures):
    """Makes a data set of a kind, one label of which holds 77; returns it with that label's path."""

    def make(kind):
        maker, options, name = KINDS[kind]
        root = getattr(miniatures, maker)(tmp_path)
        if kind == "BDD100kNight":
            miniatures.bdd100k_list(root)
        if kind == "Cityscapes":
            for path in root.rglob("*_labelIds.png"):
                miniatures.label(path.with_name(path.name.replace("labelIds", "labelTrainIds")), 3)
        path = next(path for path in sorted(root.rglob(f"*{name}")) if kind != "ACDC" or "night/val" in str(path))
        miniatures.label(path, 77)
        return getattr(dsrnss.data, kind)(root=root, **options), path

    return make


@pytest.mark.parametrize("kind", KINDS)
def test_every_set_names_the_file_and_the_value(spoilt, kind):
    dataset, path = spoilt(kind)
    expected = re.escape(f"{path.name}' holds label values [77], outside 0..18 and 255")
    with pytest.raises(DataError, match=expected):
        list(dataset)
    with pytest.raises(DataError, match=expected):
        for index in range(len(dataset)):
            dataset.cropped(index, lambda size, label, name: Box(0, 0, 2, 2))


@pytest.mark.parametrize("workers", [0, 1])
def test_loaders_hand_it_on_as_it_is(spoilt, workers):
    dataset, path = spoilt("Cityscapes")
    stream = TrainStream(dataset, (8, 8), seed=0, stream=0, flip=0.5)
    for loader in (
        make_loader(stream, len(dataset), workers, sampler=list(range(len(dataset)))),
        make_eval_loader(dataset, 1, workers),
    ):
        with pytest.raises(DataError) as raised:
            list(loader)
        assert path.name in str(raised.value) and "[77]" in str(raised.value)
        assert "Traceback" not in str(raised.value)


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("sampling", [False, True])
def test_the_command_line_says_it_before_any_step(spoilt, tmp_path, capsys, workers, sampling, monkeypatch):
    _, path = spoilt("Cityscapes")
    monkeypatch.chdir(tmp_path)
    text = EXPERIMENT.replace("ROOT", str(path.parents[3])) + f"  workers: {workers}\n"
    (tmp_path / "e.yaml").write_text(text + "  rare_class_sampling: {}\n" * sampling)
    assert cli.main(["fit", "--config", "e.yaml"]) == 1
    told = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(told) == 1
    assert path.name in told[0] and "holds label values [77], outside 0..18" in told[0]
