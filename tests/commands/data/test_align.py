"""`dsrnss data align` as a user types it."""

import numpy as np
import pytest
import yaml
from PIL import Image

from dsrnss import cli
from dsrnss.commands.data.targets import built_data, merged_content
from dsrnss.data import alignment_store


@pytest.fixture
def own(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    for folder in ("images", "refs"):
        (tmp_path / "own" / folder).mkdir(parents=True)
        for name in "abc":
            pixels = rng.integers(0, 255, (48, 96, 3), np.uint8)
            Image.fromarray(pixels).save(tmp_path / "own" / folder / f"{name}.png")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DSRNSS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "own"


def run(*words):
    return cli.main(["data", "align", *map(str, words)])


def test_a_folder_is_aligned_once(own, capsys):
    assert run(own, "--workers", 1) == 0
    out = capsys.readouterr().out
    assert "3 pairs, 3 aligned now, 0 there before" in out and "cache/alignments/align_pair-" in out and " MB)" in out
    (picture,) = own.glob("refs/b.png")
    Image.fromarray(np.zeros((48, 96, 3), np.uint8)).save(picture)
    assert run(own, "--workers", 2) == 0
    assert "1 aligned now, 2 there before" in capsys.readouterr().out


def test_an_experiment_is_aligned_and_continued(own, tmp_path, capsys):
    (tmp_path / "own.yaml").write_text(
        "model: {aligner: {class_path: dsrnss.adaptation.alignment.UAWarpCAligner, "
        "init_args: {weights: random, vgg_weights: random}}}\n"
        "data:\n  source: {class_path: dsrnss.data.SynthNight, init_args: {split: source, length: 2}}\n"
        "  target: {class_path: dsrnss.data.Folder, init_args: {root: own}}\n"
    )
    assert run("own.yaml", "--aligner", "classical", "--store", "flows", "--overlay", "new/stored.yaml") == 0
    out = capsys.readouterr().out
    assert "3 aligned now" in out and "fit --config own.yaml --config new/stored.yaml" in out
    assert yaml.safe_load((tmp_path / "new" / "stored.yaml").read_text())["model"]["aligner"].endswith("GivenAligner")
    content = merged_content(tmp_path / "own.yaml", tmp_path / "new" / "stored.yaml")
    pairs = built_data("both", content).target
    assert pairs.fill_store() == 0 and len(pairs) == 3
    assert run("own.yaml", "--store", "flows", "--workers", 1) == 0
    assert "3 aligned now" in capsys.readouterr().out, "by the experiment's own aligner"


def test_what_cannot_be_aligned_is_said(own, tmp_path, capsys):
    for word, words in (("source.yaml", "no pairs to align"), (own, "--overlay"), (tmp_path / "own" / "refs", "")):
        if word == "source.yaml":
            (tmp_path / word).write_text("data: {source: dsrnss.data.Cityscapes}\n")
        assert run(word, "--overlay", "x.yaml") in (1, 2)
        assert words in capsys.readouterr().err
    for path in own.glob("refs/*"):
        path.unlink()
    (own / "refs").rmdir()
    assert run(own) == 2
    assert "no set with day references" in capsys.readouterr().err


def test_a_store_that_cannot_be_written_is_an_error(own, tmp_path, capsys, monkeypatch):
    (tmp_path / "taken").write_text("")
    assert run(own, "--store", "taken") == 1
    assert "taken" in capsys.readouterr().err

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(alignment_store.np, "savez_compressed", full)
    assert run(own, "--store", "flows", "--workers", 1) == 1
    assert "disk is full" in capsys.readouterr().err
