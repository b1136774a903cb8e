"""`dsrnss data pair` as a user types it."""

import csv

import pytest
from PIL import Image

from dsrnss import cli
from dsrnss.data import Folder, SynthNight
from dsrnss.models.weights import DEMO_MODEL


@pytest.fixture
def places(tmp_path, monkeypatch):
    scenes = SynthNight("val", length=3, references=True)
    for index in range(3):
        for key, folder in (("image", "night"), ("reference", "day")):
            (tmp_path / folder).mkdir(exist_ok=True)
            Image.fromarray(scenes[index][key].permute(1, 2, 0).numpy()).save(tmp_path / folder / f"{index}.png")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*words):
    return cli.main(["data", "pair", "night", "day", "--workers", "1", *map(str, words)])


def test_pairs_are_written_drawn_and_read(places, capsys):
    assert run("--out", "new/pairs.csv", "--sheet", "pairs.png", "--least", 0.2) == 0
    out = capsys.readouterr().out
    rows = list(csv.DictReader((places / "new/pairs.csv").open()))
    assert all(said in out for said in (f"{len(rows)} pair", "of 3 night pictures", "doubtful", "Positions: none"))
    assert rows and all(row["picture"].split("/")[1] == row["reference"].split("/")[1] for row in rows)
    assert all(0.2 <= float(row["certainty"]) <= 1 for row in rows)
    assert Image.open(places / "pairs.png").width > 720
    assert "images: night, pairs_file:" in out
    dataset = Folder(places, images="night", pairs_file=places / "new/pairs.csv")
    assert dataset[0]["reference"].shape == dataset[0]["image"].shape


def test_positions_are_read_and_the_likeliest_may_be_taken(places, capsys):
    lines = [f"{light}/{i},52,{i},\n" for light in ("night", "day") for i in range(2)]
    (places / "p.csv").write_text("picture,latitude,longitude,heading\n" + "".join(lines) + "night/2,10,10,\n")
    assert run("--positions", "p.csv", "--least", 0) == 0
    out = capsys.readouterr().out
    assert "2 pairs of 3" in out and "1 without a day picture within 50 m" in out and "known of 2" in out


def test_another_encoder_may_compare(places):
    for words in ([], ["--weights", DEMO_MODEL], ["--backbone", "compact", "--backbone-weights", DEMO_MODEL]):
        assert run("--candidates", 1, "--least", 0, *words) == 0
        (places / "pairs.csv").rename(places / f"{len(words)}.csv")
    assert (places / "0.csv").read_text() == (places / "2.csv").read_text() == (places / "4.csv").read_text()


def test_wrong_words_are_told(places, capsys):
    for words, said in (
        (["--radius", "far"], "--radius"),
        (["--positions", "none.csv"], "none.csv"),
        (["--weights", "none.ckpt"], "none.ckpt"),
        (["--backbone-weights", "x"], "--backbone"),
        (["--least", "2"], "least"),
        (["--out", "night"], "is a folder"),
    ):
        assert run(*words) in (1, 2)
        assert said in capsys.readouterr().err
